"""A language model from a corpus to a file that codes: `sonant train` with a recipe of the kind."""

import json
import os
import shutil
import signal
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import sonant
from sonant.cli import app
from sonant.entropy.integer_lm import IntegerLanguageModel
from sonant.entropy.lm_coder import decode_chunks, encode_chunk
from sonant.entropy.lm_store import save_language_model
from sonant.errors import ConfigError, SonantError
from sonant.language_models import language_model
from sonant.models.store import save_weights
from sonant.nn.language_model import LanguageModel, shifted
from sonant.training import language_model as lm_training
from sonant.training import lm_run
from sonant.training.finite import FiniteSteps
from sonant.training.language_model import LanguageModelTrainer
from sonant.training.lm_loss import cross_entropy
from sonant.training.lm_quantise import _almost_largest, integer_tensors
from sonant.training.lm_recipe import load_lm_recipe, recipe_from_dict
from sonant.training.lm_run import _calibration
from sonant.training.lm_tables import start_from_codebooks, untied
from sonant.training.tokens import load_tokens
from training.test_recipes import RECIPES

CHANGES = [
    "hours={train-speech=0.002, train-music=0.002, validation-speech=0.001}",
    "codebooks=[2, 8]",
    "codebook_weights=[1, 1]",
    "threads=1",
    "crop_seconds=1.0",
    "frames=60",
    "batch_size=2",
    "steps=4",
    "log_every=1",
    "model.n_q=8",
    "model.dim=32",
    "model.num_layers=1",
    "model.feed_forward=32",
]


@pytest.fixture
def codec_file(golden, tmp_path):
    path = tmp_path / "tiny.safetensors"
    save_weights(path, golden.weights, golden.config)
    return path


@pytest.fixture
def values(codec_file, pack):
    return [*CHANGES, f"codec={codec_file}", f"pack={pack}"]


def run(folder, values, *more):
    options = [part for value in values for part in ("--set", value)]
    command = ["train", str(RECIPES / "lm_24khz.toml"), "-o", str(folder), *options, *more]
    return CliRunner().invoke(app, command)


@pytest.mark.parametrize("golden", ["24khz"], indirect=True)
def test_from_a_corpus_to_a_file_that_codes(codec_file, values, tmp_path):
    folder = tmp_path / "run"
    result = run(folder, values)
    assert result.exit_code == 0, result.exception
    codec_file.with_suffix(".lm.safetensors").write_bytes((folder / "lm.safetensors").read_bytes())
    codec = sonant.load(codec_file)
    lm = language_model(codec)
    tokens = load_tokens(folder / "tokens.safetensors", codec)
    assert lm and set(tokens) == {"train-speech", "train-music", "validation-speech"}
    chunk = tokens["validation-speech"][0, :, :60]
    decoded, intact = decode_chunks(lm, [encode_chunk(lm, chunk)], 8, 60)
    np.testing.assert_array_equal(decoded[0], chunk)
    assert intact.all()
    report = json.loads((folder / "lm.json").read_text())
    assert report["steps"] == 4 and set(report["integer"]) == {"validation-speech 2", "validation-speech 8"}
    for name, bits in report["float_bits_per_code"].items():
        assert report["integer"][name]["bits_per_code"] == pytest.approx(bits, rel=0.02, abs=0.3)
    assert isinstance(run(folder, values).exception, ConfigError)
    resumed = run(folder, values, "--resume", "--set", "steps=6", "--set", "hours.train-effects=0")
    assert resumed.exit_code == 0, resumed.exception
    assert json.loads((folder / "lm.json").read_text())["steps"] == 6
    other = run(folder, values, "--resume", "--set", "hours.train-music=0.003").exception
    assert "other hours" in str(other)
    other = run(folder, [*values, f"pack={tmp_path / 'another'}"], "--resume").exception
    assert "another pack" in str(other)


