"""The command line: `sonant COMMAND`. One short file per command; this one gathers them."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

import click
import typer
import typer.core
import typer.main

COMMANDS = {
    "encode": "Encode audio files into .ecdc files.",
    "decode": "Decode .ecdc files into audio files.",
    "info": "Say what an .ecdc file holds.",
    "models": "List the models that can be used by name.",
    "evaluate": "Measure codecs on audio, beside those that people use.",
}


class LazyCommands(typer.core.TyperGroup):
    """Imports a command's module when the command is run, so that `sonant --help` is quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order they are used in."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, or for the list of commands only its name and summary."""
        if cmd_name not in COMMANDS:
            return None
        if ctx.resilient_parsing or _wants_overview():
            return click.Command(cmd_name, help=COMMANDS[cmd_name])
        app = typer.Typer(add_completion=False, rich_markup_mode=None)
        module = import_module(f"sonant.cli.{cmd_name}")
        command = getattr(module, cmd_name)
        if isinstance(command, typer.Typer):
            return typer.main.get_command(command)
        app.command(cmd_name, help=COMMANDS[cmd_name])(command)
        return typer.main.get_command(app)


def _wants_overview() -> bool:
    return len(sys.argv) < 2 or sys.argv[1] in ("--help", "-h")


app = typer.Typer(
    cls=LazyCommands,
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from sonant import __version__

        typer.echo(f"sonant {__version__}")
        raise typer.Exit


@app.callback()
def _sonant(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Say it."),
) -> None:
    """EnCodec, complete and practical: speech and music at 1.5 to 24 kbit/s."""


def main(arguments: list[str] | None = None) -> Any:
    """Run the command line; errors the user can mend are one line on standard error, exit code 2."""
    from sonant.errors import SonantError

    try:
        return app(arguments, standalone_mode=True)
    except SonantError as error:
        typer.echo(f"sonant: {error}", err=True)
        sys.exit(2)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
