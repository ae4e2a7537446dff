"""`recipes/refit_codebooks.py`: nearer codebooks, and nothing else."""

import subprocess
import sys

import numpy as np
import torch

from sonant.models.store import load_weights, save_weights
from sonant.nn.quantizer import search
from sonant.training.loop import Trainer
from sonant.training.mixing import MixedCrops
from sonant.training.networks import build_codec
from sonant.training.recipe_files import load_recipe
from training.test_recipes import RECIPES, TINY

SCRIPT, RECIPE = RECIPES / "refit_codebooks.py", RECIPES / "24khz.toml"


def error(start, changes, n_q):
    """What `n_q` codebooks leave of the latents of audio that no run has seen."""
    recipe = load_recipe(RECIPE, [*changes, f"start={start}"])
    network = build_codec(recipe)
    crops = MixedCrops(recipe.data, recipe.model.sample_rate, 1, seed=99)
    with torch.no_grad():
        vectors = network.encoder(torch.stack([crops[i][0] for i in range(24)])).flatten(0, 1)
        codes = search(vectors, network.quantizer.codebooks[:n_q])
        return (vectors - network.quantizer.decode(codes[:, :, None])[:, 0]).square().mean().item()


def test_codebooks_come_nearer_and_the_rest_stays(pack, tmp_path):
    changes = [*TINY, "model.bandwidths=[0.6, 1.2]", f"data.pack={pack}"]
    Trainer(load_recipe(RECIPE, changes), tmp_path).run()
    start, noisy, out = (tmp_path / f"{name}.safetensors" for name in ("weights", "noisy", "out"))
    weights, config = load_weights(start)
    spread = weights["codebooks"].std(axis=(1, 2), keepdims=True)
    noise = np.random.default_rng(0).standard_normal(weights["codebooks"].shape)
    weights["codebooks"] = (weights["codebooks"] + spread * noise).astype(np.float32)
    save_weights(noisy, weights, config)
    options = [part for change in [*changes, f"start={noisy}"] for part in ("--set", change)]
    command = [sys.executable, SCRIPT, RECIPE, "-o", out, "--steps", "20", *options]
    result = subprocess.run([*map(str, command)], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    found, found_config = load_weights(out)
    assert found_config == config
    for name, array in weights.items():
        if name != "codebooks":
            np.testing.assert_allclose(found[name], array, rtol=2e-3, atol=1e-6)
    for n_q in (1, 2):
        assert error(out, changes, n_q) < 0.8 * error(noisy, changes, n_q)
