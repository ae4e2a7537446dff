"""`sonant decode`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from sonant.cli.options import Device, Precision, Threads


def decode(
    inputs: Annotated[list[Path], typer.Argument(help=".ecdc files, or - for standard input.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="File, folder, or - for WAV on standard output.")
    ] = None,
    model: Annotated[
        str | None, typer.Option("-m", "--model", help="Instead of the model the file names.")
    ] = None,
    start: Annotated[float, typer.Option(min=0, help="Seconds to begin at.")] = 0.0,
    duration: Annotated[float | None, typer.Option(min=0, help="Seconds to decode.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Damage is an error.")] = False,
    threads: Threads = 1,
    precision: Precision = "float32",
    device: Device = "cpu",
    force: Annotated[bool, typer.Option("-f", "--force", help="Overwrite existing outputs.")] = False,
) -> None:
    """Decode .ecdc files into audio files.

    Damaged parts fade into silence and are told on standard error; the exit code is then 3.
    """
    from functools import partial

    from sonant.cli.batch import in_and_out, run_all, targets
    from sonant.codec import Codec
    from sonant.files import decompress
    from sonant.loading import load, load_named

    inputs, output = in_and_out(inputs, output)
    settings: dict[str, Any] = {"threads": threads, "precision": precision, "device": device}
    codec: Codec | None = load(model, **settings) if model else None

    damaged = False

    def work(source: Path, target: Path, progress: Callable[[float], None]) -> None:
        nonlocal damaged
        damages = decompress(
            source,
            target,
            model=codec,
            loader=partial(load_named, **settings),
            start=start,
            duration=duration,
            strict=strict,
            overwrite=force,
            progress=progress,
        )
        for damage in damages:
            damaged = True
            typer.echo(f"sonant: {source}: {damage}", err=True)

    run_all(inputs, targets(inputs, output, ".wav"), work)
    if damaged:
        raise typer.Exit(3)
