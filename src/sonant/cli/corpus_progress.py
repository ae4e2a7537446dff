"""Progress of commands over a corpus, on a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sonant.tokenizing.summary import Progress, Summary


@contextmanager
def corpus_progress() -> Iterator[Progress]:
    """A bar, and what to call with the recordings done, their number and the summary so far."""
    from rich.console import Console
    from rich.progress import Progress as Bar

    console = Console(stderr=True)
    with Bar(console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None)

        def show(done: int, total: int, summary: Summary) -> None:
            hours = f"{summary.seconds / 3600:.2f} h of audio"
            bar.update(task, completed=done, total=total, description=f"{done}/{total} files, {hours}")

        yield show
