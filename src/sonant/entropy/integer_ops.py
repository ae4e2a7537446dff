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
    largest = np.abs(weight.astype(np.float64)).sum(-2) * limit + np.abs(bias.astype(np.float64))
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
    return np.clip(scaled, -limit, limit, out=scaled)


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
    return np.clip(wide, -limit, limit, out=wide).astype(np.float32)


def exponentials(scores: Whole, scale: np.float32, table: Wide) -> Wide:
    """`table[(max − score) · scale]` along the last axis; the table ends in its smallest value."""
    return table[exponents(scores, scale, len(table))]


def exponents(scores: Whole, scale: np.float32, size: int) -> NDArray[np.intp]:
    """Places (max − score) · scale in a table of `size` exponentials."""
    below = scores.max(-1, keepdims=True) - scores
    below *= scale
    np.rint(below, out=below)
    np.minimum(below, np.float32(size - 1), out=below)
    return below.astype(np.intp)


def cumulative_frequencies(weights: Wide, total: int) -> NDArray[np.int64]:
    """Where each alternative starts: `[…, N]` weights to `[…, N + 1]` from 0 to `total`.

    Every frequency is at least 1: the rest of `total` is shared out by weight, rounded down. The sum of
    the weights times `total` must stay below 2**53.
    """
    bins = weights.shape[-1]
    running = np.cumsum(weights, axis=-1)
    whole = running[..., -1:].copy()
    running *= total - bins
    running /= whole
    np.floor(running, out=running)
    running += np.arange(1, bins + 1)
    starts = np.zeros((*weights.shape[:-1], bins + 1), np.int64)
    starts[..., 1:] = running
    return starts
