"""Layers in 8-bit integers where that is faster: the LSTM and the large products.

No scale depends on what else is in the block or the batch. A product quantises each of its rows by
the largest numbers in it, and its matrix by columns. ONNX Runtime's `DynamicQuantizeLSTM` takes
one scale for its whole input and one for all hidden states of a step, from the smallest to the
largest number; both are held fixed by numbers that are always there: the input is clipped to
[-R, R] and has features of constant value -R and R, and units are added whose hidden states are
constantly -1 and 1.
"""

from __future__ import annotations

import numpy as np

from sonant.config import CodecConfig
from sonant.engine.graph import MICROSOFT, GraphBuilder
from sonant.engine.layers import Ends, LayerBuilder, Matrix, Weights

LARGE = 1 << 15
EXTRA = 2
SATURATED = 40.0


class Int8LayerBuilder(LayerBuilder):
    """A `LayerBuilder` whose LSTM and large products are in 8-bit integers.

    Args:
        lstm_range: R, the largest magnitude of the LSTM's input that is not clipped.
        zero: what 0 is in the 255 steps of a row. After an ELU rows reach further up than down.
    """

    narrow = 128

    def __init__(
        self,
        graph: GraphBuilder,
        config: CodecConfig,
        weights: Weights,
        ends: Ends,
        lstm_range: float,
        zero: int,
    ) -> None:
        super().__init__(graph, config, weights, ends)
        self._range, self._zero = lstm_range, zero
        self._quantized: dict[str, tuple[str, str]] = {}

    def _lstm_layers(self, x: str, name: str) -> str:
        g = self.graph
        low, high = (g.number(value) for value in (-self._range, self._range))
        x = self._with_extremes(g.op("Clip", x, low, high), self._range)
        for layer in range(self.config.lstm_layers):
            x = self._lstm_layer(x, f"{name}.{{}}_l{layer}")
        return g.slice(x, 0, self.config.bottleneck_channels, axis=2)

    def _lstm_layer(self, x: str, parts: str) -> str:
        """`[T, B, C + EXTRA]` with the extremes to `[T, B, H + EXTRA]` with -1 and 1."""
        g = self.graph
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
        h = self._with_extremes(self._lstm_state(units - EXTRA), 1.0)
        c = self._with_extremes(self._lstm_state(units - EXTRA), SATURATED)
        y, *last = g.op(
            "DynamicQuantizeLSTM",
            *(x, w, r, b, "", h, c, "", w_scale, zero, r_scale, zero),
            outputs=3,
            hidden_size=units,
            domain=MICROSOFT,
        )
        self._lstm_following([g.slice(state, 0, units - EXTRA, axis=2) for state in last])
        return str(g.op("Squeeze", y, g.integers(1)))

    def _with_extremes(self, x: str, extreme: float) -> str:
        """`[T, B, C]` and two features: -extreme and extreme."""
        g = self.graph
        features = np.array([[[-extreme, extreme]]], np.float32)
        shape = g.op("Concat", g.sizes(x, 0, 2), g.integers(EXTRA), axis=0)
        return str(g.op("Concat", x, g.op("Expand", g.constant(features), shape), axis=2))

    def _gate_columns(self, gates: Matrix, name: str) -> tuple[str, str]:
        """Gates `[4, H, C]` as DynamicQuantizeLSTM takes them, and their scales."""
        columns, scales = _by_columns(gates.reshape(-1, gates.shape[2]).T)
        return self.graph.constant(columns[None], name), self.graph.constant(scales[None], f"{name}.scale")

    def _product(
        self, x: str, name: str, matrix: Matrix, bias: Matrix | None = None, added: str = ""
    ) -> str:
        if matrix.size < LARGE:
            return super()._product(x, name, matrix, bias, added)
        g = self.graph
        columns, scales = _by_columns(matrix)
        rows, row_scales = self._rows(x, len(matrix))
        y = g.op(
            "MatMulIntegerToFloat",
            *(rows, g.constant(columns, name), g.number(1), g.constant(scales, f"{name}.scale")),
            *(self._nothing(), g.constant(np.zeros(len(scales), np.int8), f"{name}.zero")),
            domain=MICROSOFT,
        )
        y = g.op("Mul", y, row_scales)
        if bias is not None:
            y = g.op("Add", y, g.constant(bias, f"{name}.bias"))
        elif added:
            y = g.op("Add", y, g.reshape(added, -1, len(scales)))
        return g.rows(y, len(scales))

    def _of_pairs(self, x0: str, x1: str, name: str, early: Matrix, late: Matrix, bias: Matrix) -> str:
        if early.size < LARGE // 2:
            return super()._of_pairs(x0, x1, name, early, late, bias)
        pairs = self.graph.op("Concat", x0, x1, axis=2)
        return self._product(pairs, f"{name}.w", np.concatenate([early, late]), bias)

    def _rows(self, x: str, width: int) -> tuple[str, str]:
        """Rows of `x` in 8 bits, `[B · T, width]`, and the scale of each, `[B · T, 1]`."""
        if x not in self._quantized:
            g = self.graph
            x_rows = g.reshape(x, -1, width)
            lowest = g.op("ReduceMin", x_rows, axes=[1], keepdims=0)
            highest = g.op("ReduceMax", x_rows, axes=[1], keepdims=0)
            scales = g.op(
                "Max",
                g.op("Mul", lowest, g.number(-1 / self._zero)),
                g.op("Mul", highest, g.number(1 / (255 - self._zero))),
                g.number(1e-20),
            )
            nothing = g.op("Expand", self._nothing(), g.op("Shape", scales))
            rows = g.op("QuantizeLinear", x_rows, scales, nothing, axis=0)
            self._quantized[x] = rows, g.op("Unsqueeze", scales, g.integers(1))
        return self._quantized[x]

    def _nothing(self) -> str:
        return self.graph.constant(np.array(self._zero, np.uint8), "nothing")


def _by_columns(matrix: Matrix) -> tuple[np.ndarray, Matrix]:
    """A matrix as int8, and the scale of each column."""
    scales = np.maximum(np.abs(matrix).max(axis=0), np.float32(1e-20)) / np.float32(127)
    return np.rint(matrix / scales).astype(np.int8), scales


def _enlarged(gates: Matrix) -> Matrix:
    """Gates `[4, H, C]` with EXTRA units and inputs that have no part in anything."""
    return np.pad(gates, ((0, 0), (0, EXTRA), (0, EXTRA)))
