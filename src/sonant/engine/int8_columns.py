"""Matrices in 8-bit integers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sonant.engine.weights import Matrix


def by_columns(matrix: Matrix) -> tuple[NDArray[np.int8], Matrix]:
    """A matrix `[K, N]` as int8, and the scale of each column, `[N]`."""
    scales = np.maximum(np.abs(matrix).max(axis=0), np.float32(1e-20)) / np.float32(127)
    return np.rint(matrix / scales).astype(np.int8), scales
