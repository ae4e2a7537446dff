"""Several runs of one recipe, each on a core of its own, that go on from their mean every few minutes.

    python recipes/side_by_side.py recipes/24khz_16_structure.toml -o runs/structure --time-limit 80m

On a CPU this takes more steps than one run whose processes exchange every gradient, since none waits for
another. What has a mean are weights, codebooks, moments, averages and discriminators. The runs lie in the
folders 0, 1, … with their logs, and weights.safetensors is the mean of theirs at the end; all begin as
start.safetensors, since what a larger network gets beside the weights it starts from is drawn. Every round
draws other crops, from run.seed on: set another to go on in a new folder.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Any

import torch
from mean_of_runs import mean_of_runs

from sonant.cli.train import seconds
from sonant.errors import ConfigError, SonantError
from sonant.models.store import save_weights
from sonant.nn.weights import export_weights
from sonant.parallel import cores
from sonant.training.checkpoint import CHECKPOINT_NAME, load_checkpoint, save_checkpoint
from sonant.training.devices import keep_to_own_cores
from sonant.training.loop import WEIGHTS_NAME
from sonant.training.networks import build_codec
from sonant.training.recipe import Recipe
from sonant.training.recipe_files import load_recipe

AVERAGED = ("network", "optimizers", "average", "objective")
START_NAME = "start.safetensors"
SHORTEST_ROUND = 60.0


def mean(values: Sequence[Any]) -> Any:
    """The mean of tensors, one by one, in nested lists and dictionaries, of those that have one.

    Of anything else the first.
    """
    first = values[0]
    if isinstance(first, dict):
        keys = dict.fromkeys(key for value in values for key in value)
        return {key: mean([value[key] for value in values if key in value]) for key in keys}
    if isinstance(first, list | tuple):
        return type(first)(mean(parts) for parts in zip(*values, strict=True))
    if isinstance(first, torch.Tensor) and first.is_floating_point() and first.ndim:
        return torch.stack(list(values)).mean(0)
    return first


def exchange(folders: Sequence[Path], recipe: Recipe) -> None:
    """Have all runs go on from their mean; each keeps its step and random state."""
    paths = [folder / CHECKPOINT_NAME for folder in folders]
    states = [load_checkpoint(path, recipe) for path in paths]
    means = {key: mean([state[key] for state in states]) for key in AVERAGED}
    for path, state in zip(paths, states, strict=True):
        save_checkpoint(path, recipe, state | means)


def one_round(
    folders: Sequence[Path], arguments: Sequence[str], first_seed: int, stop_after: float
) -> bool:
    """Train every run for so many seconds; returns whether all ended by themselves before.

    Raises:
        SonantError: if one fails.
    """
    sonant = str(Path(sys.executable).with_name("sonant"))
    runs, ended = [], True
    for k, folder in enumerate(folders):
        seed = f"run.seed={first_seed + k}"
        changes = ["--set", "run.devices=1", "--set", "run.threads=1", "--set", seed]
        command = [sonant, "train", *arguments, "-o", str(folder), "--resume", *changes]
        run = subprocess.Popen(command)
        keep_to_own_cores(k, len(folders), run.pid)
        runs.append(run)
    ends = time.monotonic() + stop_after
    for run in runs:
        try:
            run.wait(max(0.0, ends - time.monotonic()))
        except subprocess.TimeoutExpired:
            run.terminate()
            ended = False
    failed = sum(run.wait() != 0 for run in runs)
    if failed:
        raise SonantError(f"{failed} of the runs failed")
    return ended


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--runs", type=int, default=cores(), help="by default one for each core")
    parser.add_argument("--time-limit", type=seconds, required=True, help="of everything, as 80m")
    parser.add_argument("--mean-every", type=seconds, default=seconds("15m"))
    parser.add_argument("--set", action="append", default=[], help="as of `sonant train`")
    options = parser.parse_args()
    recipe = load_recipe(options.recipe, options.set)
    if recipe.start is None:
        raise ConfigError("runs that begin at random have no mean: set start")
    start = options.output / START_NAME
    if not start.exists():
        torch.manual_seed(recipe.run.seed)
        start.parent.mkdir(parents=True, exist_ok=True)
        save_weights(start, export_weights(build_codec(recipe)), recipe.model)
    recipe = replace(recipe, start=str(start))
    changes = [part for change in [*options.set, f"start={start}"] for part in ("--set", change)]
    folders = [options.output / str(k) for k in range(options.runs)]
    ends, seed, ended = time.monotonic() + options.time_limit, recipe.run.seed, False
    while not ended:
        left = max(1.0, ends - time.monotonic())
        arguments = [options.recipe, "--time-limit", f"{left:.0f}s", *changes]
        last = left < options.mean_every + SHORTEST_ROUND
        ended = one_round(folders, arguments, seed, inf if last else options.mean_every)
        exchange(folders, recipe)
        seed += len(folders)
    mean_of_runs([folder / WEIGHTS_NAME for folder in folders], options.output / WEIGHTS_NAME)


if __name__ == "__main__":
    main()
