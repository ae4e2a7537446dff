"""Arithmetic that gives the same bits on every machine.

Every array holds whole numbers. Sums and products of them stay below 2**24 in float32 and below
2**53 in float64, where they are exact in any order of summation, with or without fused
multiply-add; so a matrix product is a plain BLAS call. In between there is only ever a single
operation that IEEE 754 rounds correctly (a product, a quotient or a root), rounded to a whole number
at once, element by element.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sonant.errors import WeightsError

Whole = NDArray[np.float32]
Wide = NDArray[np.float64]

EXACT_FLOAT32 = 1 << 24
EXACT_FLOAT64 = 1 << 53


def check_product(weight: Whole, bias: Whole, limit: int, name: str) -> None:
    """Refuse a product whose sums could leave the exact range of float32.

    Args:
        weight: `[…, K, N]`.
        bias: `[…, N]`.
        limit: largest absolute value of an input.
        name: of the layer, for the error.

    Raises:
        WeightsError: if Σ|w| · limit + |b| reaches 2**24 anywhere.
    """
    largest = np.abs(weight).sum(-2, dtype=np.float64) * limit + np.abs(bias).astype(np.float64)
    if not largest.max() < EXACT_FLOAT32:
        raise WeightsError(f"the language model's {name} does not stay within exact arithmetic")


def product(x: Whole, weight: Whole) -> Whole:
    """`x @ weight`, whole numbers within the bound of `check_product`: any order of summation is exact."""
    result: Whole = x @ weight
    return result


def rescale(sums: Whole, scale: Whole | np.float32, limit: int) -> Whole:
    """Round `sums · scale` to whole numbers within ± `limit`."""
    scaled = sums * scale
    np.rint(scaled, out=scaled)
    return scaled.clip(-limit, limit, out=scaled)


def layer_norm(x: Whole, gain: Wide, bias: Wide, epsilon: float, limit: int) -> Whole:
    """LayerNorm over the last axis, to whole numbers within ± `limit`.

    With n channels, (n·x − Σx) / √(n·Σx² − (Σx)² + ε) has unit variance; `gain` and `bias` take it to
    the scale of the result. Inputs below 2**53 / n² squared keep both sums exact.
    """
    wide = x.astype(np.float64)
    channels = x.shape[-1]
    total = wide.sum(-1, keepdims=True)
    squares = np.square(wide).sum(-1, keepdims=True)
    spread = np.sqrt(channels * squares - total * total + epsilon)
    wide *= channels
    wide -= total
    wide /= spread
    wide *= gain
    wide += bias
    np.rint(wide, out=wide)
    return wide.clip(-limit, limit, out=wide).astype(np.float32)


def exponentials(scores: Whole, scale: np.float32, table: Wide) -> Wide:
    """`table[(max − score) · scale]` along the last axis; the table ends in its smallest value."""
    below = scores.max(-1, keepdims=True) - scores
    below *= scale
    np.rint(below, out=below)
    return table.take(_places(below, len(table)))


def exponents(scores: Whole, size: int) -> NDArray[np.intp]:
    """Places max − score in a table of `size` exponentials."""
    return _places(scores.max(-1, keepdims=True) - scores, size)


def _places(below: Whole, size: int) -> NDArray[np.intp]:
    return below.clip(0, size - 1, out=below).astype(np.intp)


def cumulative_frequencies(weights: Wide, total: int) -> NDArray[np.int64]:
    """Where each alternative starts: `[…, N]` weights to `[…, N + 1]` from 0 to `total`.

    Every frequency is at least 1: the rest of `total` is shared out by weight, rounded down. The sum of
    the weights times `total` must stay below 2**53.
    """
    bins = weights.shape[-1]
    running = np.cumsum(weights, axis=-1)
    starts = np.zeros((*weights.shape[:-1], bins + 1), np.int64)
    starts[..., 1:] = _shared_out(running, running[..., -1:].copy(), total - bins)
    starts[..., 1:] += np.arange(1, bins + 1)
    return starts


def intervals(
    weights: Wide, chosen: NDArray[np.int64], total: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Start and width of one alternative of each row among its `cumulative_frequencies`.

    Args:
        weights: `[rows, N]`.
        chosen: `[rows]`, from 0 to N - 1.
        total: as for `cumulative_frequencies`.
    """
    rows, bins = np.arange(len(weights)), weights.shape[-1]
    running = np.cumsum(weights, axis=-1)
    ends = np.stack([np.where(chosen > 0, running[rows, chosen - 1], 0), running[rows, chosen]])
    starts = _shared_out(ends, running[:, -1], total - bins).astype(np.int64)
    starts += np.stack([chosen, chosen + 1])
    return starts[0], starts[1] - starts[0]


def _shared_out(running: Wide, whole: Wide, total: int) -> Wide:
    """⌊running · total / whole⌋, in place."""
    running *= total
    running /= whole
    return np.floor(running, out=running)