@pytest.mark.parametrize("golden", ["24khz"], indirect=True)
@pytest.mark.parametrize(("part", "fits"), [("decoder.", True), ("encoder.", False), ("codebooks", False)])
def test_a_finished_run_fits_another_decoder_only(golden, values, tmp_path, part, fits):
    folder, other = tmp_path / "run", tmp_path / "other.safetensors"
    assert run(folder, values).exit_code == 0
    weights = {k: 0.5 * v if k.startswith(part) else -(-v + 0.0) for k, v in golden.weights.items()}
    save_weights(other, weights, golden.config)
    result = run(folder, values, "--resume", "--set", f"codec={other}")
    if fits:
        assert result.exit_code == 0, result.exception
        other.with_suffix(".lm.safetensors").write_bytes((folder / "lm.safetensors").read_bytes())
        assert language_model(sonant.load(other))
    else:
        assert "another encoder or other codebooks" in str(result.exception)


@pytest.mark.parametrize("golden", ["24khz"], indirect=True)
def test_one_process_of_a_machine_makes_the_tokens(values, tmp_path, monkeypatch):
    assert run(tmp_path / "first", values).exit_code == 0
    folder, waited = tmp_path / "run", []

    def meanwhile(seconds):
        waited.append(seconds)
        folder.mkdir()
        shutil.copy(tmp_path / "first" / "tokens.safetensors", folder)

    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setattr(lm_run.time, "sleep", meanwhile)
    monkeypatch.setattr(lm_run, "save_tokens", None)
    assert run(folder, values).exit_code == 0
    assert len(waited) == 1


TINY = {
    "kind": "language_model",
    "codec": "t",
    "pack": "p",
    "hours": {},
    "model": {
        "name": "t",
        "n_q": 4,
        "bins": 16,
        "dim": 16,
        "num_layers": 1,
        "num_heads": 2,
        "feed_forward": 32,
        "conditioned": True,
    },
    "frames": 20,
    "codebooks": [2, 4],
    "codebook_weights": [1, 1],
    "steps": 150,
    "warmup_steps": 5,
    "learning_rate": 1e-2,
    "threads": 1,
}


def tiny_recipe(**changes):
    return recipe_from_dict({**TINY, **changes})


def predictable(seed):
    """Codes where the first counts up and each other is the one before it plus three."""
    start = np.random.default_rng(seed).integers(0, 16, (6, 1, 1))
    rows = start + np.arange(40) + 3 * np.arange(4)[:, None]
    return (rows % 16).astype(np.int16)


@pytest.mark.parametrize("settings", [{}, {"precision": "bf16-mixed"}, {"optimizer": "muon"}])
def test_it_learns_what_can_be_predicted(settings, tmp_path):
    tokens = {"train-a": predictable(0), "validation-a": predictable(1)}
    books = np.random.default_rng(0).standard_normal((4, 16, 8)).astype(np.float32)
    trainer = LanguageModelTrainer(tiny_recipe(**settings), tokens, books, tmp_path)
    before = trainer.validate()["validation-a 4"]
    trainer.run()
    after = trainer.validate()["validation-a 4"]
    assert before > 3.5 and after < 1.0


def trainer_in(folder, optimizer="adam", **settings):
    tokens = {"train-a": predictable(0), "validation-a": predictable(1)}
    books = np.random.default_rng(0).standard_normal((4, 16, 8)).astype(np.float32)
    recipe = tiny_recipe(steps=100_000, optimizer=optimizer)
    return LanguageModelTrainer(recipe, tokens, books, folder, **settings)


def test_a_time_limit_counts_from_the_start_of_each_run(tmp_path):
    steps = []
    for resume in (False, True):
        trainer = trainer_in(tmp_path, time_limit=0.5, resume=resume)
        trainer.run()
        steps.append(trainer.step)
    assert steps[1] > steps[0] > 0


def test_a_run_that_takes_no_step_says_so(tmp_path, capsys):
    trainer_in(tmp_path, time_limit=1e-9).run()
    assert "no step was taken" in capsys.readouterr().err


