"""The command line: `sonant COMMAND`. One short file per command; this one gathers them.

The modules of the commands import what they need when they run, so that `sonant --help` is quick.
"""

from __future__ import annotations

import gc
import os
import sys
from typing import Annotated

import typer

from sonant.cli.bench import bench
from sonant.cli.data import data
from sonant.cli.decode import decode
from sonant.cli.detokenize import detokenize
from sonant.cli.encode import encode
from sonant.cli.evaluate import evaluate
from sonant.cli.export import export
from sonant.cli.info import info
from sonant.cli.join import join
from sonant.cli.models import models
from sonant.cli.mushra import mushra
from sonant.cli.studio import studio
from sonant.cli.tokenize import tokenize
from sonant.cli.train import train
from sonant.ends import ends_as_exceptions
from sonant.errors import SonantError

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

COMMANDS = {
    command.__name__: command
    for command in (
        encode,
        decode,
        info,
        join,
        models,
        tokenize,
        detokenize,
        evaluate,
        train,
        export,
        bench,
        studio,
    )
}

THREADS_OF_NUMPY = "OPENBLAS_NUM_THREADS"
"""What NumPy reads when it is imported. Its threads wait in a loop, which takes cores from other processes,
and products are too small here to gain anything."""

COLLECTED_AT = 50_000
"""New objects between two searches for garbage, of which imports make much and leave little: a twentieth of
the time that a short file takes."""

for name, command in COMMANDS.items():
    app.command(name)(command)
app.add_typer(data, name="data")
app.add_typer(mushra, name="mushra")


def _version(wanted: bool) -> None:
    if wanted:
        from sonant import __version__

        typer.echo(f"sonant {__version__}")
        raise typer.Exit


@app.callback()
def _sonant(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """EnCodec, complete and practical: speech and music at 1.5 to 24 kbit/s."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; errors the user can mend are one line on standard error, exit code 2."""
    os.environ.setdefault(THREADS_OF_NUMPY, "1")
    gc.set_threshold(COLLECTED_AT)
    try:
        with ends_as_exceptions():
            app(arguments)
    except SonantError as error:
        typer.echo(f"sonant: {error}", err=True)
        sys.exit(2)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
    except OSError as error:
        typer.echo(f"sonant: {_sentence(error)}", err=True)
        sys.exit(2)


def _sentence(error: OSError) -> str:
    reason = error.strerror or " ".join(str(error).split())
    return reason if error.filename is None else f"{error.filename}: {reason}"
