"""Tensors of the integer language model, with the checks that its exactness rests on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sonant.config import LanguageModelConfig
from sonant.entropy.integer_layers import (
    ACTIVATION_LIMIT,
    ATTENDED_LIMIT,
    GELU_LIMIT,
    HIDDEN_LIMIT,
    RESIDUAL_LIMIT,
    RESIDUAL_STEPS,
    FeedForward,
    Layer,
    Linear,
    Norm,
)
from sonant.entropy.integer_ops import EXACT_FLOAT32, EXACT_FLOAT64, Whole, Wide, check_product
from sonant.errors import WeightsError

TABLE_LIMIT = 1 << 22

Tensors = Mapping[str, NDArray[Any]]


class CheckedTensors:
    """Gives tensors by name, each in the type to compute with.

    Every method raises KeyError if a tensor is missing, and WeightsError if it is not what it has to be.
    """

    def __init__(self, tensors: Tensors) -> None:
        self._tensors = tensors

    def real(self, name: str, shape: tuple[int | None, ...], dtype: Any = np.float32) -> Whole:
        """A tensor of a shape, None for any size, that is finite and small enough to be exact."""
        tensor = self._tensors[name]
        wanted = len(tensor.shape) == len(shape) and all(
            want is None or got == want for got, want in zip(tensor.shape, shape, strict=True)
        )
        finite = _is_small(tensor) or (np.abs(tensor.astype(np.float64)) < EXACT_FLOAT64).all()
        if not wanted or not finite:
            raise WeightsError(f"the language model's {name} has a wrong shape or is not finite")
        return np.ascontiguousarray(tensor, dtype=dtype)

    def whole(self, name: str, shape: tuple[int | None, ...], dtype: Any = np.float32) -> Whole:
        """As `real`, of whole numbers."""
        tensor = self.real(name, shape, dtype)
        if not _is_small(self._tensors[name]) and (tensor != np.rint(tensor)).any():
            raise WeightsError(f"the language model's {name} are no whole numbers")
        return tensor

    def number(self, name: str) -> float:
        """A single number."""
        return float(self.real(name, (1,), np.float64)[0])

    def table(self, name: str, shape: tuple[int, ...]) -> Whole:
        """Rows as int8, each book with a shift of its own."""
        shift = self.whole(f"{name}.shift", (shape[0],))
        if ((shift < 0) | (shift >= EXACT_FLOAT32.bit_length())).any():
            raise WeightsError(f"the language model's {name} has shifts that make no sense")
        return np.ldexp(self.whole(name, shape), shift.astype(np.int32)[:, None, None])

    def norm(self, name: str, dim: int) -> Norm:
        """A LayerNorm over `dim` channels."""
        gain = self.real(f"{name}.gain", (dim,), np.float64)
        bias = self.real(f"{name}.bias", (dim,), np.float64)
        epsilon = self.number(f"{name}.epsilon")
        if not epsilon > 0:
            raise WeightsError(f"the language model's {name} has no positive epsilon")
        return Norm(np.asarray(gain, np.float64), np.asarray(bias, np.float64), epsilon)

    def linear(self, name: str, inputs: int, outputs: int, limit: int) -> Linear:
        """A product whose sums are exact for inputs within ± `limit`."""
        weight = self.whole(f"{name}.weight", (inputs, outputs))
        bias = self.whole(f"{name}.bias", (outputs,))
        scale = self.real(f"{name}.scale", (outputs,))
        check_product(weight, bias, limit, name)
        return Linear(weight, bias, scale)

    def exponentials(self, name: str) -> Wide:
        """A table that falls from something above 0."""
        table = np.asarray(self.whole(name, (None,), np.float64), np.float64)
        if (
            not 0 < len(table) <= TABLE_LIMIT
            or table[0] > TABLE_LIMIT
            or table.min() < 0
            or table[0] < 1
            or (np.diff(table) > 0).any()
        ):
            raise WeightsError(f"the language model's {name} is not a falling table")
        return table

    def feed_forward(self, name: str, dim: int, channels: int) -> FeedForward:
        """A feed-forward network with so many channels inside."""
        gelu = self.whole(f"{name}.gelu", (2 * HIDDEN_LIMIT + 1,))
        if np.abs(gelu).max() > GELU_LIMIT:
            raise WeightsError(f"the language model's {name}.gelu is out of range")
        return FeedForward(
            up=self.linear(f"{name}.up", dim, channels, ACTIVATION_LIMIT),
            down=self.linear(f"{name}.down", channels, dim, GELU_LIMIT),
            gelu=gelu,
        )

    def layer(self, name: str, config: LanguageModelConfig) -> Layer:
        """A layer of the Transformer."""
        dim = config.dim
        score_scale = np.float32(self.number(f"{name}.score.scale"))
        if score_scale < 0:
            raise WeightsError(f"the language model's {name}.score.scale is below 0")
        return Layer(
            query_key_value=self.linear(f"{name}.qkv", dim, 3 * dim, ACTIVATION_LIMIT),
            attended=self.linear(f"{name}.attended", dim, dim, ATTENDED_LIMIT),
            feed_forward=self.feed_forward(name, dim, config.feed_forward),
            norm1=self.norm(f"{name}.norm1", dim),
            norm2=self.norm(f"{name}.norm2", dim),
            score_scale=score_scale,
        )

    def check_norm_inputs(self, embedding: Whole, step: Whole | None, dim: int) -> None:
        """The largest input of any LayerNorm, squared, times n² must be exact in float64."""
        largest = float(np.abs(embedding).max(axis=(1, 2)).sum())
        largest = max(largest, ACTIVATION_LIMIT * RESIDUAL_STEPS + RESIDUAL_LIMIT)
        if step is not None:
            grid = abs(float(self.whole("step.grid", (1,))[0]))
            largest = max(largest, ACTIVATION_LIMIT * grid + float(np.abs(step).max(axis=(1, 2)).sum()))
        if largest >= EXACT_FLOAT32 or largest**2 * dim**2 >= EXACT_FLOAT64:
            raise WeightsError("the language model's norms do not stay within exact arithmetic")


def _is_small(tensor: NDArray[np.generic]) -> bool:
    """Whether a tensor's type holds nothing but whole numbers that are exact in float32."""
    return np.issubdtype(tensor.dtype, np.integer) and np.can_cast(tensor.dtype, np.float32)
