"""`sonant mushra prepare`, `serve` and `report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sonant.cli.options import Cache, Evs, Lyra, Root
from sonant.cli.serving import Host, Port, serve_page

mushra = typer.Typer(
    no_args_is_help=True,
    help="Prepare, serve and report a listening test.",
)


@mushra.command()
def prepare(
    audio: Annotated[Path, typer.Argument(help="As for `sonant evaluate`.")],
    folder: Annotated[Path, typer.Argument(help="New folder for the session.")],
    codecs: Annotated[
        str, typer.Option(help="As for `sonant evaluate`.")
    ] = "sonant:3,sonant:6,sonant:12,opus:6,opus:12",
    root: Root = None,
    model: Annotated[
        list[str] | None,
        typer.Option("-m", "--model", help="NAME=MODEL, a family for --codecs; may be repeated."),
    ] = None,
    lyra: Lyra = None,
    evs: Evs = None,
    sample_rate: Annotated[
        int, typer.Option(help="Sample rate for a folder: 24000 (mono) or 48000 (stereo).")
    ] = 24_000,
    per_category: Annotated[int, typer.Option(min=1, help="Excerpts of each category.")] = 6,
    seed: Annotated[int, typer.Option(min=0, help="Seed for all shuffling.")] = 1,
    cache: Cache = None,
) -> None:
    """Make blinded versions of excerpts.

    All are equally loud; a hidden reference and a low-pass anchor are among them.
    """
    from sonant.errors import ConfigError
    from sonant.evaluation.cache import default_cache
    from sonant.evaluation.codecs import make_codecs
    from sonant.evaluation.command import codec_sources, evaluation_set, root_of
    from sonant.evaluation.extra import require
    from sonant.evaluation.mushra.prepare import prepare as prepare_session
    from sonant.evaluation.run import Plan

    require("scipy")
    chosen = evaluation_set(audio, sample_rate, None, seed).first(per_category)
    sources = codec_sources(chosen.channels, model or [], lyra, evs, None)
    made, missing = make_codecs(codecs.split(","), sources)
    if missing:
        raise ConfigError("; ".join(missing.values()))
    plan = Plan(chosen, root_of(audio, root), tuple(made), (), cache or default_cache())
    session = prepare_session(plan, folder, seed)
    typer.echo(f"{folder}: {len(session.trials)} excerpts; next: sonant mushra serve {folder}", err=True)


@mushra.command()
def serve(
    folder: Annotated[Path, typer.Argument(help="Folder of the session.")],
    host: Host = "127.0.0.1",
    port: Port = 8080,
) -> None:
    """Serve the page; ratings go to results.csv in the folder."""
    from functools import partial

    from sonant.evaluation.mushra.server import mushra_server

    serve_page(partial(mushra_server, folder), host, port)


@mushra.command()
def report(
    folder: Annotated[Path, typer.Argument(help="Folder of the session.")],
    results: Annotated[
        Path | None, typer.Option(help="Ratings, CSV with pymushra's columns; by default the session's.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Folder for the report; by default the session's.")
    ] = None,
) -> None:
    """Screen the raters as the paper does, and report the ratings.

    Writes a table, a plot and JSON.
    """
    from sonant.evaluation.extra import require
    from sonant.evaluation.mushra.report import summarise, write_mushra_report
    from sonant.evaluation.mushra.results import read_ratings
    from sonant.evaluation.mushra.server import RESULTS
    from sonant.evaluation.mushra.session import read_session

    require("scipy", "matplotlib")
    session = read_session(folder)
    found = summarise(session, read_ratings(results or folder / RESULTS, session))
    write_mushra_report(found, output or folder)
    typer.echo(found.markdown())
