"""`sonant data`: corpora for training."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from sonant.cli.options import Jobs

data = typer.Typer(help="Pack corpora for training, and show what they hold.", no_args_is_help=True)


class Form(str, Enum):
    """How a pack keeps its samples."""

    OPUS = "opus"
    PCM = "pcm"
    INDEX = "index"


@data.command()
def pack(
    sources: Annotated[
        list[Path], typer.Argument(help="Folders of a dataset or of any audio, tars, lists, manifests.")
    ],
    out: Annotated[Path, typer.Option("-o", "--output", help="Folder of the pack.")],
    layout: Annotated[
        str,
        typer.Option(
            help="dns4, common-voice, audioset, fsd50k, jamendo, index, folder, tar, list or manifest."
        ),
    ] = "auto",
    kind: Annotated[
        str, typer.Option(help="Kind of the audio in folders, tars and lists, such as speech.")
    ] = "general",
    sample_rate: Annotated[int, typer.Option(help="Sample rate of the pack, in Hz.")] = 24_000,
    channels: Annotated[int, typer.Option(min=1, max=2, help="Channels of the pack.")] = 1,
    form: Annotated[
        Form,
        typer.Option(help="Opus shards, flat 16-bit samples, or only an index of files left in place."),
    ] = Form.OPUS,
    kbps: Annotated[
        float | None,
        typer.Option(min=6, max=256, help="kbit/s of Opus shards, per channel; by default 96."),
    ] = None,
    jobs: Jobs = 0,
) -> None:
    """Decode, normalise and pack recordings.

    A pack records their licences and durations, and lists those that are for validation.
    """
    from sonant.errors import ConfigError, printable
    from sonant.training.datasets import list_recordings
    from sonant.training.manifest import MANIFEST_NAME, VALIDATION_NAME
    from sonant.training.pack import pack_recordings

    for manifest in (out / MANIFEST_NAME, out / VALIDATION_NAME):
        if manifest.exists():
            raise ConfigError(f"{manifest}: exists; remove it or choose another folder")
    recordings = [r for source in sources for r in list_recordings(source, layout, kind)]
    left_out = 0
    for problem in pack_recordings(recordings, out, sample_rate, channels, form.value, kbps, jobs):
        left_out += 1
        typer.echo(f"left out: {problem}", err=True)
    show(out)
    count = len(recordings) - left_out
    typer.echo(f"{count} recordings in {printable(str(out))}, {left_out} left out")


@data.command()
def show(manifest: Annotated[Path, typer.Argument(help="A manifest, or the folder of a pack.")]) -> None:
    """Show hours by split and kind, and by source and licence."""
    from sonant.errors import printable
    from sonant.training.manifest import hours_by_kind, hours_by_source, read_manifest

    recordings = read_manifest(manifest)
    for name, hours in hours_by_kind(recordings).items():
        typer.echo(f"{hours:9.2f} h  {printable(name)}")
    for name, hours in hours_by_source(recordings).items():
        typer.echo(f"{hours:9.2f} h  {printable(name)}")
