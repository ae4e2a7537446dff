"""Loudness as broadcasters measure it: ITU-R BS.1770-4, K-weighted and gated."""

from __future__ import annotations

import numpy as np
import soxr
from numpy.typing import NDArray

_RATE = 48_000
_SHELF = [1.53512485958697, -2.69169618940638, 1.19839281085285], [1.0, -1.69065929318241, 0.73248077421585]
_HIGH_PASS = [1.0, -2.0, 1.0], [1.0, -1.99004745483398, 0.99007225036621]
_ABSOLUTE_GATE = -70.0
_RELATIVE_GATE = -10.0


def loudness(audio: NDArray[np.floating], sample_rate: int) -> float:
    """Integrated loudness in LUFS of `[channels, samples]`; −inf where all is under the gate."""
    from scipy.signal import lfilter

    weighted = soxr.resample(np.asarray(audio, np.float64).T, sample_rate, _RATE).T
    for b, a in (_SHELF, _HIGH_PASS):
        weighted = lfilter(b, a, weighted, axis=-1)
    block = min(int(0.4 * _RATE), weighted.shape[1])
    if block == 0:
        return float("-inf")
    energy = np.concatenate([np.zeros(1), np.cumsum(np.square(weighted).sum(axis=0))])
    starts = np.arange(0, weighted.shape[1] - block + 1, max(1, block // 4))
    power = (energy[starts + block] - energy[starts]) / block
    heard = power[_level(power) > _ABSOLUTE_GATE]
    if len(heard) == 0:
        return float("-inf")
    return float(_level(heard[_level(heard) > _level(heard.mean()) + _RELATIVE_GATE].mean()))


def _level(power: NDArray[np.float64]) -> NDArray[np.float64]:
    return -0.691 + 10 * np.log10(np.maximum(power, 1e-20))
