"""Checkpoints: everything a run needs to go on as if it had not stopped, written atomically."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

import sonant
from sonant.errors import SonantError
from sonant.nn.distributed import largest
from sonant.training.recipe import Recipe
from sonant.whole_files import remove_partials, replacing

CHECKPOINT_NAME = "checkpoint.pt"

State = dict[str, Any]


def is_there(path: Path, device: torch.device) -> bool:
    """Whether there is a checkpoint, asked by all ranks, whose devices are given.

    Raises:
        SonantError: if some find it and others do not.
    """
    here = path.exists()
    found, missing = largest(device, here, not here)
    if found and missing:
        raise SonantError(f"{path}: is on some of the machines only; share the folder, or copy it to all")
    return here


def changes_since(state: State, recipe: Recipe) -> list[str]:
    """What a recipe says otherwise than that of a checkpoint, a clause for each value."""
    kept, wanted = flat(state["recipe"]), flat(recipe.to_dict())
    return [
        f"{key} = {value} ({kept[key]} before)"
        for key, value in wanted.items()
        if key in kept and kept[key] != value
    ]


def flat(values: Mapping[str, Any], section: str = "") -> dict[str, Any]:
    """Nested values by their dotted names."""
    named: dict[str, Any] = {}
    for key, value in values.items():
        named |= flat(value, f"{section}{key}.") if isinstance(value, dict) else {f"{section}{key}": value}
    return named


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
