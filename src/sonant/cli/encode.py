"""`sonant encode`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sonant.cli.options import (
    Bitrate,
    Device,
    Force,
    Jobs,
    Model,
    Precision,
    SkipExisting,
    Threads,
    inputs_to_try,
)

if TYPE_CHECKING:
    from sonant.cli.batch import Work
    from sonant.codec import Codec


def encode(
    inputs: Annotated[list[Path], inputs_to_try("Audio files, or - for WAV on standard input.")],
    output: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--output",
            metavar="PATH",
            help="File, folder/, or - for standard output; by default beside the input.",
        ),
    ] = None,
    model: Model = "24khz",
    bitrate: Bitrate = None,
    abr: Annotated[
        float | None,
        typer.Option(
            help="Average kbit/s after entropy coding, instead of -b: uses as many codebooks as fit."
        ),
    ] = None,
    lm: Annotated[
        bool | None,
        typer.Option("--lm/--no-lm", help="Use the language model; by default wherever there is one."),
    ] = None,
    version: Annotated[
        int,
        typer.Option("--format", min=0, max=1, help="File format version; 0 is that of the official tool."),
    ] = 1,
    tag: Annotated[
        list[str] | None, typer.Option(help="NAME=TEXT to store in the file; may be repeated.")
    ] = None,
    chunk: Annotated[
        float | None,
        typer.Option(
            min=0.1,
            help="Seconds per independently coded chunk, by default 5: what damage costs, and the delay "
            "of a pipe.",
        ),
    ] = None,
    rdo: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=1.0,
            help="Strength of rate-distortion optimisation, 0 for none; by default 0.1 with a language "
            "model.",
        ),
    ] = None,
    beam: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Width of the beam search for codes; by default 3 with rate-distortion optimisation, "
            "else 4, and 1 for official weights.",
        ),
    ] = None,
    jobs: Jobs = 1,
    skip: SkipExisting = False,
    threads: Threads = 1,
    precision: Precision = "float32",
    device: Device = "cpu",
    force: Force = False,
) -> None:
    """Encode audio files into .ecdc files."""
    from functools import partial

    from sonant.cli.batch import in_and_out, refuse_outputs, run_all, with_targets
    from sonant.errors import ConfigError
    from sonant.loading import load

    inputs, output = in_and_out(inputs, output)
    refuse_outputs(inputs, (".ecdc",))
    codec = load(model, threads=threads, precision=precision, device=device)
    if bitrate is not None and abr is not None:
        raise ConfigError("choose either --bitrate or --abr")
    if abr is None:
        codec.config.check_bitrate(bitrate)

    named = [entry.partition("=") for entry in tag or []]
    if bad := ["".join(parts) for parts in named if not (parts[0] and parts[1])]:
        raise ConfigError(f"--tag {bad[0]}: give NAME=TEXT")
    tags = {name: text for name, _, text in named}

    settings: dict[str, Any] = {
        "bitrate": bitrate,
        "abr": abr,
        "lm": lm,
        "version": version,
        "tags": tags,
        "chunk": chunk,
        "rdo": rdo,
        "beam": beam,
        "overwrite": force,
    }
    pairs = with_targets(inputs, output, ".ecdc")
    run_all(pairs, partial(_encoder, codec, settings), skip=skip, jobs=jobs)


def _encoder(codec: Codec, settings: dict[str, Any]) -> Work[None]:
    """What encodes one input after the other."""
    from sonant.files import compress

    return lambda pair, progress: compress(
        pair.source, pair.target, model=codec, progress=progress, **settings
    )
