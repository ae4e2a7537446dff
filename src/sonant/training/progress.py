"""The line that says how a run is going, and the log that can be plotted."""

from __future__ import annotations

import json
import os
import sys
import time
from collections import defaultdict
from contextlib import suppress
from pathlib import Path

from sonant.whole_files import replacing

LOG_NAME = "log.jsonl"
REFRESH_SECONDS = 0.5

Row = dict[str, float]


class ProgressLine:
    """Averages losses over `every` steps; prints a line and appends a row of JSON to a log.

    On a terminal the line is alive in between.
    """

    def __init__(self, log: Path, every: int) -> None:
        self.log, self.every = log, every
        self._sums: defaultdict[str, list[float]] = defaultdict(list)
        self._audio, self._since = 0.0, time.monotonic()
        self._live = sys.stderr.isatty()
        self._shown = 0.0
        self._incomplete = False
        self._first: tuple[float, float] | None = None

    def update(self, step: int, losses: Row, audio_seconds: float, done: float) -> Row | None:
        """Take the losses of one step; `done` is the fraction of the run that is over.

        Returns the averages where a row was written.
        """
        for name, value in losses.items():
            self._sums[name].append(value)
        self._audio += audio_seconds
        now = time.monotonic()
        if self._first is None:
            self._first = now, done
        if step % self.every:
            if self._live and now - self._shown > REFRESH_SECONDS:
                self._shown = now
                self._print(self._line(step, now, done), "\r")
            return None
        row = self._averages() | {"audio_seconds_per_second": self._speed(now)}
        self._print(self._line(step, now, done), "\n")
        self.record(step, row)
        self._sums.clear()
        self._audio, self._since = 0.0, now
        return row

    def record(self, step: int, row: Row) -> None:
        """Append a row to the log, or go on without it: the first that cannot be written is told of."""
        end = self.log.stat().st_size if self.log.exists() else 0
        try:
            with open(self.log, "a") as file:
                file.write(json.dumps({"step": step, **row}) + "\n")
        except OSError as error:
            with suppress(OSError):
                os.truncate(self.log, end)
            if not self._incomplete:
                self._print(f"{self.log}: not every row is written ({error.strerror or error})", "\n")
            self._incomplete = True

    def _averages(self) -> Row:
        return {name: sum(values) / len(values) for name, values in self._sums.items()}

    def _speed(self, now: float) -> float:
        return self._audio / max(1e-9, now - self._since)

    def _line(self, step: int, now: float, done: float) -> str:
        parts = "  ".join(f"{name} {value:.4f}" for name, value in self._averages().items())
        begun, first = self._first or (now, done)
        left = (now - begun) * (1 - done) / (done - first) / 60 if done > first else float("inf")
        return f"step {step}  {parts}  {self._speed(now):.1f} s/s  {left:.0f} min left"

    def _print(self, line: str, end: str) -> None:
        erase = "\x1b[2K\r" if self._live else ""
        print(erase + line, end=end, file=sys.stderr, flush=True)


def tell_of_no_step() -> None:
    """Say on standard error that a run has left everything as it was."""
    print("no step was taken: the steps of the recipe, or the time, are over", file=sys.stderr, flush=True)


def cut_log(log: Path, step: int) -> None:
    """Drop the rows after `step`, which a resumed run writes again."""
    if not log.exists():
        return
    rows = []
    for line in log.read_text().splitlines():
        try:
            if json.loads(line)["step"] <= step:
                rows.append(line + "\n")
        except (ValueError, KeyError):
            continue
    with replacing(log) as temporary:
        temporary.write_text("".join(rows))