def test_a_resumed_run_sees_what_one_run_sees(tmp_path):
    def run_to(steps, folder, resume=False):
        trainer = trainer_in(folder, optimizer="muon", resume=resume)
        trainer.recipe = replace(trainer.recipe, random_offset=10, log_every=1, checkpoint_minutes=0.0)
        take_step = trainer._train_step

        def step_or_stop(codes, done):
            trainer._stop.made = trainer.step == steps - 1
            return take_step(codes, done)

        trainer._train_step = step_or_stop
        trainer.run()
        rows = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
        return [row["bits"] for row in rows]

    whole = run_to(6, tmp_path / "whole")
    run_to(3, tmp_path / "parts")
    (tmp_path / "parts" / "log.jsonl").open("a").write('{"step": 4, "bits": 9}\n')
    assert run_to(6, tmp_path / "parts", resume=True) == pytest.approx(whole, abs=1e-6)


def test_a_full_disk_does_not_end_a_run(tmp_path, monkeypatch, capsys):
    trainer, save = trainer_in(tmp_path), LanguageModelTrainer.save
    trainer.recipe = replace(trainer.recipe, steps=2, checkpoint_minutes=0.0)

    def full_before_the_end(self, done):
        if done < 1:
            raise OSError(28, "No space left on device")
        save(self, done)

    monkeypatch.setattr(LanguageModelTrainer, "save", full_before_the_end)
    trainer.run()
    assert trainer.step == 2
    assert "no checkpoint this time (No space left on device)" in capsys.readouterr().err


def failing_at(trainer, step):
    take_step = trainer._train_step

    def fail_or_step(codes, done):
        if trainer.step == step:
            raise RuntimeError("out of memory")
        return take_step(codes, done)

    trainer._train_step = fail_or_step
    return trainer


def test_a_run_that_fails_leaves_a_checkpoint_of_what_it_did(tmp_path):
    with pytest.raises(RuntimeError, match="out of memory"):
        failing_at(trainer_in(tmp_path, time_limit=1000), 3).run()
    resumed = trainer_in(tmp_path, resume=True)
    assert resumed.step == 3
    before = resumed.checkpoint_path.read_bytes()
    with pytest.raises(RuntimeError, match="out of memory"):
        failing_at(resumed, 3).run()
    assert resumed.checkpoint_path.read_bytes() == before


def test_a_checkpoint_tells_of_what_it_is(tmp_path, capsys):
    tokens = {"train-a": numbered(3)}
    trainer = trainer_of(tmp_path, tokens)
    trainer._finite = FiniteSteps(3)
    trainer.save(0.5)
    state = torch.load(trainer.checkpoint_path, weights_only=True)
    assert state["versions"]["sonant"] and state["recipe"]["model"]["name"] == "t"
    assert trainer_of(tmp_path, tokens, resume=True)._finite.skipped == 3
    assert "goes on with" not in capsys.readouterr().err
    other = tiny_recipe(seed=1, learning_rate=0.5, codebooks=[4], codebook_weights=[1])
    trainer_of(tmp_path, tokens, other, resume=True)
    said = (
        "goes on with codebooks = (4,) ((2, 4) before); codebook_weights = (1,) ((1, 1) before); "
        "learning_rate = 0.5 (0.01 before); seed = 1 (0 before)\n"
    )
    assert said in capsys.readouterr().err
    with pytest.raises(ConfigError, match="its optimiser is not muon; start from it in another --output"):
        trainer_of(tmp_path, tokens, tiny_recipe(optimizer="muon"), resume=True)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("start", ["gone.pt", "gone.safetensors", None])
