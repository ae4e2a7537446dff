"""Many inputs of one command: their outputs, the progress shown, and the errors at the end."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import NamedTuple

import typer

from sonant.errors import SonantError
from sonant.outputs import PIPE


def in_and_out(inputs: list[Path], output: str | None) -> tuple[list[Path], str | None]:
    """`IN -` without `-o` means one input and standard output, as in other filters."""
    if output is None and len(inputs) == 2 and str(inputs[1]) == PIPE:
        return inputs[:1], PIPE
    return inputs, output


def refuse_outputs(inputs: Sequence[Path], endings: Collection[str]) -> None:
    """Catch the output named after the input, as other tools have it, before anything is written.

    Raises:
        SonantError: if an input with the ending of an output is not there, or is the second of two.
    """
    alike = [path.suffix.lower() in endings for path in inputs]
    for path, like_an_output in zip(inputs, alike, strict=True):
        if like_an_output and not path.exists():
            raise SonantError(f"{path}: no such file; an output is named with -o")
    if alike == [False, True]:
        raise SonantError(f"{inputs[1]}: is no input by its name; an output is named with -o")


def targets(sources: Sequence[Path], output: str | None, ending: str) -> list[Path]:
    """Where each input goes: `-o` if there is one input, the folder `-o` if many, else beside it.

    A slash at its end makes `-o` a folder for one input, too.

    Raises:
        SonantError: if many inputs have one file as their output, or two the same, or the folder cannot
            be made.
    """
    if output is None and any(str(source) == PIPE for source in sources):
        output = PIPE
    if output == PIPE and len(sources) > 1:
        raise SonantError("several inputs cannot go into one output; give a folder with -o")
    if output == PIPE:
        return [Path(PIPE)]
    folder = None if output is None else Path(output)
    if folder is not None and not folder.is_dir():
        if len(sources) == 1 and not str(output).endswith("/"):
            return [folder]
        if folder.exists():
            raise SonantError(f"{folder}: is not a folder")
        if folder.suffix and not str(output).endswith("/"):
            raise SonantError(f"{folder}: several inputs need a folder as their output")
        _make_folder(folder)
    outputs = [(folder or source.parent) / f"{source.stem}{ending}" for source in sources]
    if len(set(outputs)) < len(outputs):
        raise SonantError("two inputs would get the same output; give them one by one with -o")
    return outputs


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True)
    except OSError as error:
        raise SonantError(f"{path}: the folder cannot be made ({error.strerror})") from None


def run_all(
    sources: Sequence[Path],
    outputs: Sequence[Path],
    work: Callable[[Path, Path, Callable[[float], None]], None],
) -> None:
    """Do the work for every input, with progress on a terminal; a failed input does not stop the rest.

    Raises:
        SonantError: if there is one input and it fails.
        typer.Exit: with code 2 if any of many failed.
    """
    if len(sources) == 1 and not sys.stderr.isatty():
        work(sources[0], outputs[0], lambda _: None)
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    failed: list[SonantError] = []
    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        for number, (source, output) in enumerate(zip(sources, outputs, strict=True), 1):
            task = bar.add_task("")

            def show(seconds: float, source: Path = source, number: int = number) -> None:
                bar.update(task, description=f"{number}/{len(sources)} {source.name}  {seconds:.1f} s")  # noqa: B023

            show(0.0)
            try:
                work(source, output, show)
            except SonantError as error:
                if len(sources) == 1:
                    raise
                failed.append(error)
    _tell(failed)


class Pair(NamedTuple):
    """An input and where it goes."""

    source: Path
    target: Path

    def __str__(self) -> str:
        return str(self.source)


def run_in_processes(
    sources: Sequence[Path],
    outputs: Sequence[Path],
    prepare: Callable[[], Callable[[Pair], None]],
    jobs: int,
) -> None:
    """Do the work for every input in processes, each of which calls `prepare` first.

    Raises:
        typer.Exit: with code 2 if any input failed.
    """
    from rich.console import Console
    from rich.progress import Progress

    from sonant.parallel import in_order

    failed: list[SonantError] = []
    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=len(sources))
        for pair, result in in_order(prepare, map(Pair, sources, outputs), min(jobs, len(sources))):
            bar.update(task, advance=1, description=pair.source.name)
            if isinstance(result, SonantError):
                failed.append(result)
    _tell(failed)


def _tell(failed: Sequence[SonantError]) -> None:
    for failure in failed:
        typer.echo(f"sonant: {failure}", err=True)
    if failed:
        raise typer.Exit(2)
