"""Checkpoints: everything a run needs to go on as if it had not stopped, written atomically."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

import sonant
from sonant.errors import SonantError
from sonant.nn.distributed import largest
from sonant.training.lm_recipe import LanguageModelRecipe
from sonant.training.recipe import Recipe
from sonant.whole_files import remove_partials, replacing

CHECKPOINT_NAME = "checkpoint.pt"

State = dict[str, Any]
AnyRecipe = Recipe | LanguageModelRecipe


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


def changes_since(state: State, recipe: AnyRecipe) -> list[str]:
    """What a recipe says otherwise than that of a checkpoint, a clause for each value that counts.

    What a run began from does not, once it has weights of its own.
    """
    kept, wanted = flat(state["recipe"]), flat(recipe.to_dict())
    begun = {"start", "codebook_start"}
    if has_discriminators(state):
        begun.add("discriminator.start")
    return [
        f"{key} = {value} ({kept[key]} before)"
        for key, value in wanted.items()
        if key in kept and kept[key] != value and key not in begun
    ]


def tell_changes(state: State, recipe: AnyRecipe) -> None:
    """Say on standard error what `changes_since` finds, if anything."""
    if changes := changes_since(state, recipe):
        print(f"goes on with {'; '.join(changes)}", file=sys.stderr, flush=True)


def has_discriminators(state: State) -> bool:
    """Whether a checkpoint brings discriminators; that of a language model never does."""
    return "objective" in state and bool(state["objective"]["discriminators"])


def flat(values: Mapping[str, Any], section: str = "") -> dict[str, Any]:
    """Nested values by their dotted names."""
    named: dict[str, Any] = {}
    for key, value in values.items():
        named |= flat(value, f"{section}{key}.") if isinstance(value, dict) else {f"{section}{key}": value}
    return named


def save_checkpoint(path: Path, recipe: AnyRecipe, state: State) -> None:
    """Write a checkpoint with its recipe and the versions that made it, as `save_state` does."""
    versions = {"sonant": sonant.__version__, "torch": str(torch.__version__)}
    save_state(path, {"recipe": recipe.to_dict(), "versions": versions, **state})


def save_state(path: Path, state: State) -> None:
    """Write what `torch.load` reads, under a temporary name first.

    What a run that was killed while writing left behind goes.

    Raises:
        OSError: if it cannot be written.
    """
    remove_partials(path)
    with replacing(path) as temporary, open(temporary, "wb") as file:
        try:
            torch.save(state, file)
        except RuntimeError as error:
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise
        file.flush()
        os.fsync(file.fileno())


def if_possible(save: Callable[[], None]) -> None:
    """Save now, or say on standard error why not: a run goes on, and saves again later."""
    try:
        save()
    except OSError as error:
        print(f"no checkpoint this time ({error.strerror or error})", file=sys.stderr, flush=True)


def read_checkpoint(path: Path) -> State:
    """Read what `save_checkpoint` wrote.

    Raises:
        SonantError: if it is damaged.
    """
    try:
        state: State = torch.load(path, "cpu", weights_only=True)
        if "recipe" not in state:
            raise ValueError("it holds no recipe")
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise SonantError(f"{path}: cannot be resumed, the checkpoint is damaged ({reason})") from None
    return state


def load_checkpoint(path: Path, recipe: Recipe) -> State:
    """Read a codec's checkpoint of the same model, discriminators and kind of optimiser, as much to learn.

    Raises:
        SonantError: if it is damaged or of others.
    """
    state = read_checkpoint(path)
    kept, wanted = state["recipe"], recipe.to_dict()
    for key in ("model", "quantizer", "decoder_only"):
        if kept[key] != wanted[key]:
            raise SonantError(f"{path}: is of another {key} than the recipe; choose another --output")
    if kept["discriminator"]["start_step"] >= 0 and wanted["discriminator"]["start_step"] >= 0:
        _check_discriminators(path, state, recipe)
    if kept["optimizer"].get("kind") != recipe.optimizer.kind:
        advice = "start from the run's weights in another --output"
        raise SonantError(f"{path}: its optimiser is not {recipe.optimizer.kind}; {advice}")
    return state


def _check_discriminators(path: Path, state: State, recipe: Recipe) -> None:
    """Raise SonantError unless the discriminators of a checkpoint are those of a recipe."""
    kept, wanted = state["recipe"]["discriminator"], recipe.to_dict()["discriminator"]
    kept.setdefault("period_filters", kept["filters"])  # runs from before it had one size for all
    sizes = ("filters", "period_filters") if "mpd" in kept["kinds"] else ("filters",)
    for key in ("kinds", *sizes, "windows", "per_bandwidth"):
        if kept[key] != wanted[key]:
            name = f"discriminator.{key}"
            raise SonantError(f"{path}: is of another {name} than the recipe; choose another --output")
    keys = state["objective"]["discriminators"]
    if kept["per_bandwidth"] and {*keys} != {*recipe.codebook_choices}:
        raise SonantError(f"{path}: has discriminators for other codebooks; choose another --output")
