"""Recipes: every one loads, says what the paper says, and trains for a few steps when made tiny."""

import json
from pathlib import Path

import pytest

from sonant.errors import ConfigError
from sonant.training.loop import Trainer
from sonant.training.recipe_files import RANGES, load_recipe, recipe_from_dict, recipe_variants
from sonant.training.schedule import share_done

RECIPES = Path(__file__).parents[2] / "recipes"
FILES = sorted(path for path in RECIPES.glob("*.toml") if not path.name.startswith("lm_"))
NAMES = [
    f"{path.name}:{variant}" if variant else path.name
    for path in FILES
    for variant in recipe_variants(path) or [""]
]
TINY = [
    "model.n_filters=2",
    "model.dimension=8",
    "model.n_q=4",
    "model.bins=16",
    "data.batch_size=2",
    "data.seconds=0.2",
    "data.workers=0",
    "data.strategies=[{weight=1, kinds=['music']}]",
    "discriminator.start_step=0",
    "discriminator.warmup_steps=0",
    "discriminator.filters=4",
    "discriminator.period_filters=4",
    "discriminator.windows=[256]",
    "discriminator.update_probability=1.0",
    "codebooks=[2, 4]",
    "run.steps=2",
    "run.devices=1",
    "run.precision='32-true'",
    "run.warm_start_steps=0",
    "run.transform_crops=0",
    "run.log_every=1",
    "run.listen_every=0",
]

SILENT = ["loss.time=0", "loss.mel=0"]


@pytest.fixture(scope="module")
def packs(corpus_folder, pack, tmp_path_factory):
    from sonant.training.datasets import list_recordings
    from sonant.training.pack import pack_recordings

    stereo = tmp_path_factory.mktemp("stereo")
    music = [r for r in list_recordings(corpus_folder) if r.kind == "music"]
    list(pack_recordings(music, stereo, 48_000, 2, "pcm"))
    return {24_000: pack, 48_000: stereo}


@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_trains(name, packs, tmp_path):
    recipe = load_recipe(RECIPES / name)
    pack = packs[recipe.model.sample_rate]
    tiny = [*TINY, "model.bandwidths=[0.6, 1.2]", f"data.pack={pack}"]
    if recipe.loss.forgetting:
        tiny.append("data.seconds=0.6")
    if recipe.start:
        stage = tmp_path / "stage"
        Trainer(load_recipe(RECIPES / f"{recipe.model.sample_rate // 1000}khz_16.toml", tiny), stage).run()
        tiny.append(f"start={stage / 'weights.safetensors'}")
    Trainer(load_recipe(RECIPES / name, tiny), tmp_path).run()
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2]
    assert {"time", "mel", "generator", "feature", "discriminator"} <= set(rows[-1])


def test_the_24khz_recipe_is_the_papers():
    recipe = load_recipe(RECIPES / "24khz.toml")
    assert recipe.codebook_choices == (2, 4, 8, 16, 32)
    assert recipe.data.batch_size == 64
    assert recipe.data.gain_db == (-10.0, 6.0)
    assert recipe.data.reverberation == 0.2
    assert [s["weight"] for s in recipe.data.strategies] == [0.32, 0.32, 0.24, 0.12]
    assert recipe.discriminator.update_probability == pytest.approx(2 / 3)
    assert recipe.optimizer.betas == (0.5, 0.9)
    assert recipe.run.steps == 300 * 2000
    assert (recipe.model.n_filters, recipe.model.n_q, recipe.model.lstm_layers) == (32, 32, 2)


def test_the_48khz_recipe_is_the_papers():
    recipe = load_recipe(RECIPES / "48khz.toml")
    assert recipe.codebook_choices == (2, 4, 8, 16)
    assert (recipe.loss.generator, recipe.loss.feature) == (4.0, 4.0)
    assert recipe.discriminator.update_probability == 0.5
    assert recipe.discriminator.windows[0] == 4096
    assert recipe.model.normalize
    assert recipe.optimizer.learning_rate == 3e-4