def test_a_resumed_run_does_not_ask_for_what_it_began_from(tmp_path, capsys, tied, start):
    tokens = {"train-a": numbered(3)}
    first = trainer_of(tmp_path, tokens, tiny_recipe(codebook_start=tied))
    first.save(0.5)
    resumed = trainer_of(tmp_path, tokens, tiny_recipe(start=start), resume=True)
    for name, value in first.network.state_dict().items():
        assert torch.equal(value, resumed.network.state_dict()[name]), name
    assert "goes on with" not in capsys.readouterr().err
    if start:
        with pytest.raises((SonantError, OSError), match=start):
            trainer_of(tmp_path / "new", tokens, tiny_recipe(start=start), resume=True)


def test_tokens_too_short_to_train_on_are_a_sentence(tmp_path):
    with pytest.raises(ConfigError, match="frames is 41, more than the 40 of crop_seconds"):
        trainer_of(tmp_path, {"train-a": numbered(3)}, tiny_recipe(frames=41))


@pytest.mark.parametrize("golden", ["24khz"], indirect=True)
def test_crops_too_short_to_train_on_are_an_error_before_tokens_are_made(values, tmp_path):
    result = run(tmp_path / "run", [*values, "frames=76"])
    assert isinstance(result.exception, ConfigError)
    assert "frames is 76, more than the 75 of crop_seconds" in str(result.exception)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("golden", ["24khz"], indirect=True)
def test_a_signal_ends_it_before_whole_numbers_are_made(values, tmp_path, monkeypatch):
    folder, take_step = tmp_path / "run", LanguageModelTrainer._train_step

    def step_and_kill(self, codes, done):
        os.kill(os.getpid(), signal.SIGTERM)
        return take_step(self, codes, done)

    with monkeypatch.context() as patched:
        patched.setattr(LanguageModelTrainer, "_train_step", step_and_kill)
        result = run(folder, values)
    assert result.exit_code == 0, result.exception
    assert result.output.endswith(f"{folder}\n")
    assert {file.name for file in folder.iterdir()} == {"tokens.safetensors", "checkpoint.pt", "log.jsonl"}
    assert run(folder, values, "--resume").exit_code == 0
    assert json.loads((folder / "lm.json").read_text())["steps"] == 4


@pytest.mark.parametrize("golden", ["24khz"], indirect=True)
def test_no_hours_to_train_on_are_an_error_before_tokens_are_made(codec_file, values, tmp_path):
    nothing = [f"hours.train-{kind}=0" for kind in ("speech", "music")]
    result = run(tmp_path / "run", [*values, *nothing])
    assert result.exit_code and "hours names nothing to train on" in str(result.exception)
    assert not (tmp_path / "run" / "tokens.safetensors").exists()


def test_a_signal_ends_it_with_a_checkpoint(tmp_path, monkeypatch):
    trainer = trainer_in(tmp_path)
    step = trainer._train_step

    def kill_after_three(codes, done):
        if trainer.step == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(codes, done)

    monkeypatch.setattr(trainer, "_train_step", kill_after_three)
    before = signal.getsignal(signal.SIGTERM)
    trainer.run()
    assert signal.getsignal(signal.SIGTERM) == before
    assert trainer_in(tmp_path, resume=True).step == 4


@pytest.mark.parametrize(("conditioned", "step_feed_forward"), [(True, 0), (True, 24), (False, 0)])
def test_it_goes_on_from_whole_numbers(conditioned, step_feed_forward, tmp_path):
    """The model that an integer one becomes predicts what that one does."""
    sizes = tiny_recipe().model
    model = replace(sizes, num_layers=2, conditioned=conditioned, step_feed_forward=step_feed_forward)
    recipe = replace(tiny_recipe(steps=40), model=model, frames=40)
    tokens = {"train-a": predictable(0), "validation-a": predictable(1)}
    books = np.random.default_rng(0).standard_normal((4, 16, 8)).astype(np.float32)
    first = LanguageModelTrainer(recipe, tokens, books, tmp_path)
    first.run()
    model = LanguageModel(recipe.model)
    model.load_state_dict(untied(first.model))
    tensors = integer_tensors(model, [torch.from_numpy(tokens["train-a"].astype(np.int64))], 40)
    save_language_model(tmp_path / "lm.safetensors", recipe.model, tensors, "")
    second = LanguageModelTrainer(
        replace(recipe, start=str(tmp_path / "lm.safetensors")), tokens, books, tmp_path / "second"
    )
    learnt, taken_over = first.validate(), second.validate()
    assert learnt["validation-a 4"] < 3
    for name, bits in learnt.items():
        assert taken_over[name] == pytest.approx(bits, rel=0.02)
    other = replace(recipe, model=sizes, start=str(tmp_path / "lm.safetensors"))
    with pytest.raises(ConfigError, match="other sizes"):
        LanguageModelTrainer(other, tokens, books, tmp_path / "third")


