"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

Model = Annotated[str, typer.Option("-m", "--model", help="Name, file, folder or hub id.")]
Bitrate = Annotated[
    float | None,
    typer.Option(
        "-b", "--bitrate", help="kbit/s before entropy coding; by default 6, or the nearest the model has."
    ),
]
Threads = Annotated[int, typer.Option(min=1, help="Threads for the networks.")]
Precision = Annotated[
    Literal["float32", "int8"],
    typer.Option(help="Precision of the networks; int8 is faster, see docs/speed.md."),
]
Device = Annotated[
    Literal["cpu", "cuda"], typer.Option(help="Where the networks run; cuda needs onnxruntime-gpu.")
]
Force = Annotated[bool, typer.Option("-f", "--force", help="Overwrite existing outputs.")]


def inputs_to_try(description: str) -> Any:
    """An argument of files; one that cannot be read is reported by what opens it, not as wrong usage."""
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
    typer.Option("-j", "--jobs", min=0, callback=_at_least_one, help="Processes; 0 is one per core."),
]

SkipExisting = Annotated[bool, typer.Option("--skip-existing", help="Skip inputs whose output exists.")]

Root = Annotated[
    Path | None,
    typer.Option(help="Folder that a manifest's paths start from; by default the manifest's own."),
]
Lyra = Annotated[Path | None, typer.Option(help="Folder with Lyra-v2's three model files.")]
Evs = Annotated[Path | None, typer.Option(help="Folder with EVS_cod and EVS_dec.")]
Cache = Annotated[
    Path | None,
    typer.Option(help="Folder of results kept between runs; by default in the user's cache folder."),
]
