"""Checkpoints: everything a run needs to go on as if it had not stopped, written atomically."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

import sonant
from sonant.errors import SonantError
from sonant.training.recipe import Recipe
from sonant.whole_files import remove_partials, replacing

CHECKPOINT_NAME = "checkpoint.pt"

State = dict[str, Any]


def random_state() -> State:
    """The state of PyTorch's generators."""
    state: State = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def set_random_state(state: State) -> None:
    """Continue the generators of `random_state`."""
    torch.set_rng_state(state["cpu"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])


def save_checkpoint(path: Path, recipe: Recipe, state: State) -> None:
    """Write a checkpoint with its recipe and the versions that made it, under a temporary name first.

    What a run that was killed while writing left behind goes.
    """
    remove_partials(path)
    versions = {"sonant": sonant.__version__, "torch": str(torch.__version__)}
    with replacing(path) as temporary, open(temporary, "wb") as file:
        torch.save({"recipe": recipe.to_dict(), "versions": versions, **state}, file)
        file.flush()
        os.fsync(file.fileno())


def load_checkpoint(path: Path, recipe: Recipe) -> State:
    """Read a checkpoint of the same model, discriminators and kind of optimiser, with the same to learn.

    Raises:
        SonantError: if it is damaged or of others.
    """
    try:
        state = torch.load(path, "cpu", weights_only=True)
        kept = state["recipe"]
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise SonantError(f"{path}: cannot be resumed, the checkpoint is damaged ({reason})") from None
    wanted = recipe.to_dict()
    for key in ("model", "quantizer", "decoder_only"):
        if kept[key] != wanted[key]:
            raise SonantError(f"{path}: is of another {key} than the recipe; choose another --output")
    judges, wanted_judges = kept["discriminator"], wanted["discriminator"]
    if judges["start_step"] >= 0 and wanted_judges["start_step"] >= 0:
        judges.setdefault("period_filters", judges["filters"])  # runs from before it had one size for all
        sizes = ("filters", "period_filters") if "mpd" in judges["kinds"] else ("filters",)
        for key in ("kinds", *sizes, "windows"):
            if judges[key] != wanted_judges[key]:
                name = f"discriminator.{key}"
                raise SonantError(f"{path}: is of another {name} than the recipe; choose another --output")
    if kept["optimizer"].get("kind") != recipe.optimizer.kind:
        advice = "start from the run's weights in another --output"
        raise SonantError(f"{path}: its optimiser is not {recipe.optimizer.kind}; {advice}")
    return state
