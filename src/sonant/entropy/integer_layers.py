"""The layers of the integer language model, and how large the whole numbers between them may be."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sonant.entropy.integer_ops import Whole, Wide, layer_norm, product, rescale

ACTIVATION_LIMIT = 2047
QUERY_LIMIT = 511
ATTENDED_LIMIT = 1023
HIDDEN_LIMIT = 1023
GELU_LIMIT = 511
RESIDUAL_LIMIT = 1 << 15
RESIDUAL_STEPS = 4
ATTENDED_STEPS = 2


@dataclass(frozen=True)
class Linear:
    """A matrix product with bias, and the scale that brings its sums to the next grid."""

    weight: Whole
    bias: Whole
    scale: Whole

    def __call__(self, x: Whole, limit: int) -> Whole:
        """`[…, K]` to whole numbers `[…, N]` within ± `limit`."""
        sums = product(x.reshape(-1, x.shape[-1]), self.weight)
        sums += self.bias
        return rescale(sums, self.scale, limit).reshape(*x.shape[:-1], -1)


@dataclass(frozen=True)
class Norm:
    """The constants of a LayerNorm."""

    gain: Wide
    bias: Wide
    epsilon: float

    def __call__(self, x: Whole) -> Whole:
        """Normalised activations."""
        return layer_norm(x, self.gain, self.bias, self.epsilon, ACTIVATION_LIMIT)


@dataclass(frozen=True)
class FeedForward:
    """Two products with GELU between them, a table over ± `HIDDEN_LIMIT`."""

    up: Linear
    down: Linear
    gelu: Whole

    def __call__(self, x: Whole) -> Whole:
        """`[…, dim]` to what is added to it, `[…, dim]`, within ± `RESIDUAL_LIMIT`."""
        places = self.up(x, HIDDEN_LIMIT) + np.float32(HIDDEN_LIMIT)
        return self.down(self.gelu[places.astype(np.intp)], RESIDUAL_LIMIT)


@dataclass(frozen=True)
class Layer:
    """One layer of the Transformer."""

    query_key_value: Linear
    attended: Linear
    feed_forward: FeedForward
    norm1: Norm
    norm2: Norm
    score_scale: np.float32
