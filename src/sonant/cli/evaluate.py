"""`sonant evaluate`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from sonant.cli.options import Cache, Evs, Jobs, JsonFile, Lyra, Root

QUICK_CODECS = ("sonant:3", "sonant:6", "sonant:12", "opus:6", "opus:12")
FULL_CODECS = (
    *("reference", "sonant:1.5", "sonant:3", "sonant:6", "sonant:12", "sonant:24"),
    *("opus:6", "opus:12", "opus:24", "mp3:64", "aac:24", "lyra:3.2", "lyra:6", "lyra:9.2", "evs:9.6"),
)
STEREO_CODECS = (
    *("reference", "sonant:3", "sonant:6", "sonant:12", "sonant:24"),
    *("opus:6", "opus:12", "opus:24", "mp3:64", "aac:64"),
)
QUICK_METRICS = ("si_snr", "visqol_audio", "visqol_speech", "mel")
QUICK_EXCERPTS = 4


def evaluate(
    audio: Annotated[
        Path,
        typer.Argument(help="Folder of audio (a subfolder per category), a manifest, or validation24/48."),
    ],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Folder for the report; by default a table is printed."),
    ] = None,
    root: Root = None,
    codecs: Annotated[
        str,
        typer.Option(help="FAMILY:KBPS,… such as sonant:6,sonant-abr:6,opus:12; by default a wide choice."),
    ] = "",
    model: Annotated[
        list[str] | None,
        typer.Option("-m", "--model", help="NAME=MODEL, a family for --codecs; may be repeated."),
    ] = None,
    metrics: Annotated[
        str, typer.Option(help="Keys of metrics, separated by commas; by default all.")
    ] = "",
    quick: Annotated[
        bool, typer.Option(help="Few codecs, metrics and excerpts, for a first table.")
    ] = False,
    noise: Annotated[
        Path | None, typer.Option(help="Folder of noises: adds a category of noisy speech to a folder.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed for drawing noises.")] = 1,
    sample_rate: Annotated[
        int, typer.Option(help="Sample rate for a folder: 24000 (mono) or 48000 (stereo).")
    ] = 24_000,
    lyra: Lyra = None,
    evs: Evs = None,
    external: Annotated[
        tuple[str, str, str] | None,
        typer.Option(
            metavar="NAME ENCODE DECODE", help="Another codec, as commands with {in}, {out}, {kbps}."
        ),
    ] = None,
    players: Annotated[int, typer.Option(min=0, help="Excerpts per category to hear on the page.")] = 1,
    speed: Annotated[bool, typer.Option("--speed", help="Also measure speed on one thread.")] = False,
    jobs: Jobs = 1,
    cache: Cache = None,
    json: JsonFile = None,
) -> None:
    """Measure codecs on audio, beside Opus, Lyra-v2 and others."""
    from sonant.evaluation.command import (
        Request,
        codec_sources,
        evaluate_set,
        evaluation_set,
        metric_keys,
        root_of,
    )
    from sonant.evaluation.extra import require
    from sonant.evaluation.report.markdown import quick_table

    require("scipy", *(() if output is None else ("matplotlib",)))
    chosen = evaluation_set(audio, sample_rate, noise, seed)
    defaults = STEREO_CODECS if chosen.channels == 2 else FULL_CODECS
    request = Request(
        evaluation_set=chosen.first(QUICK_EXCERPTS) if quick else chosen,
        root=root_of(audio, root),
        codecs=tuple(codecs.split(",")) if codecs else QUICK_CODECS if quick else defaults,
        sources=codec_sources(chosen.channels, model or [], lyra, evs, external),
        metrics=metric_keys(metrics or (",".join(QUICK_METRICS) if quick else "")),
        cache=cache,
        speed=speed,
    )
    command = shlex.join(["sonant", *sys.argv[1:]])
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
    results, plan = evaluate_set(request, jobs)
    if output is None or quick:
        typer.echo(quick_table(results))
    if output is not None:
        from sonant.evaluation.report.write import write_report

        write_report(results, plan, command, output, players)
        typer.echo(f"{output / 'report.md'} and {output / 'index.html'}", err=True)
    if json is not None:
        json.write_text(results.to_json(), encoding="utf-8")
