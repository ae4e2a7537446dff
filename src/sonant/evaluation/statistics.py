"""Means with 95 % confidence intervals by bootstrap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 2000
SEED = 1


@dataclass(frozen=True)
class Mean:
    """A mean over `count` values and its 95 % confidence interval; one value has none."""

    value: float
    low: float | None
    high: float | None
    count: int


def bootstrap_mean(values: Sequence[float]) -> Mean:
    """Mean and bootstrap interval (Efron 1979), 2,000 resamples with a fixed seed.

    Resamples of few values lie too close to their mean. They are spread by √(n/(n−1)), for the bias of
    their variance, and by how much wider Student's t is than the normal distribution.

    Raises:
        ValueError: if there are no values.
    """
    from scipy.stats import norm, t

    sample = np.asarray(values, np.float64)
    count = len(sample)
    if not count:
        raise ValueError("no values to average")
    mean = float(sample.mean())
    if count == 1:
        return Mean(mean, None, None, 1)
    drawn = np.random.default_rng(SEED).integers(count, size=(RESAMPLES, count))
    wider = np.sqrt(count / (count - 1)) * t.ppf(0.975, count - 1) / norm.ppf(0.975)
    low, high = wider * np.percentile(sample[drawn].mean(axis=1) - mean, [2.5, 97.5])
    return Mean(mean, mean + float(low), mean + float(high), count)
