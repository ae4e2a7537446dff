"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

Bitrate = Annotated[
    float | None,
    typer.Option(
        "-b", "--bitrate", help="kbit/s before entropy coding; by default 6, or the nearest of the model."
    ),
]
Threads = Annotated[int, typer.Option(min=1, help="Threads of the networks.")]
Precision = Annotated[
    Literal["float32", "int8"], typer.Option(help="Of the networks; int8 is faster, see docs/speed.md.")
]
Device = Annotated[Literal["cpu", "cuda"], typer.Option(help="What computes; cuda needs onnxruntime-gpu.")]


def inputs_to_try(description: str) -> Any:
    """An argument of files of which one that cannot be read is no mistake of usage: what opens it tells."""
    return typer.Argument(help=description, readable=False)


def _writable(path: Path | None) -> Path | None:
    from sonant.errors import SonantError

    if path is not None and (path.is_dir() or not path.parent.is_dir()):
        raise SonantError(f"{path}: cannot be written; name a file in a folder that exists")
    return path


JsonFile = Annotated[
    Path | None, typer.Option("--json", callback=_writable, help="Also write the figures as JSON here.")
]


def _at_least_one(jobs: int) -> int:
    from sonant.parallel import processes

    return processes(jobs)


Jobs = Annotated[
    int,
    typer.Option("-j", "--jobs", min=0, callback=_at_least_one, help="Processes; 0 is one for each core."),
]

SkipExisting = Annotated[
    bool, typer.Option("--skip-existing", help="Leave out inputs whose output exists: go on.")
]
