"""The line that says how a run is going, and the log that can be plotted."""

from __future__ import annotations

import json
import sys
import time
from collections import defaultdict
from pathlib import Path


class ProgressLine:
    """Averages losses over `every` steps; prints a line and appends a row of JSON to a log."""

    def __init__(self, log: Path, every: int) -> None:
        self.log, self.every = log, every
        self._sums: defaultdict[str, list[float]] = defaultdict(list)
        self._audio, self._since, self._begun = 0.0, time.monotonic(), time.monotonic()

    def update(self, step: int, losses: dict[str, float], audio_seconds: float, done: float) -> None:
        """Take the losses of one step; `done` is the fraction of the run that is over."""
        for name, value in losses.items():
            self._sums[name].append(value)
        self._audio += audio_seconds
        if step % self.every:
            return
        now = time.monotonic()
        row = {name: sum(v) / len(v) for name, v in self._sums.items()}
        speed = self._audio / (now - self._since)
        left = (now - self._begun) * (1 - done) / done if done > 0 else float("inf")
        parts = "  ".join(f"{name} {value:.4f}" for name, value in row.items())
        print(f"step {step}  {parts}  {speed:.1f} s/s  {left / 60:.0f} min left", file=sys.stderr, flush=True)
        with open(self.log, "a") as file:
            file.write(json.dumps({"step": step, **row, "audio_seconds_per_second": speed}) + "\n")
        self._sums.clear()
        self._audio, self._since = 0.0, now
