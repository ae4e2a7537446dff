"""Means with 95 % confidence intervals by bootstrap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 2000
SEED = 1


@dataclass(frozen=True)
class Mean:
    """A mean over `count` values and its 95 % confidence interval."""

    value: float
    low: float
    high: float
    count: int


def bootstrap_mean(values: Sequence[float]) -> Mean:
    """Mean and percentile-bootstrap interval (Efron 1979), 2,000 resamples with a fixed seed.

    Raises:
        ValueError: if there are no values.
    """
    sample = np.asarray(values, np.float64)
    if not len(sample):
        raise ValueError("no values to average")
    drawn = np.random.default_rng(SEED).integers(len(sample), size=(RESAMPLES, len(sample)))
    low, high = np.percentile(sample[drawn].mean(axis=1), [2.5, 97.5])
    return Mean(float(sample.mean()), float(low), float(high), len(sample))
