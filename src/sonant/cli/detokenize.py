"""`sonant detokenize`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sonant.cli.options import Jobs, inputs_to_try


def detokenize(
    inputs: Annotated[
        list[Path],
        inputs_to_try("Folders of sonant tokenize; codes [n_q, frames] as .npy or .safetensors."),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for the audio.")],
    model: Annotated[
        str | None,
        typer.Option("-m", "--model", help="Model to use instead of the one named beside the codes."),
    ] = None,
    kind: Annotated[str, typer.Option("--format", help="wav, flac or ogg.")] = "wav",
    jobs: Jobs = 0,
) -> None:
    """Decode arrays of codes into audio files.

    Started again with the same output, it continues where it stopped; audio made from other codes or by
    another model is made again. Codes that fail are reported on standard error; the exit code is then 2.
    """
    from sonant.cli.corpus_progress import corpus_progress
    from sonant.tokenizing.back import detokenize as decode_all

    with corpus_progress() as show:
        summary = decode_all(inputs, output, model=model, ending=f".{kind}", jobs=jobs, progress=show)
    for failure in summary.failures:
        typer.echo(f"sonant: {failure}", err=True)
    if summary.failures:
        raise typer.Exit(2)
