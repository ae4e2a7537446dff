"""`sonant train`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from sonant.errors import ConfigError, extra_missing

UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "": 1.0}


def train(
    recipe: Annotated[
        str, typer.Argument(help="A recipe: FILE.toml or FILE.toml:VARIANT, such as recipes/24khz.toml.")
    ],
    out: Annotated[
        Path | None, typer.Option("-o", "--output", help="Folder of the run; by default runs/RECIPE.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue from the folder's checkpoint.")
    ] = False,
    time_limit: Annotated[
        str | None, typer.Option("--time-limit", help="Save and stop after this time: 25m, 1h30m, 90s.")
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change a value of the recipe, as loss.mel=2; may be repeated."),
    ] = None,
) -> None:
    """Train a codec or a language model from a recipe.

    Stops after the recipe's steps, at the time limit, or on SIGTERM.
    """
    limit = seconds(time_limit) if time_limit else None
    from sonant.training.lm_recipe import is_lm_recipe

    try:
        if is_lm_recipe(Path(recipe)):
            from sonant.training.lm_run import train_language_model

            folder = out or Path("runs") / Path(recipe).stem
            typer.echo(train_language_model(Path(recipe), folder, resume, limit, changes))
            return
        from sonant.nn.distributed import leave
        from sonant.training.checkpoint import CHECKPOINT_NAME
        from sonant.training.loop import Trainer
        from sonant.training.recipe_files import load_recipe
    except ModuleNotFoundError as error:
        raise extra_missing(f"training needs {error.name}", "train") from None
    plan = load_recipe(recipe, changes)
    folder = out or Path("runs") / Path(recipe).name.replace(".toml:", "-").removesuffix(".toml")
    if (folder / CHECKPOINT_NAME).exists() and not resume:
        raise ConfigError(f"{folder}: holds a run; add --resume to continue it, or choose another --output")
    Trainer(plan, folder, limit, resume).run()
    leave()


def seconds(text: str) -> float:
    """Seconds of `1h30m`, `25m`, `90s` or `90`.

    Raises:
        ConfigError: if it is no duration.
    """
    parts = re.findall(r"(\d+(?:\.\d+)?)([hms]?)", text)
    total = sum(float(number) * UNITS[unit] for number, unit in parts)
    if not total or "".join(number + unit for number, unit in parts) != text:
        raise ConfigError(f"{text!r} is no duration; write it as 25m, 1h30m or 90s")
    return total
