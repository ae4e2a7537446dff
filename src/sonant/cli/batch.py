"""Many inputs of one command: their outputs, the progress shown, and the errors at the end."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import typer

from sonant.errors import SonantError
from sonant.standard_streams import PIPE

if TYPE_CHECKING:
    from rich.progress import Progress as ProgressBar
    from rich.progress import ProgressColumn

Result = TypeVar("Result")


class Pair(NamedTuple):
    """An input and where it goes."""

    source: Path
    target: Path

    def __str__(self) -> str:
        return str(self.source)


Progress = Callable[[float], None]
Work = Callable[[Pair, Progress], Result]


def in_and_out(inputs: list[Path], output: str | None) -> tuple[list[Path], str | None]:
    """`IN -` without `-o` means one input and standard output, as in other filters."""
    if output is None and len(inputs) == 2 and str(inputs[1]) == PIPE:
        return inputs[:1], PIPE
    return inputs, output


def refuse_outputs(inputs: Sequence[Path], endings: Collection[str]) -> None:
    """Refuse an output given after the input, as other tools take it, before anything is written.

    Raises:
        SonantError: if an input with the ending of an output does not exist, or is the second of two.
    """
    alike = [path.suffix.lower() in endings for path in inputs]
    for path, like_an_output in zip(inputs, alike, strict=True):
        if like_an_output and not path.exists():
            raise SonantError(f"{path}: no such file; an output is named with -o")
    if alike == [False, True]:
        raise SonantError(f"{inputs[1]}: is no input by its name; an output is named with -o")


def with_targets(sources: Sequence[Path], output: str | None, ending: str) -> list[Pair]:
    """Every input and where it goes: `-o` if there is one input, the folder `-o` if many, else beside it.

    A slash at its end makes `-o` a folder for one input, too.

    Raises:
        SonantError: if many inputs have one file as their output, or two the same, or an output is an
            input, or the folder cannot be made.
    """
    if output is None and any(str(source) == PIPE for source in sources):
        output = PIPE
    if output == PIPE and len(sources) > 1:
        raise SonantError("several inputs cannot go into one output; give a folder with -o")
    if output == PIPE:
        return [Pair(sources[0], Path(PIPE))]
    folder = None if output is None else Path(output)
    if folder is not None and not folder.is_dir():
        if len(sources) == 1 and not str(output).endswith("/"):
            return [Pair(sources[0], folder)]
        if folder.exists():
            raise SonantError(f"{folder}: is not a folder")
        if folder.suffix and not str(output).endswith("/"):
            raise SonantError(f"{folder}: several inputs need a folder as their output")
        _make_folder(folder)
    outputs = [(folder or source.parent) / f"{source.stem}{ending}" for source in sources]
    inputs_of: dict[Path, Path] = {}
    for source, target in zip(sources, outputs, strict=True):
        if other := inputs_of.get(target):
            raise SonantError(
                f"{other} and {source} would get the same output, {target}; give them one by one with -o"
            )
        inputs_of[target] = source
    if same := next((path for path in sources if path in inputs_of), None):
        raise SonantError(f"{same}: would be both input and output; name the output with -o")
    return list(map(Pair, sources, outputs))


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True)
    except OSError as error:
        raise SonantError(f"{path}: the folder cannot be made ({error.strerror})") from None


def run_all(
    pairs: Sequence[Pair],
    prepare: Callable[[], Work[Result]],
    *,
    skip: bool,
    jobs: int,
    done: Callable[[Pair, Result], None] = lambda _pair, _result: None,
) -> None:
    """Do the work for every input, with progress on a terminal; a failed input does not stop the rest.

    Args:
        pairs: inputs and where each goes.
        prepare: gives the function that does the work, in every process; picklable.
        skip: leave out inputs whose output exists.
        jobs: processes; with 1 the work is done in this one, which alone has a standard input.
        done: called here with the result of every input that succeeded, in their order.

    Raises:
        SonantError: if there is one input and it fails.
        typer.Exit: with code 2 if any of many failed.
    """
    left = [pair for pair in pairs if not (skip and pair.target.exists())]
    jobs = 1 if any(str(pair.source) == PIPE for pair in pairs) else jobs
    failed: list[SonantError] = []
    for pair, result in _in_processes(left, prepare, jobs) if jobs > 1 else _in_turn(left, prepare()):
        if not isinstance(result, SonantError):
            done(pair, result)
        elif len(pairs) == 1:
            raise result
        else:
            failed.append(result)
    for failure in failed:
        typer.echo(f"sonant: {failure}", err=True)
    if failed:
        raise typer.Exit(2)


def _in_turn(pairs: Sequence[Pair], work: Work[Result]) -> Iterator[tuple[Pair, Result | SonantError]]:
    if sys.stderr is None or not sys.stderr.isatty():
        yield from ((pair, _attempt(work, pair, lambda _: None)) for pair in pairs)
        return
    from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

    with _bar(SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()) as bar:
        for number, pair in enumerate(pairs, 1):
            task = bar.add_task("")

            def show(seconds: float, name: str = pair.source.name, number: int = number) -> None:
                bar.update(task, description=f"{number}/{len(pairs)} {name}  {seconds:.1f} s")  # noqa: B023

            show(0.0)
            yield pair, _attempt(work, pair, show)


def _attempt(work: Work[Result], pair: Pair, progress: Progress) -> Result | SonantError:
    try:
        return work(pair, progress)
    except SonantError as error:
        return error


def _in_processes(
    pairs: Sequence[Pair], prepare: Callable[[], Work[Result]], jobs: int
) -> Iterator[tuple[Pair, Result | SonantError]]:
    from sonant.parallel import in_order

    with _bar() as bar:
        task = bar.add_task("", total=len(pairs))
        for pair, result in in_order(partial(_silent, prepare), pairs, min(jobs, len(pairs))):
            bar.update(task, advance=1, description=pair.source.name)
            yield pair, result


def _bar(*columns: ProgressColumn) -> ProgressBar:
    """A progress bar on standard error, shown on a terminal only."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    return Progress(*columns, console=console, disable=not console.is_terminal)


def _silent(prepare: Callable[[], Work[Result]]) -> Callable[[Pair], Result]:
    work = prepare()
    return lambda pair: work(pair, lambda _: None)
