"""`sonant join`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sonant.cli.options import Force, inputs_to_try


def join(
    files: Annotated[list[Path], inputs_to_try(".ecdc files of one model, in order.")],
    out: Annotated[
        Path, typer.Option("-o", "--output", help="The .ecdc file to write, or - for standard output.")
    ],
    force: Force = False,
) -> None:
    """Concatenate .ecdc files without decoding them."""
    from sonant.files import join_files

    join_files(files, out, overwrite=force)
