"""The LSTM in 8-bit integers.

ONNX Runtime's `DynamicQuantizeLSTM` takes one scale for its whole input and one for all hidden
states of a step, from the smallest to the largest number. Both are held fixed by numbers that are
always there: the input is clipped to [-R, R] and has features of constant value -R and R, and units
are added whose hidden states are constantly -1 and 1.
"""

from __future__ import annotations

import numpy as np

from sonant.config import CodecConfig
from sonant.engine.graph import MICROSOFT, GraphBuilder
from sonant.engine.int8_columns import by_columns
from sonant.engine.lstm import LSTM
from sonant.engine.states import States
from sonant.engine.weights import Matrix, Weights

EXTRA = 2
SATURATED = 40.0


class Int8LSTM(LSTM):
    """An `LSTM` whose products are in 8-bit integers.

    Args:
        largest: R, the largest magnitude of the input that is not clipped.
    """

    def __init__(
        self, graph: GraphBuilder, config: CodecConfig, weights: Weights, states: States, largest: float
    ) -> None:
        super().__init__(graph, config, weights, states)
        self._channels, self._largest = config.bottleneck_channels, largest

    def _stacked(self, x: str, name: str) -> str:
        g = self._graph
        low, high = (g.number(value) for value in (-self._largest, self._largest))
        x = self._with_extremes(g.op("Clip", x, low, high), self._largest)
        for layer in range(self._layers):
            x = self._layer(x, f"{name}.{{}}_l{layer}")
        return g.slice(x, 0, self._channels, axis=2)

    def _layer(self, x: str, parts: str) -> str:
        """`[T, B, C + EXTRA]` with the extremes to `[T, B, H + EXTRA]` with -1 and 1."""
        g = self._graph
        w, w_scale = self._gate_columns(
            _enlarged(self._gates(parts.format("weight_ih"))), parts.format("w")
        )
        r, r_scale = self._gate_columns(
            _enlarged(self._gates(parts.format("weight_hh"))), parts.format("r")
        )
        bias = self._gates(parts.format("bias_ih")) + self._gates(parts.format("bias_hh"))
        held = np.array([-SATURATED, SATURATED, SATURATED, 0], np.float32)
        bias = np.append(bias, np.repeat(held[:, None], EXTRA, axis=1), axis=1).reshape(1, -1)
        b = g.constant(np.append(bias, np.zeros_like(bias), axis=1), parts.format("b"))
        zero = g.constant(np.zeros(bias.shape, np.int8), parts.format("zero"))
        units = bias.shape[1] // 4
        h = self._with_extremes(self._state(units - EXTRA), 1.0)
        c = self._with_extremes(self._state(units - EXTRA), SATURATED)
        y, *last = g.op(
            "DynamicQuantizeLSTM",
            *(x, w, r, b, "", h, c, "", w_scale, zero, r_scale, zero),
            outputs=3,
            hidden_size=units,
            domain=MICROSOFT,
        )
        self._following([g.slice(state, 0, units - EXTRA, axis=2) for state in last])
        return str(g.op("Squeeze", y, g.integers(1)))

    def _with_extremes(self, x: str, extreme: float) -> str:
        """`[T, B, C]` and two features: -extreme and extreme."""
        g = self._graph
        features = np.array([[[-extreme, extreme]]], np.float32)
        shape = g.op("Concat", g.sizes(x, 0, 2), g.integers(EXTRA), axis=0)
        return str(g.op("Concat", x, g.op("Expand", g.constant(features), shape), axis=2))

    def _gate_columns(self, gates: Matrix, name: str) -> tuple[str, str]:
        """Gates `[4, H, C]` as DynamicQuantizeLSTM takes them, and their scales."""
        g = self._graph
        columns, scales = by_columns(gates.reshape(-1, gates.shape[2]).T)
        return g.constant(columns[None], name), g.constant(scales[None], f"{name}.scale")


def _enlarged(gates: Matrix) -> Matrix:
    """Gates `[4, H, C]` with EXTRA units and inputs that have no part in anything."""
    return np.pad(gates, ((0, 0), (0, EXTRA), (0, EXTRA)))
