"""Means with 95 % confidence intervals by bootstrap."""

from __future__ import annotations

import math
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


Scale = tuple[float, float]
"""The least and the greatest value that a quantity can have."""

ANY_VALUE: Scale = (-math.inf, math.inf)
NOT_NEGATIVE: Scale = (0.0, math.inf)


def bootstrap_mean(values: Sequence[float], scale: Scale = ANY_VALUE) -> Mean:
    """Mean and bootstrap interval (Efron 1979), 2,000 resamples with a fixed seed.

    Resamples of few values lie too close to their mean. They are spread by √(n/(n−1)), for the bias of
    their variance, and by how much wider Student's t is than the normal distribution. The interval ends
    where the scale of the values does.

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
    ends = mean + wider * np.percentile(sample[drawn].mean(axis=1) - mean, [2.5, 97.5])
    low, high = np.clip(ends, min(mean, scale[0]), max(mean, scale[1])).tolist()
    return Mean(mean, low, high, count)
