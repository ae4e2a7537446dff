"""`sonant encode`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer


def encode(
    inputs: Annotated[list[Path], typer.Argument(help="Audio files, or - for WAV on standard input.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="File, folder, or - for standard output.")
    ] = None,
    model: Annotated[str, typer.Option("-m", "--model", help="Name, file, folder or hub id.")] = "24khz",
    bitrate: Annotated[float, typer.Option("-b", "--bitrate", help="kbit/s.")] = 6.0,
    threads: Annotated[int, typer.Option(min=1, help="Threads of the networks.")] = 1,
    force: Annotated[bool, typer.Option("-f", "--force", help="Overwrite existing outputs.")] = False,
) -> None:
    """Encode audio files into .ecdc files."""
    from sonant.cli.batch import run_all, targets
    from sonant.files import compress
    from sonant.loading import load

    codec = load(model, threads=threads)
    codec.config.check_bitrate(bitrate)

    def work(source: Path, target: Path, progress: Callable[[float], None]) -> None:
        compress(source, target, model=codec, bitrate=bitrate, overwrite=force, progress=progress)

    run_all(inputs, targets(inputs, output, ".ecdc"), work)
