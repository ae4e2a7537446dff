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
        str | None,
        typer.Option(
            "-o", "--output", metavar="PATH", help="File, folder, or - for WAV on standard output."
        ),
    ] = None,
    model: Annotated[
        str | None, typer.Option("-m", "--model", help="Instead of the model the file names.")
    ] = None,
    start: Annotated[float, typer.Option(min=0, help="Seconds to begin at.")] = 0.0,
    duration: Annotated[float | None, typer.Option(min=0, help="Seconds to decode.")] = None,
    rate: Annotated[
        str | None, typer.Option(help="Hz of the output, or original; by default the model's.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Damage is an error.")] = False,
    threads: Threads = 1,
    precision: Precision = "float32",
    device: Device = "cpu",
    force: Annotated[bool, typer.Option("-f", "--force", help="Overwrite existing outputs.")] = False,
) -> None:
    """Decode .ecdc files into audio files.

    Damaged parts fade into silence and are told on standard error; the exit code is then 3.
    """
    from functools import cache, partial

    from sonant.audio.sinks import FORMATS
    from sonant.cli.batch import in_and_out, refuse_outputs, run_all, targets
    from sonant.codec import Codec
    from sonant.files import decompress
    from sonant.loading import load, load_named

    inputs, output = in_and_out(inputs, output)
    refuse_outputs(inputs, FORMATS)
    settings: dict[str, Any] = {"threads": threads, "precision": precision, "device": device}
    codec: Codec | None = load(model, **settings) if model else None

    hertz: Any = int(rate) if rate and rate.isdecimal() else rate
    loader = cache(partial(load_named, **settings))
    damaged = False

    def work(source: Path, target: Path, progress: Callable[[float], None]) -> None:
        nonlocal damaged
        damages = decompress(
            source,
            target,
            model=codec,
            loader=loader,
            start=start,
            duration=duration,
            rate=hertz,
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