def test_every_row_of_the_tables_has_a_recipe():
    assert len(recipe_variants(RECIPES / "table_2.toml")) == 4
    assert {"soundstream", "diffq", "rvq"} <= set(recipe_variants(RECIPES / "table_a2.toml"))
    assert len(recipe_variants(RECIPES / "table_a3.toml")) == 6
    assert len(recipe_variants(RECIPES / "table_a4.toml")) == 28
    row = load_recipe(RECIPES / "table_a4.toml:10-2-100-4-unbalanced")
    assert (row.loss.time, row.loss.mel, row.loss.generator, row.loss.feature) == (10, 2, 100, 4)
    assert not row.loss.balancer
    assert load_recipe(RECIPES / "table_a4.toml:10-2-100-4").loss.balancer
    assert row.quantizer == "diffq"
    stream = load_recipe(RECIPES / "table_a2.toml:soundstream")
    assert (stream.codebooks, stream.model.lstm_layers, stream.loss.feature) == ((4,), 0, 100.0)
    assert load_recipe(RECIPES / "table_a3.toml:residual-3-no-lstm").model.n_residual_layers == 3
    assert load_recipe(RECIPES / "table_2.toml:mpd").discriminator.kinds == ("mpd",)


def test_overrides_come_last_and_may_be_words():
    changes = ["data.pack=somewhere", "loss.mel=2", "codebooks=[4]", "run.precision=bf16-mixed"]
    recipe = load_recipe(RECIPES / "24khz.toml", changes)
    assert recipe.data.packs == ("somewhere",)
    assert recipe.loss.mel == 2
    assert recipe.codebooks == (4,)
    assert recipe.run.precision == "bf16-mixed"
    assert recipe_from_dict(recipe.to_dict() | {"model": recipe.to_dict()["model"]}) == recipe


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("nothing.toml", [], "No such file"),
        ("table_2.toml", [], "needs a variant; it has msd-mono-stft"),
        ("table_2.toml:gan", [], "has no variant 'gan'"),
        ("24khz.toml", ["loss.colour=1"], r"unknown key in \[loss\]: colour"),
        ("24khz.toml", ["colour=1"], "colour"),
        ("24khz.toml", ["quantizer=lattice"], "choose one of rvq, diffq, gumbel"),
        ("24khz.toml", ["discriminator.kinds=['gan']"], "discriminator.kinds is 'gan'"),
        ("24khz.toml", ["codebooks=[40]"], "between 1 and 32"),
        ("24khz.toml", ["model.n_filters=1"], "compress is 2, more than the 1 of n_filters"),
        ("24khz.toml", ["data.speed=[0.0, 1.0]"], "data.speed"),
        ("24khz.toml", ["data.speed=[1.1, 0.9]"], "data.speed"),
        ("24khz.toml", ["codebooks"], "not of the form"),
        ("24khz.toml", ["loss.balancer=False"], 'loss.balancer is true or false, not "False"'),
        ("24khz.toml", ["loss.balancer=1"], "loss.balancer is true or false, not 1"),
        ("24khz.toml", ["decoder_only=False"], 'decoder_only is true or false, not "False"'),
        ("24khz.toml", ["run.steps=abc"], 'run.steps is a whole number, not "abc"'),
        ("24khz.toml", ["run.steps=true"], "run.steps is a whole number, not true"),
        ("24khz.toml", ["run.steps=0"], "run.steps is more than 0"),
        ("24khz.toml", ["run.log_every=0"], "run.log_every is more than 0"),
        (
            "24khz.toml",
            ["run.precision=bf18"],
            "run.precision is 'bf18'; choose one of 32-true, bf16-mixed",
        ),
        ("24khz.toml", ["run.precision=32"], "run.precision is text, not 32"),
        ("24khz.toml", ["data=3"], "data is a table, not 3"),
        ("24khz.toml", ["data.pack=[]"], "data.pack is empty"),
        ("24khz.toml", ["discriminator.band=2"], "discriminator.band is more than 0 and at most 1, not 2"),
        ("24khz.toml", ["data.pack=3"], "data.pack is text or a list of texts, not 3"),
        ("24khz.toml", ["data.batch_size=0"], "data.batch_size is more than 0"),
        ("24khz.toml", ["data.seconds=-1"], "data.seconds is more than 0"),
        ("24khz.toml", ["data.seconds=0.02"], "crops of 480 samples; loss.mel_exponents needs 2048"),
        ("24khz.toml", ["data.seconds=0.1", "discriminator.windows=[4096]"], "discriminator.windows needs"),
        ("24khz.toml", ["data.seconds=0.1", "discriminator.kinds=['mono-stft']"], "kinds needs 2816"),
        ("48khz_16.toml", ["data.seconds=0.05", "loss.structure=1"], "needs 4096"),
        ("24khz.toml", ["data.seconds=0.09", "loss.pulses=1"], "loss.pulses needs 2304"),
        ("24khz.toml", ["data.seconds=0.5", "loss.forgetting=1"], "loss.forgetting needs 14400"),
        ("48khz_16.toml", ["loss.forgetting=1"], "loss.forgetting is of use only for a model that streams"),
        ("48khz_16.toml", ["run_up=1"], "run_up is of use only for a model that streams"),
        ("24khz.toml", ["run_up=-1"], "run_up is 0 or more"),
        ("24khz.toml", ["data.reverberation=3"], "data.reverberation is between 0 and 1"),
        ("24khz.toml", ["data.gain_db=[6]"], "data.gain_db is a list of 2 numbers, not "),
        ("24khz.toml", ["data.gain_db=[6, -10]"], "data.gain_db"),
        ("24khz.toml", ["data.strategies=[]"], "data.strategies has none with a weight"),
        ("24khz.toml", ["data.strategies=[{weight=0, kinds=['music']}]"], "none with a weight"),
        ("24khz.toml", ["data.strategies=[{wieght=1, kinds=['music']}]"], "weight and kinds each"),
        ("24khz.toml", ["data.strategies=[{weight='a', kinds=['music']}]"], "weight is a number"),
        ("24khz.toml", ["data.strategies=[{weight=-1, kinds=['music']}]"], "weight is 0 or more"),
        ("24khz.toml", ["data.strategies=[{weight=1, kinds=[]}]"], "kinds is empty; choose some of speech"),
        ("24khz.toml", ["data.strategies=[{weight=1, kinds=['music|speach']}]"], "kinds is 'speach'"),
        ("24khz.toml", ["loss.mel=-1"], "loss.mel is 0 or more"),
        ("24khz.toml", ["loss.mel=nan"], "loss.mel is 0 or more"),
        ("24khz.toml", ["loss.mel_exponents=[11, 5]"], "loss.mel_exponents"),
        (
            "24khz_16.toml",
            ["loss.balancer=true", *SILENT],
            "loss.balancer needs a loss with a weight: one of time",
        ),
        ("24khz.toml", ["optimizer.learning_rate=-1"], "optimizer.learning_rate is 0 or more"),
        ("24khz.toml", ["optimizer.betas=[0.5, 1.0]"], "optimizer.betas is 0 or more and below 1"),
        ("24khz.toml", ["discriminator.update_probability=7"], "update_probability is between 0 and 1"),
        ("24khz.toml", ["discriminator.kinds=[]"], "discriminator.kinds is empty"),
        ("24khz.toml", ["discriminator.windows=[]"], "discriminator.windows"),
        ("24khz.toml", ["discriminator.kinds=['msd']", "discriminator.filters=22"], "a multiple of 8"),
        ("24khz.toml", ["run.seed=4294967296"], "run.seed is 0 or more and below"),
        (
            "24khz.toml",
            ["discriminator.start=a", "discriminator.start_step=-1"],
            "discriminator.start is of no",
        ),
        ("24khz.toml", ["codebooks=[2.5]"], "codebooks is a list of whole numbers"),
        ("24khz.toml", ["model.bandwidths=[]", "codebooks=[]"], "codebooks is empty"),
        ("24khz.toml", ["run.threads=257"], "run.threads is 0 to 256, not 257"),
        ("24khz.toml", ["model=3"], "model is a table, not 3"),
        ("24khz.toml", ["model.sample_rate=0"], "model.sample_rate is more than 0"),
        ("24khz.toml", ["model.pad_mode=zero"], "model.pad_mode is one of constant, reflect"),
        ("24khz.toml", ["quantizer=diffq", "beam=2"], "does not search for codes"),
        ("24khz.toml", ["quantizer=gumbel", "run.transform_crops=8"], "cannot start as a transform"),
        ("24khz.toml", ["quantizer=diffq", "start=a"], "cannot start from weights"),
    ],
)
def test_what_cannot_be_is_a_sentence(name, changes, message):
    with pytest.raises(ConfigError, match=message):
        load_recipe(RECIPES / name, changes)


