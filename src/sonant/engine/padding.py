"""What comes before the first and after the last row of a signal `[B, T, C]`, as ONNX operators."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sonant.config import PadMode
from sonant.engine.graph import GraphBuilder


class Padding:
    """Pads with zeros or by reflection, as the model does."""

    def __init__(self, graph: GraphBuilder, mode: PadMode) -> None:
        self.graph, self.mode = graph, mode

    def both(
        self, x: str, left: int, right: int, channels: int, stride: int = 1, more: Sequence[str] = ()
    ) -> str:
        """Rows on both sides, some more, and more on the right up to a multiple of the stride."""
        g = self.graph
        if self.mode == "constant":
            x = g.concat(g.zeros(left, channels), x, g.zeros(right, channels), *more)
            return x if stride == 1 else self.with_zeros(x, stride)
        rows = self._after(x, right, stride)
        before = self.reflected_left(x, left, channels)
        after = self._reflected_right(x, rows, left, channels, right + stride - 1)
        return g.concat(before, x, after, *more)

    def completed(self, x: str, stride: int, channels: int) -> str:
        """Rows on the right up to a multiple of the stride."""
        if self.mode == "constant":
            return self.with_zeros(x, stride)
        rows = self._after(x, 0, stride)
        return self.graph.concat(x, self._reflected_right(x, rows, stride, channels, stride - 1))

    def with_zeros(self, x: str, stride: int) -> str:
        """Zeros on the right up to a multiple of the stride."""
        g = self.graph
        rows = g.op("Unsqueeze", self._after(x, 0, stride), g.integers(0))
        return g.op("Pad", x, g.op("Concat", g.integers(0, 0, 0, 0), rows, g.integers(0), axis=0))

    def reflected_left(self, x: str, rows: int, channels: int) -> str:
        """Rows `rows` … 1 of the input, which counts as followed by zeros."""
        g = self.graph
        extended = g.concat(g.slice(x, 0, rows + 1), g.zeros(rows, channels))
        order = g.constant(np.arange(rows, 0, -1, dtype=np.int64), f"reversed{rows}")
        return g.op("Gather", extended, order, axis=1)

    def _after(self, x: str, right: int, stride: int) -> str:
        """Rows to add on the right so that windows of `stride` come out even, a scalar."""
        g = self.graph
        if stride == 1:
            return g.integer(right)
        length = g.op("Neg", g.length(x))
        return g.op("Add", g.op("Mod", length, g.integer(stride)), g.integer(right))

    def _reflected_right(self, x: str, rows: str, left: int, channels: int, most: int) -> str:
        """`rows` rows, at most `most`, that mirror the end of the input.

        An input not longer than the padding on either side is first followed by zeros, up to one
        more than that.
        """
        g = self.graph
        reach = g.op("Max", rows, g.integer(left))
        kept = max(left, most) + 1
        end = g.slice(x, -kept, None)
        length = g.length(end)
        extended_length = g.op("Max", length, g.op("Add", reach, g.integer(1)))
        last = g.op("Sub", extended_length, g.integer(1))
        places = g.op("Add", g.op("Range", g.integer(0), rows, g.integer(1)), length)
        mirrored = g.op("Sub", last, g.op("Abs", g.op("Sub", last, places)))
        extended = g.concat(end, g.zeros(kept + most, channels))
        return g.op("Gather", extended, mirrored, axis=1)
