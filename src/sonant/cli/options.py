"""Options that several commands have."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

Threads = Annotated[int, typer.Option(min=1, help="Threads of the networks.")]
Precision = Annotated[
    Literal["float32", "int8"], typer.Option(help="Of the networks; int8 is faster, see docs/speed.md.")
]
Device = Annotated[Literal["cpu", "cuda"], typer.Option(help="What computes; cuda needs onnxruntime-gpu.")]


def _at_least_one(jobs: int) -> int:
    from sonant.parallel import cores

    return jobs or cores()


Jobs = Annotated[
    int,
    typer.Option("-j", "--jobs", min=0, callback=_at_least_one, help="Processes; 0 is one for each core."),
]
