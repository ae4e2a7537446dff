"""`sonant mushra prepare`, `serve` and `report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sonant.cli.serving import Host, Port, serve_page

mushra = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Prepare, serve and report a listening test.",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@mushra.command()
def prepare(
    audio: Annotated[Path, typer.Argument(help="As for `sonant evaluate`.")],
    folder: Annotated[Path, typer.Argument(help="New folder for the session.")],
    codecs: Annotated[
        str, typer.Option(help="As for `sonant evaluate`.")
    ] = "sonant:3,sonant:6,sonant:12,opus:6,opus:12",
    root: Annotated[Path | None, typer.Option(help="Folder that a manifest's paths start from.")] = None,
    model: Annotated[list[str] | None, typer.Option("-m", "--model", help="NAME=MODEL.")] = None,
    lyra: Annotated[Path | None, typer.Option(help="Folder with Lyra-v2's three model files.")] = None,
    evs: Annotated[Path | None, typer.Option(help="Folder with EVS_cod and EVS_dec.")] = None,
    sample_rate: Annotated[int, typer.Option(help="Of a folder: 24000 or 48000.")] = 24_000,
    per_category: Annotated[int, typer.Option(min=1, help="Excerpts of each category.")] = 6,
    seed: Annotated[int, typer.Option(min=0, help="Of all that is shuffled.")] = 1,
    cache: Annotated[Path | None, typer.Option(help="Folder of results kept between runs.")] = None,
) -> None:
    """Make blinded versions of excerpts.

    They are equally loud, with a hidden reference and a low anchor among them.
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
    folder: Annotated[Path, typer.Argument(help="Of a session.")],
    host: Host = "127.0.0.1",
    port: Port = 8080,
) -> None:
    """Serve the page; ratings go to results.csv in the folder."""
    from functools import partial

    from sonant.evaluation.mushra.server import mushra_server

    serve_page(partial(mushra_server, folder), host, port)


@mushra.command()
def report(
    folder: Annotated[Path, typer.Argument(help="Of a session.")],
    results: Annotated[Path | None, typer.Option(help="Ratings in pymushra's columns.")] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Folder for the report.")] = None,
) -> None:
    """Screen the raters as the paper does.

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
