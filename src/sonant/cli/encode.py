"""`sonant encode`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sonant.cli.options import Device, Jobs, Precision, Threads

if TYPE_CHECKING:
    from sonant.cli.batch import Pair
    from sonant.codec import Codec


def encode(
    inputs: Annotated[list[Path], typer.Argument(help="Audio files, or - for WAV on standard input.")],
    output: Annotated[
        str | None,
        typer.Option("-o", "--output", metavar="PATH", help="File, folder, or - for standard output."),
    ] = None,
    model: Annotated[str, typer.Option("-m", "--model", help="Name, file, folder or hub id.")] = "24khz",
    bitrate: Annotated[
        float | None,
        typer.Option("-b", "--bitrate", help="kbit/s before entropy coding; by default 6."),
    ] = None,
    abr: Annotated[
        float | None,
        typer.Option(
            help="Average kbit/s after entropy coding, instead of -b: as many codebooks at a time as fit."
        ),
    ] = None,
    lm: Annotated[
        bool | None,
        typer.Option("--lm/--no-lm", help="Code with the language model; the default where there is one."),
    ] = None,
    version: Annotated[
        int, typer.Option("--format", min=0, max=1, help="Version of the file; 0 for the official tool.")
    ] = 1,
    tag: Annotated[
        list[str] | None, typer.Option(help="NAME=TEXT to keep in the file; may be repeated.")
    ] = None,
    chunk: Annotated[
        float,
        typer.Option(
            min=0.1, help="Seconds that are coded on their own: what damage costs, and the delay of a pipe."
        ),
    ] = 5.0,
    rdo: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=1.0,
            help="How readily codes give up closeness for bits; 0 looks for the nearest, by default "
            "0.2 with a language model, 0.1 with --abr.",
        ),
    ] = None,
    beam: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Beginnings kept in the search for codes; by default 3 where they give up closeness, "
            "else 4, and 1 for official weights.",
        ),
    ] = None,
    jobs: Jobs = 1,
    skip: Annotated[
        bool, typer.Option("--skip-existing", help="Leave out inputs whose output exists: go on.")
    ] = False,
    threads: Threads = 1,
    precision: Precision = "float32",
    device: Device = "cpu",
    force: Annotated[bool, typer.Option("-f", "--force", help="Overwrite existing outputs.")] = False,
) -> None:
    """Encode audio files into .ecdc files."""
    from functools import partial

    from sonant.cli.batch import in_and_out, refuse_outputs, run_all, run_in_processes, targets
    from sonant.errors import ConfigError
    from sonant.files import BITRATE, compress
    from sonant.loading import load

    inputs, output = in_and_out(inputs, output)
    refuse_outputs(inputs, (".ecdc",))
    loading = partial(load, model, threads=threads, precision=precision, device=device)
    codec = loading()
    if bitrate is not None and abr is not None:
        raise ConfigError("choose either --bitrate or --abr")
    if abr is None:
        codec.config.check_bitrate(BITRATE if bitrate is None else bitrate)

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
    pairs = zip(inputs, targets(inputs, output, ".ecdc"), strict=True)
    left = [(source, target) for source, target in pairs if not (skip and target.exists())]
    if not left:
        return
    sources, outputs = zip(*left, strict=True)
    if jobs > 1 and len(sources) > 1:
        run_in_processes(sources, outputs, partial(_encoder, loading, settings), jobs)
        return

    def work(source: Path, target: Path, progress: Callable[[float], None]) -> None:
        compress(source, target, model=codec, progress=progress, **settings)

    run_all(sources, outputs, work)


def _encoder(loading: Callable[[], Codec], settings: dict[str, Any]) -> Callable[[Pair], None]:
    """What a process does with one input after the other."""
    from sonant.files import compress

    codec = loading()
    return lambda pair: compress(pair.source, pair.target, model=codec, **settings)
