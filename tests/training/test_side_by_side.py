"""`recipes/side_by_side.py`: runs that go on from their mean."""

import subprocess
import sys

import numpy as np
import torch

from sonant.models.store import load_weights
from sonant.training.loop import Trainer
from sonant.training.recipe_files import load_recipe
from training.test_recipes import RECIPES, TINY

SCRIPT = RECIPES / "side_by_side.py"


def run(out, *changes):
    options = [part for change in [*TINY, *changes] for part in ("--set", change)]
    command = [SCRIPT, RECIPES / "24khz.toml", "-o", out, "--runs", "2", "--time-limit", "10m", *options]
    return subprocess.run([sys.executable, *map(str, command)], capture_output=True, text=True)


def test_runs_go_on_from_their_mean(pack, tmp_path):
    changes = ["model.bandwidths=[0.6, 1.2]", f"data.pack={pack}"]
    Trainer(load_recipe(RECIPES / "24khz.toml", [*TINY, *changes]), tmp_path / "first").run()
    start = tmp_path / "first" / "weights.safetensors"
    out = tmp_path / "both"
    result = run(out, *changes, f"start={start}", "model.n_filters=4")
    assert result.returncode == 0, result.stderr
    first, second = (torch.load(out / k / "checkpoint.pt", weights_only=True) for k in ("0", "1"))
    assert first["step"] == second["step"] == 2
    for key in ("network", "optimizers", "average", "objective"):
        torch.testing.assert_close(first[key], second[key], rtol=0, atol=0)
    weights, each, other = (load_weights(x / start.name)[0] for x in (out, out / "0", out / "1"))
    assert any((each[name] != other[name]).any() for name in weights)
    common = load_weights(out / "start.safetensors")[0]
    for name in (name for name in common if name.endswith("weight_v")):
        assert abs(each[name] - common[name]).max() < 0.01 < abs(common[name]).max()
    for name, array in weights.items():
        np.testing.assert_allclose(array, (each[name] + other[name]) / 2, rtol=2e-3, atol=1e-6)


def test_only_runs_from_one_start_have_a_mean(tmp_path):
    assert "set start" in run(tmp_path, "model.bandwidths=[0.6, 1.2]").stderr
