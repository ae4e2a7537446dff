"""`sonant tokenize`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sonant.cli.options import Bitrate, Jobs, Model, inputs_to_try


def tokenize(
    inputs: Annotated[list[Path], inputs_to_try("Folders, audio files, manifests (.jsonl, .txt).")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for codes and their manifest.")],
    model: Model = "24khz",
    bitrate: Bitrate = None,
    kind: Annotated[str, typer.Option("--format", help="npy, safetensors or parquet.")] = "npy",
    jobs: Jobs = 0,
    engine: Annotated[str, typer.Option(help="local, or ray for a Ray cluster.")] = "local",
) -> None:
    """Code whole corpora into arrays of codes.

    Started again with the same output, it continues where it stopped. Files that fail are reported on
    standard error and in failed.jsonl; the exit code is then 2.
    """
    from sonant.cli.corpus_progress import corpus_progress
    from sonant.tokenizing import run

    with corpus_progress() as show:
        summary = run.tokenize(
            inputs,
            output,
            model=model,
            bitrate=bitrate,
            kind=kind,
            jobs=jobs,
            engine=engine,
            progress=show,
        )
    for failure in summary.failures:
        typer.echo(f"sonant: {failure}", err=True)
    if summary.failures:
        total = summary.coded + summary.before + len(summary.failures)
        counts = f"{len(summary.failures)} of {total} recordings failed"
        typer.echo(f"sonant: {counts}; {output / run.FAILED} lists them", err=True)
        raise typer.Exit(2)
