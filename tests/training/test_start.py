"""Where a run begins: weights of any layout, smaller networks, none but its own."""

import random
from dataclasses import replace

import numpy as np
import pytest
import torch

from sonant.errors import ConfigError, SonantError, WeightsError
from sonant.models.export import export_transformers
from sonant.models.store import load_weights, save_weights
from sonant.nn.weights import export_weights
from sonant.training.loop import Trainer
from sonant.training.networks import build_codec
from training.training_helpers import losses, with_steps


def test_a_run_that_starts_as_a_transform_needs_no_warm_start(tiny_recipe, tmp_path):
    recipe = tiny_recipe(
        model={"n_filters": 16, "dimension": 32, "bins": 64, "bandwidths": [0.45, 0.9, 1.8]},
        data={"strategies": [{"weight": 1, "kinds": ["music"]}], "gain_db": [0, 0]},
        loss={"time": 10.0, "balancer": False},
        run={"steps": 2, "warm_start_steps": 0, "transform_crops": 32, "log_every": 1, "listen_every": 0},
    )
    plain = replace(recipe, run=replace(recipe.run, transform_crops=0))
    started, cold = tmp_path / "started", tmp_path / "cold"
    for folder, plan in ((started, recipe), (cold, plain)):
        Trainer(plan, folder).run()
    assert losses(started)[0]["time"] < losses(cold)[0]["time"] / 2


def test_decoder_only_needs_an_encoder(tiny_recipe):
    with pytest.raises(ConfigError, match="set start"):
        tiny_recipe(decoder_only=True)


def test_a_run_starts_from_weights(tiny_recipe, tmp_path):
    recipe = with_steps(tiny_recipe(), 3)
    Trainer(recipe, tmp_path).run()
    weights, _ = load_weights(tmp_path / "weights.safetensors")
    again = Trainer(replace(recipe, start=str(tmp_path / "weights.safetensors")), tmp_path / "next")
    codebooks = again.network.module.quantizer.codebooks.numpy()
    assert (codebooks == weights["codebooks"]).all()
    again.run()
    (tmp_path / "weights.safetensors").unlink()
    assert Trainer(again.recipe, tmp_path / "next", resume=True).step == 3


def test_a_run_starts_from_weights_in_the_layout_of_transformers(tiny_recipe, tmp_path):
    recipe = tiny_recipe()
    network = build_codec(recipe)
    network.quantizer.fit(torch.randn(500, recipe.model.dimension), 3, 10)
    weights = export_weights(network)
    export_transformers(recipe.model, weights, tmp_path / "model")
    again = export_weights(build_codec(replace(recipe, start=str(tmp_path / "model"))))
    assert again.keys() == weights.keys()
    assert all(np.allclose(again[key], weights[key], atol=1e-6) for key in weights)


def test_a_run_starts_from_fewer_codebooks_under_another_name(tiny_recipe, tmp_path):
    small = {"name": "small", "n_q": 2, "bandwidths": [0.3, 0.6]}
    Trainer(with_steps(tiny_recipe(model=small), 1), tmp_path).run()
    network = build_codec(tiny_recipe(start=str(tmp_path / "weights.safetensors")))
    assert network.quantizer.initialised.tolist() == [True, True, False, False]


@pytest.mark.parametrize(
    "grown", [{"n_residual_layers": 2}, {"n_filters": 4}, {"n_residual_layers": 2, "n_filters": 6}]
)
def test_a_run_starts_from_fewer_residual_units_or_filters(tiny_recipe, tmp_path, grown):
    Trainer(with_steps(tiny_recipe(), 1), tmp_path).run()
    start = str(tmp_path / "weights.safetensors")
    model = tiny_recipe().model
    assert (model.n_residual_layers, model.n_filters) == (1, 2)
    before = build_codec(tiny_recipe(start=start))
    larger = build_codec(tiny_recipe(start=start, model=grown))
    audio = 0.1 * torch.randn(1, 3200, 1)
    assert sum(p.numel() for p in larger.parameters()) > sum(p.numel() for p in before.parameters())
    torch.testing.assert_close(larger(audio, 2)[0], before(audio, 2)[0], rtol=1e-4, atol=1e-5)
    with pytest.raises(SonantError, match="n_residual_layers = 1, that of the recipe 0"):
        build_codec(tiny_recipe(start=start, model={"n_residual_layers": 0}))


@pytest.mark.parametrize(
    "change",
    [
        {"n_filters": 3},
        {"lstm_layers": 2},
        {"bins": 32, "bandwidths": [0.75]},
        {"sample_rate": 48_000, "bandwidths": [0.6]},
        {"pad_mode": "reflect"},
        {"causal": False, "segment": 1.0},
        {"dilation_base": 3},
    ],
)
def test_weights_of_another_model_are_refused(tiny_recipe, tmp_path, change):
    Trainer(with_steps(tiny_recipe(), 1), tmp_path).run()
    recipe = tiny_recipe(model=change, start=str(tmp_path / "weights.safetensors"))
    with pytest.raises(WeightsError, match=f"its model has {next(iter(change))} = "):
        build_codec(recipe)


def without(name):
    return lambda weights: {key: value for key, value in weights.items() if key != name}


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (without("encoder.0.weight"), "the weights lack encoder.0.weight"),
        (without("codebooks"), "the weights lack codebooks"),
        (lambda w: {**w, "encoder.0.bias": np.zeros(3)}, r"bias has the shape \[3\] and not \[2\]"),
        (lambda w: {**w, "codebooks": np.zeros((9, 16, 8))}, r"\[9, 16, 8\] and not \[4, 16, 8\]"),
    ],
)
def test_weights_that_are_not_as_their_config_are_refused(tiny_recipe, tmp_path, spoil, message):
    recipe, path = tiny_recipe(), tmp_path / "weights.safetensors"
    save_weights(path, spoil(export_weights(build_codec(recipe))), recipe.model)
    with pytest.raises(WeightsError, match=message):
        build_codec(replace(recipe, start=str(path)))


def test_no_usable_file_is_an_error_at_the_start(tiny_recipe, corpus_folder, tmp_path):
    from sonant.training.manifest import read_manifest, write_manifest

    recordings = [replace(r, file=str(tmp_path / "gone.wav")) for r in read_manifest(packed(tiny_recipe))]
    write_manifest(tmp_path / "manifest.jsonl", recordings)
    recipe = tiny_recipe()
    recipe = replace(recipe, data=replace(recipe.data, pack=str(tmp_path)))
    with pytest.raises(SonantError, match=r"no file could be read .*gone.wav: no such file"):
        Trainer(recipe, tmp_path / "run").run()


def packed(tiny_recipe):
    from pathlib import Path

    return Path(tiny_recipe().data.packs[0])


def test_a_missing_pack_is_an_error_at_the_start(tiny_recipe, tmp_path):
    recipe = tiny_recipe(data={"pack": str(tmp_path / "nowhere")})
    with pytest.raises(ConfigError, match="nowhere"):
        Trainer(recipe, tmp_path)


def test_only_a_run_that_begins_at_random_begins_without_a_quantiser(trainer):
    plain = replace(trainer.recipe, codebooks=(4,))
    transform = replace(plain, run=replace(plain.run, transform_crops=8))
    for recipe, expected in (
        (plain, [0, 0, 4]),
        (replace(plain, start="weights.safetensors"), [4, 4, 4]),
        (transform, [4, 4, 4]),
    ):
        drawn = []
        for trainer.step in range(3):
            trainer.recipe = recipe
            drawn.append(trainer._draw_codebooks(random.Random(0)))
        assert drawn == expected
