"""Problems with files that a run goes on without: each is told of once, and all are counted."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from sonant.errors import AudioError

ATTEMPTS = 20
"""How often something is drawn again because a file of it cannot be read."""


class FileProblems:
    """What was wrong with files.

    Attributes:
        times: how often each problem was met, in the order of their first time.
    """

    def __init__(self) -> None:
        self.times: dict[str, int] = {}

    def note(self, problems: Iterable[str]) -> None:
        """Count problems; those that are new go to standard error."""
        for problem in problems:
            if problem not in self.times:
                print(f"left out: {problem}", file=sys.stderr, flush=True)
            self.times[problem] = self.times.get(problem, 0) + 1

    def report(self) -> None:
        """Say on standard error how many there were, if there were some."""
        if self.times:
            met = sum(self.times.values())
            print(f"{len(self.times)} problems with files, met {met} times", file=sys.stderr)


def none_readable(last: str) -> AudioError:
    """The error where every attempt met a file that cannot be read; `last` says what was wrong at last."""
    return AudioError(f"no file could be read in {ATTEMPTS} attempts; the last: {last}")
