"""`recipes/mean_of_runs.py`: the mean of several runs' weights, of one config."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np

from sonant.models.store import load_weights, save_weights

SCRIPT = Path(__file__).parents[2] / "recipes" / "mean_of_runs.py"
BUNDLED = Path(__file__).parents[2] / "src" / "sonant" / "models" / "24khz.safetensors"


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, SCRIPT, *map(str, arguments)], capture_output=True, text=True)


def test_weights_are_averaged_and_configs_must_agree(tmp_path: Path) -> None:
    weights, config = load_weights(BUNDLED)
    other, renamed, mean = (tmp_path / f"{name}.safetensors" for name in ("other", "renamed", "mean"))
    louder = {name: array * (3 if name.startswith("decoder.") else 1) for name, array in weights.items()}
    save_weights(other, louder, config)
    assert run(BUNDLED, other, "-o", mean).returncode == 0
    found, found_config = load_weights(mean)
    assert found_config == config
    for name, array in weights.items():
        times = 2 if name.startswith("decoder.") else 1
        np.testing.assert_allclose(found[name], times * array, rtol=2e-3)
    save_weights(renamed, weights, dataclasses.replace(config, name="another"))
    assert "only runs of one config" in run(BUNDLED, renamed, "-o", mean).stderr