def test_step_networks_begin_as_what_a_model_without_them_computes(tmp_path):
    recipe = tiny_recipe(steps=20)
    tokens = {"train-a": predictable(0), "validation-a": predictable(1)}
    books = np.random.default_rng(0).standard_normal((4, 16, 8)).astype(np.float32)
    tensors = integer_tensors(
        LanguageModel(recipe.model), [torch.from_numpy(tokens["train-a"].astype(np.int64))], 20
    )
    save_language_model(tmp_path / "lm.safetensors", recipe.model, tensors, "")
    start = replace(recipe, start=str(tmp_path / "lm.safetensors"))
    without = LanguageModelTrainer(start, tokens, books, tmp_path / "without")
    wider = replace(start, model=replace(recipe.model, step_feed_forward=24))
    grown = LanguageModelTrainer(wider, tokens, books, tmp_path / "grown")
    assert grown.validate() == without.validate()
    grown.run()
    assert all(network.linear2.weight.any() for network in grown.model.conditioner.feed_forward)


def test_a_tied_model_and_what_is_written_out_are_the_same():
    recipe = tiny_recipe()
    model, codes = LanguageModel(recipe.model), torch.randint(0, 16, (2, 4, 20))
    start_from_codebooks(model, torch.randn(4, 16, 8))
    plain = LanguageModel(recipe.model)
    plain.load_state_dict(untied(model))
    logits, _ = plain(shifted(codes), None, 0, codes)
    expected = torch.nn.functional.cross_entropy(logits.permute(0, 3, 1, 2), codes.transpose(1, 2))
    torch.testing.assert_close(cross_entropy(model, codes).mean(), expected)


@pytest.mark.parametrize("past_context", [4, 50])
def test_step_by_step_is_as_all_at_once(past_context):
    """A window that reaches to the start takes another way through attention than a short one."""
    torch.manual_seed(0)
    recipe = tiny_recipe()
    model = LanguageModel(replace(recipe.model, past_context=past_context)).eval()
    codes = torch.randint(0, 16, (2, 4, 20))
    previous, state, steps = shifted(codes), None, []
    with torch.no_grad():
        whole, _ = model(previous, None, 0, codes)
        for t in range(20):
            now = slice(t, t + 1)
            logits, state = model(previous[:, :, now], state, t, codes[:, :, now])
            steps.append(logits)
    torch.testing.assert_close(torch.cat(steps, dim=1), whole)


