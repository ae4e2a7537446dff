"""How much of a run is over, and the learning rate there."""

from __future__ import annotations

import math


def share_done(steps: float, elapsed: float, time_limit: float | None, before: float) -> float:
    """The share of a run that is over, by its steps or by its time, whichever is further.

    Args:
        steps: share of the steps that are taken.
        elapsed, time_limit: seconds since the run began or went on, and how many it may take from there.
        before: share that was over when it went on.
    """
    if not time_limit:
        return max(steps, before)
    return max(steps, before + (1 - before) * elapsed / time_limit)


def share_to_go_on_from(done: float) -> float:
    """Where a run goes on that was left at a share: one that was finished begins a new rate."""
    return done if done < 1 else 0.0


def learning_rate(step: int, done: float, highest: float, lowest: float, warmup_steps: int) -> float:
    """A straight line up over the first steps, times a cosine from `highest` to `lowest` over the run."""
    warm = min(1.0, (step + 1) / max(1, warmup_steps))
    cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
    return warm * (lowest + (highest - lowest) * cosine)