def test_what_may_be_is_taken():
    changes = [
        "loss.balancer=false",
        "loss.time=1",
        "optimizer.gradient_clip=inf",
        "optimizer.final_rate=0",
        "data.pack=['a', 'b']",
        "data.strategies=[{weight=1, kinds=['music|speech', 'noise']}]",
        "run.precision=32-true",
        "model.segment=1",
    ]
    recipe = load_recipe(RECIPES / "24khz.toml", changes)
    assert recipe.loss.balancer is False
    assert recipe.data.packs == ("a", "b")
    assert (recipe.loss.time, recipe.optimizer.final_rate, recipe.model.segment) == (1, 0, 1)
    assert load_recipe(RECIPES / "24khz.toml", SILENT).discriminator.warmup_steps == 0


def test_every_range_is_that_of_a_value():
    values = load_recipe(RECIPES / "24khz.toml").to_dict()
    for name in RANGES:
        section, _, key = name.rpartition(".")
        place = values
        for part in filter(None, section.split(".")):
            place = place[part]
        assert key in place


@pytest.mark.parametrize("section", ["model", "data"])
def test_what_is_missing_is_named(section):
    values = load_recipe(RECIPES / "24khz.toml").to_dict()
    del values[section]
    with pytest.raises(ConfigError, match=f"the recipe lacks {section}"):
        recipe_from_dict(values)
    with pytest.raises(ConfigError, match=r"\[data\] lacks pack"):
        recipe_from_dict(values | {"model": {"name": "a", "sample_rate": 24_000}, "data": {}})


def test_a_file_that_is_no_toml_is_a_sentence(tmp_path):
    (tmp_path / "a.toml").write_text("model = [")
    with pytest.raises(ConfigError, match=r"a\.toml"):
        load_recipe(tmp_path / "a.toml")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("base = 3", "base is text, not 3"),
        ("variants = 3", "variants is a table of tables, not 3"),
        ("variants = {a = 3}", "variants is a table of tables"),
    ],
)
def test_a_base_and_variants_of_another_type_are_a_sentence(tmp_path, line, message):
    (tmp_path / "a.toml").write_text(line)
    with pytest.raises(ConfigError, match=message):
        load_recipe(tmp_path / "a.toml")


def test_a_recipe_that_is_a_base_of_itself_is_a_sentence(tmp_path):
    (tmp_path / "a.toml").write_text('base = "b.toml"')
    (tmp_path / "b.toml").write_text('base = "a.toml"')
    with pytest.raises(ConfigError, match=r"a\.toml: is a base of itself"):
        load_recipe(tmp_path / "a.toml")


def test_a_run_that_goes_on_without_its_time_limit_does_not_begin_anew():
    assert share_done(0.02, 10.0, None, 0.9) == 0.9
    assert share_done(0.95, 10.0, None, 0.9) == 0.95
