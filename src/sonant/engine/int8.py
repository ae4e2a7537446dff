"""Layers in 8-bit integers where that is faster: the large products and the LSTM.

No scale depends on what else is in the block or the batch: a product quantises each of its rows by
the largest numbers in it, and its matrix by columns.
"""

from __future__ import annotations

import numpy as np

from sonant.config import CodecConfig
from sonant.engine.graph import MICROSOFT, GraphBuilder
from sonant.engine.int8_columns import by_columns
from sonant.engine.int8_lstm import Int8LSTM
from sonant.engine.layers import LayerBuilder
from sonant.engine.states import Ends
from sonant.engine.weights import Matrix, Weights

LARGE = 1 << 15


class Int8LayerBuilder(LayerBuilder):
    """A `LayerBuilder` whose LSTM and large products are in 8-bit integers.

    Args:
        lstm_range: as for `Int8LSTM`.
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
        self.lstm = Int8LSTM(graph, config, weights, self.states, lstm_range)
        self._zero = zero
        self._quantized: dict[str, tuple[str, str]] = {}

    def _product(
        self, x: str, name: str, matrix: Matrix, bias: Matrix | None = None, added: str = ""
    ) -> str:
        if matrix.size < LARGE:
            return super()._product(x, name, matrix, bias, added)
        g = self.graph
        columns, scales = by_columns(matrix)
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
