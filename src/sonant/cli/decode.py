"""`sonant decode`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sonant.cli.options import Device, Force, Jobs, Precision, SkipExisting, Threads, inputs_to_try

if TYPE_CHECKING:
    from sonant.cli.batch import Pair, Work
    from sonant.codec import Codec


def decode(
    inputs: Annotated[list[Path], inputs_to_try(".ecdc files, or - for standard input.")],
    output: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--output",
            metavar="PATH",
            help="File, folder/, or - for WAV on standard output; by default beside the input.",
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option("-m", "--model", help="Model to use instead of the one that the file names."),
    ] = None,
    start: Annotated[float, typer.Option(min=0, help="Where to begin, in seconds.")] = 0.0,
    duration: Annotated[
        float | None, typer.Option(min=0, help="Seconds to decode; by default to the end.")
    ] = None,
    rate: Annotated[
        str | None,
        typer.Option(help="Sample rate of the output in Hz, or original; by default the model's."),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Treat damage as an error.")] = False,
    jobs: Jobs = 1,
    skip: SkipExisting = False,
    threads: Threads = 1,
    precision: Precision = "float32",
    device: Device = "cpu",
    force: Force = False,
) -> None:
    """Decode .ecdc files into audio files.

    Damaged parts fade into silence and are reported on standard error; the exit code is then 3.
    """
    from functools import partial

    from sonant.audio.sinks import FORMATS
    from sonant.cli.batch import in_and_out, refuse_outputs, run_all, with_targets
    from sonant.loading import load

    inputs, output = in_and_out(inputs, output)
    refuse_outputs(inputs, FORMATS)
    networks: dict[str, Any] = {"threads": threads, "precision": precision, "device": device}
    hertz: Any = int(rate) if rate and rate.isdecimal() else rate
    settings: dict[str, Any] = {
        "start": start,
        "duration": duration,
        "rate": hertz,
        "strict": strict,
        "overwrite": force,
    }
    damaged = False

    def tell(pair: Pair, damages: list[str]) -> None:
        nonlocal damaged
        for damage in damages:
            damaged = True
            typer.echo(f"sonant: {pair.source}: {damage}", err=True)

    codec = load(model, **networks) if model else None
    prepare = partial(_decoder, codec, networks, settings)
    run_all(with_targets(inputs, output, ".wav"), prepare, skip=skip, jobs=jobs, done=tell)
    if damaged:
        raise typer.Exit(3)


def _decoder(codec: Codec | None, networks: dict[str, Any], settings: dict[str, Any]) -> Work[list[str]]:
    """What decodes one input after the other and tells what is damaged; every model is loaded once."""
    from functools import cache, partial

    from sonant.files import decompress
    from sonant.loading import load_named

    loader = cache(partial(load_named, **networks))

    def work(pair: Pair, progress: Callable[[float], None]) -> list[str]:
        return decompress(
            pair.source, pair.target, model=codec, loader=loader, progress=progress, **settings
        )

    return work
