"""`sonant info`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from sonant.cli.options import inputs_to_try


def info(
    file: Annotated[Path, inputs_to_try("An .ecdc file.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what an .ecdc file holds."""
    from sonant.errors import printable
    from sonant.information import describe

    values = describe(file)
    if as_json:
        typer.echo(json.dumps(values))
        return
    width = max(map(len, values))
    for key, value in values.items():
        typer.echo(printable(f"{key.replace('_', ' '):<{width}}  {_shown(value)}"))


def _shown(value: object) -> str:
    if isinstance(value, list):
        return "; ".join(map(str, value)) or "none"
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