@pytest.mark.parametrize("name", ["lm_24khz.toml", "lm_24khz_paper.toml"])
def test_recipes_can_be_read(name):
    recipe = load_lm_recipe(RECIPES / name)
    assert recipe.model.n_q == max(recipe.codebooks) and recipe.frames <= 375


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("precision=half", "precision is 'half'; choose one of 32-true, bf16-mixed"),
        ("nonsense=1", "unknown key in the recipe: nonsense"),
        ("codebooks=[2, 4, 8, 64]", "more codebooks than its model has"),
        ("model.n_q=0", "model.n_q is more than 0"),
        ("model=3", "model is a table, not 3"),
        ("codebooks=[4]", "codebooks and codebook_weights are of one length"),
        ("codebooks=[]", "codebooks and codebook_weights are of one length"),
        ("codebooks=[0, 2, 4, 8]", "codebooks is more than 0"),
        ("codebook_weights=[0, 0, 0, 0]", "codebook_weights has none above 0"),
        ("codebook_start=False", 'codebook_start is true or false, not "False"'),
        ("frame_rate=75.0", "unknown key in the recipe: frame_rate"),
        ("batch_size=-3", "batch_size is more than 0"),
        ("steps.x=3", "steps is a whole number"),
        ("warmup_steps=0", "warmup_steps is more than 0"),
        ("model.num_heads=7", "a multiple of model.num_heads"),
        ("model.conditioned=false", "model.step_feed_forward is for models with model.conditioned"),
        ("threads=257", "threads is 0 to 256, not 257"),
        ("hours.train-music=much", "hours is a table of numbers"),
        ("threads", "not of the form section.key=value"),
    ],
)
def test_recipes_that_make_no_sense(change, message):
    with pytest.raises(ConfigError, match=message):
        load_lm_recipe(RECIPES / "lm_24khz.toml", [change])


def test_changes_come_last():
    changes = ["hours.train-music=3", "learning_rate=2e-3", "start=a.safetensors", "pack=elsewhere"]
    recipe = load_lm_recipe(RECIPES / "lm_24khz.toml", changes)
    assert recipe.hours["train-music"] == 3 and recipe.hours["validation-music"] == 0.08
    assert (recipe.learning_rate, recipe.start, recipe.pack) == (2e-3, "a.safetensors", "elsewhere")
    assert load_lm_recipe(RECIPES / "lm_24khz.toml", ["hours={train-a=1}"]).hours == {"train-a": 1}


def numbered(crops, kind=0):
    """Crops whose codes are all the number of the crop."""
    return (np.arange(crops) + kind).astype(np.int16)[:, None, None] * np.ones((1, 4, 40), np.int16)


def trainer_of(folder, tokens, recipe=None, **settings):
    books = np.random.default_rng(0).standard_normal((4, 16, 8)).astype(np.float32)
    return LanguageModelTrainer(recipe or tiny_recipe(), tokens, books, folder, **settings)


def test_the_learning_rate_rises_at_first_and_falls_to_a_fiftieth(tmp_path):
    trainer = trainer_of(tmp_path, {"train-a": numbered(3)})
    codes, rates = torch.zeros((2, 4, 20), dtype=torch.long), []
    for step, done in ((0, 0.0), (10, 0.0), (10, 0.5), (10, 1.0)):
        trainer.step = step
        trainer._train_step(codes, done)
        rates.append(trainer.optimizers[0].param_groups[0]["lr"])
    assert rates == pytest.approx([2e-3, 1e-2, 0.51e-2, 2e-4])


def test_batches_draw_from_all_crops_kinds_by_size_and_codebooks_by_weight(tmp_path):
    tokens = {"train-a": numbered(9), "train-b": numbered(1, kind=9), "validation-a": numbered(1, kind=10)}
    trainer = trainer_of(tmp_path, tokens, tiny_recipe(codebook_weights=[1, 0]))
    batches = trainer._batches()
    drawn = []
    for trainer.step in range(100):
        drawn.append(next(batches))
    seen = torch.stack(drawn)[:, :, 0, 0].flatten()
    assert drawn[0].shape == (8, 2, 20)
    counts = torch.bincount(seen, minlength=11)
    assert counts[10] == 0
    assert counts[:10].min() > 40 and counts[:10].max() < 125  # 80 each


@pytest.mark.parametrize(("saved", "goes_on_at"), [(0.5, 0.5), (1.0, 0.0)])
def test_a_run_cut_off_goes_on_with_its_share_and_a_finished_one_anew(tmp_path, saved, goes_on_at):
    trainer_of(tmp_path, {"train-a": numbered(3)}).save(saved)
    trainer = trainer_of(tmp_path, {"train-a": numbered(3)}, time_limit=10, resume=True)
    assert trainer._done(0.0) == goes_on_at
    assert trainer._done(5.0) == goes_on_at + (1 - goes_on_at) / 2


def test_gradients_are_clipped(tmp_path):
    recipe = tiny_recipe(gradient_clip=1e-12, weight_decay=0.0)
    trainer = trainer_of(tmp_path, {"train-a": numbered(3)}, recipe)
    before = [parameter.detach().clone() for parameter in trainer.network.parameters()]
    trainer._train_step(torch.zeros((2, 4, 20), dtype=torch.long), 0.0)
    for old, new in zip(before, trainer.network.parameters(), strict=True):
        torch.testing.assert_close(new, old, rtol=0, atol=1e-5)


def test_a_batch_is_shared_evenly_or_not_at_all(tmp_path, monkeypatch):
    monkeypatch.setattr(lm_training, "make_fabric", lambda *_, **__: SimpleNamespace(world_size=3))
    with pytest.raises(ConfigError, match="a batch of 2 cannot be shared by 3 processes"):
        trainer_of(tmp_path, {"train-a": numbered(3)}, tiny_recipe(batch_size=2))


@pytest.mark.parametrize("part", ["self_attn.out_proj", "linear2"])
def test_whole_numbers_reach_as_far_as_what_layers_add(part):
    """What goes into a norm may be far larger than what comes out of the one before."""
    torch.manual_seed(0)
    sizes = replace(tiny_recipe().model, num_layers=2)
    model, codes = LanguageModel(sizes).eval(), torch.randint(0, sizes.bins, (2, sizes.n_q, 40))
    for layer in model.transformer.layers:
        layer.get_submodule(part).weight.data *= 50
    whole = IntegerLanguageModel(sizes, integer_tensors(model, [codes], 40))
    assert relative_error(whole, model, codes) < 0.05


def relative_error(whole, model, codes):
    """Of what the layers of an integer model give for codes `[B, n_q, T]`, its grid fitted."""
    previous = shifted(codes)
    found = whole.forward(previous.numpy(), whole.start(len(codes), codes.shape[2])).ravel()
    with torch.no_grad():
        expected = model.head_inputs(previous, None, 0, codes)[0][0].numpy().ravel()
    grid = found @ expected / (found @ found)
    return np.linalg.norm(expected - grid * found) / np.linalg.norm(expected)


def test_whole_numbers_reach_as_far_as_few_codebooks_need():
    """A file may have fewer codebooks than the model, whose sums are then other ones."""
    torch.manual_seed(0)
    recipe = tiny_recipe(codebooks=[1, 4])
    model, codes = LanguageModel(recipe.model).eval(), torch.randint(0, recipe.model.bins, (2, 4, 40))
    first, *others = model.emb
    first.weight.data[:, 0] += 3
    for table in others:
        table.weight.data *= 30
        table.weight.data[:, 0] = 0
    model.transformer.layers[0].linear1.weight.data[:, 0] += 10
    whole = IntegerLanguageModel(
        recipe.model, integer_tensors(model, _calibration({"train-a": codes.numpy()}, recipe), 40)
    )
    assert relative_error(whole, model, codes) < 0.05
    assert relative_error(whole, model, codes[:, :1]) < 0.05


def test_activation_grids_span_all_but_one_in_a_hundred_thousand():
    assert _almost_largest(torch.arange(200_000.0)) == 199_997


def test_a_checkpoint_of_other_sizes_is_a_sentence(tmp_path):
    tokens = {"train-a": numbered(3)}
    trainer_of(tmp_path, tokens).save(0.5)
    model = {
        "name": "t",
        "n_q": 4,
        "bins": 16,
        "dim": 8,
        "num_layers": 1,
        "num_heads": 2,
        "feed_forward": 32,
    }
    with pytest.raises(ConfigError, match="is no checkpoint of the recipe's model"):
        trainer_of(tmp_path, tokens, tiny_recipe(model={**model, "feed_forward": 32}), resume=True)
