"""SEANet's layers as ONNX operators, channels last, `[B, T, C]`.

A convolution of kernel 2 · stride is x₁·W₁ + x₀·W₀ over neighbouring blocks x₀, x₁ of `stride`
samples. What one block hands to the next is a product of the size of one output block: that product
is the state. A convolution of kernel 3 is one over blocks of 2 samples. A transposed convolution of
kernel 2 · stride gives a block for each pair of neighbouring frames.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from sonant.config import CodecConfig
from sonant.engine.graph import GraphBuilder
from sonant.engine.lstm import LSTM
from sonant.engine.padding import Padding
from sonant.engine.states import Ends, States
from sonant.engine.weights import Matrix, Weights

ROWS_AT_ONCE = 8
FEW = 2


class LayerBuilder:
    """Adds layers to a graph, keeping track of the states.

    Attributes:
        lstm: adds the LSTM.
        narrow: the most channels of a kernel of 3 that goes over blocks as long as it reaches back: a third
            more arithmetic in fewer passes over memory. With twice the dilation half as many.
    """

    narrow = 64

    def __init__(self, graph: GraphBuilder, config: CodecConfig, weights: Weights, ends: Ends) -> None:
        self.graph, self.config, self.weights, self.ends = graph, config, weights, ends
        self.states = States(graph, ends)
        self.lstm = LSTM(graph, config, weights, self.states)
        self._padding = Padding(graph, config.pad_mode)
        self._normalises = config.norm == "time_group_norm"

    def elu(self, x: str) -> str:
        """ELU with alpha 1, max(x, exp(min(x, 0)) − 1): twice as fast as ONNX Runtime's own operator."""
        g = self.graph
        negative = g.op("Exp", g.op("Clip", x, "", g.number(0)))
        return g.op("Max", x, g.op("Sub", negative, g.number(1)))

    def conv(
        self, x: str, name: str, dilation: int = 1, rows_per_frame: int = 1, exact: bool = False
    ) -> str:
        """Convolution of stride 1: `[B, T, C_in]` to `[B, T, C_out]`.

        Args:
            rows_per_frame: T of one frame, at this place of the network.
            exact: in float32 whatever the precision.
        """
        weight, bias = self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]
        out_channels, in_channels, kernel = weight.shape
        padding = (kernel - 1) * dilation
        wide = 2 * in_channels < out_channels
        if kernel == 1:
            y = self._product(x, f"{name}.w", self._pointwise(name), bias)
        elif (
            not wide
            and 4 * padding * in_channels <= 3 * kernel * self.narrow
            and rows_per_frame % padding == 0
        ):
            y = self._conv_of_blocks(x, name, padding)
        else:
            few = min(in_channels, out_channels) <= FEW
            size = math.gcd(rows_per_frame, ROWS_AT_ONCE) if few else 1
            y = self._conv_of_taps(x, name, dilation, size, gathered=wide, exact=exact)
        return self._normalised(y, name)

    def _conv_of_taps(
        self, x: str, name: str, dilation: int, size: int, gathered: bool, exact: bool
    ) -> str:
        """A convolution over blocks of `size` rows as one product.

        It takes all blocks of a window side by side (gathered), or gives what a block adds to each
        block of results, which are shifted and added.
        """
        g, weight = self.graph, self.weights[f"{name}.weight"]
        out_channels, in_channels, kernel = weight.shape
        padding = (kernel - 1) * dilation
        reach = -(-padding // size)
        taps = np.zeros((reach + 1, size, in_channels, size, out_channels), np.float32)
        shifts = set()
        for place in range(size):
            for k in range(kernel):
                block, row = divmod(place + k * dilation, size)
                taps[block, row, :, place] = weight[:, :, k].T
                shifts.add(block)
        used = taps[sorted(shifts)].reshape(len(shifts), size * in_channels, size * out_channels)
        bias = np.tile(self.weights[f"{name}.bias"], size)
        blocks = self._padded(x, padding, in_channels, spare=reach * size - padding)
        if size > 1:
            blocks = self._padding.with_zeros(blocks, size) if self.ends.tail else blocks
            blocks = g.reshape(blocks, 0, -1, size * in_channels)
        product = self._exact_product if exact else self._product
        if gathered:
            windows = [self._window(blocks, shift, -reach) for shift in sorted(shifts)]
            y = product(g.op("Concat", *windows, axis=2), f"{name}.w", np.concatenate(used), bias)
        else:
            bias = np.pad(bias, (0, (len(shifts) - 1) * len(bias)))
            parts = product(blocks, f"{name}.w", np.concatenate(used, axis=1), bias)
            sizes = g.integers(*[size * out_channels] * len(shifts))
            parts = g.op("Split", parts, sizes, outputs=len(shifts), axis=2)
            y = ""
            for shift, part in zip(sorted(shifts), parts, strict=True):
                shifted = self._window(part, shift, -reach)
                y = g.op("Add", y, shifted) if y else shifted
        return y if size == 1 else self._rows_of_blocks(y, x, out_channels)

    def _rows_of_blocks(self, y: str, x: str, channels: int) -> str:
        """Rows of blocks, as many as `x` has."""
        g = self.graph
        y = g.reshape(y, 0, -1, channels)
        return g.op("Slice", y, g.integers(0), g.sizes(x, 1, 2), g.integers(1)) if self.ends.tail else y

    def _conv_of_blocks(self, x: str, name: str, size: int) -> str:
        """Over blocks as long as the kernel reaches back: fewer passes over memory, more zeros."""
        weight = self.weights[f"{name}.weight"]
        out_channels, in_channels, kernel = weight.shape
        taps = np.zeros((2 * size, in_channels, size, out_channels), np.float32)
        for place in range(size):
            for k in range(kernel):
                taps[place + k * size // (kernel - 1), :, place] = weight[:, :, k].T
        early, late = taps.reshape(2, size * in_channels, size * out_channels)
        blocks = x if self.config.causal else self._padded(x, size, in_channels)
        if self.ends.tail:
            blocks = self._padding.with_zeros(blocks, size)
        bias = np.tile(self.weights[f"{name}.bias"], size)
        return self._rows_of_blocks(
            self._over_blocks(blocks, name, size, early, late, bias), x, out_channels
        )

    def _window(self, x: str, start: int, shorter: int) -> str:
        """The rows from `start`, `-shorter` fewer than all."""
        stop = start + shorter
        return self.graph.slice(x, start, stop if stop < 0 else None)

    def down(self, x: str, name: str, stride: int, rows_per_frame: int) -> str:
        """Strided convolution: `[B, T, C_in]` to `[B, T / stride, C_out]`, so many rows a frame."""
        weight, bias = self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]
        out_channels, in_channels, _ = weight.shape
        early, late = weight.transpose(2, 1, 0).reshape(2, stride * in_channels, out_channels)
        if not self.config.causal:
            right = stride // 2
            x = self._padding.both(x, stride - right, right, in_channels, stride)
        elif self.ends.tail:
            x = self._padding.completed(x, stride, in_channels)
        y = self._over_blocks(x, name, stride, early, late, bias)
        return self._normalised(y, name)

    def _over_blocks(self, x: str, name: str, size: int, early: Matrix, late: Matrix, bias: Matrix) -> str:
        """x₀·early + x₁·late + bias over neighbouring blocks, `[B, T / size, width]`.

        In a causal model the first block's x₀ is what came before; else it is the first block. Blocks
        are shifted by one where they are no wider than the products, else products are.
        """
        g = self.graph
        blocks = g.reshape(x, 0, -1, len(early))

        def reflected() -> str:
            rows = self._padding.reflected_left(x, size, len(early) // size)
            return g.reshape(rows, 0, -1, len(early))

        if len(early) <= len(bias):
            if self.config.causal:
                return self._of_pairs(
                    self._shifted(blocks, len(early), reflected), blocks, name, early, late, bias
                )
            first, second = g.slice(blocks, 0, -1), g.slice(blocks, 1, None)
            return self._of_pairs(first, second, name, early, late, bias)
        handed = self._product(blocks, f"{name}.early", early)
        current = self._product(blocks, f"{name}.late", late, bias)
        if not self.config.causal:
            return g.op("Add", g.slice(handed, 0, -1), g.slice(current, 1, None))
        shifted = self._shifted(
            handed, len(bias), lambda: self._product(reflected(), f"{name}.early", early)
        )
        return g.op("Add", current, shifted)

    def _shifted(self, x: str, width: int, reflected: Callable[[], str] | None = None) -> str:
        """The rows before those of `x`; the last row is the state.

        Args:
            reflected: the first, in a model padded by reflection; else it is zeros.
        """
        g = self.graph
        self.states.following.append(g.slice(x, -1, None))
        if self.ends.stream:
            before = self.states.input((1, width))
        elif reflected is None or self.config.pad_mode == "constant":
            before = g.zeros(1, width)
        else:
            before = reflected()
        return g.concat(before, g.slice(x, 0, -1))

    def up(self, x: str, name: str, stride: int) -> str:
        """Transposed convolution: `[B, T, C_in]` to `[B, T · stride, C_out]`."""
        g, weight = self.graph, self.weights[f"{name}.weight"]
        in_channels, out_channels, _ = weight.shape
        width = stride * out_channels
        first, second = weight.transpose(2, 0, 1).reshape(2, stride, in_channels, out_channels)
        early, late = (taps.transpose(1, 0, 2).reshape(in_channels, width) for taps in (second, first))
        bias = np.tile(self.weights[f"{name}.bias"], stride)
        if self.config.causal and not self._normalises:
            y = self._of_pairs(self._shifted(x, in_channels), x, name, early, late, bias)
            return g.reshape(y, 0, -1, out_channels)
        nothing = g.zeros(1, in_channels)
        before, after = g.concat(nothing, x), g.concat(x, nothing)
        y = g.reshape(self._of_pairs(before, after, name, early, late, bias), 0, -1, out_channels)
        right = stride if self.config.causal else stride // 2
        return g.slice(self._normalised(y, name), stride - right, -right or None)

    def _of_pairs(self, x0: str, x1: str, name: str, early: Matrix, late: Matrix, bias: Matrix) -> str:
        """x₀·early + x₁·late + bias."""
        handed = self._product(x0, f"{name}.early", early, bias)
        return self._product(x1, f"{name}.late", late, added=handed)

    def residual(self, x: str, name: str, dilation: int, rows_per_frame: int) -> str:
        """ELU, convolution, ELU, 1×1 convolution, plus the shortcut."""
        y = self.conv(self.elu(x), f"{name}.narrow", dilation, rows_per_frame)
        widen, shortcut = f"{name}.widen", f"{name}.shortcut"
        if self.config.true_skip or self._normalises:
            y = self.conv(self.elu(y), widen, rows_per_frame=rows_per_frame)
            skip = x if self.config.true_skip else self.conv(x, shortcut, rows_per_frame=rows_per_frame)
            return self.graph.op("Add", skip, y)
        bias = self.weights[f"{widen}.bias"] + self.weights[f"{shortcut}.bias"]
        skip = self._product(x, f"{shortcut}.w", self._pointwise(shortcut), bias)
        return self._product(self.elu(y), f"{widen}.w", self._pointwise(widen), added=skip)

    def _pointwise(self, name: str) -> Matrix:
        """The matrix of a convolution of kernel 1."""
        return self.weights[f"{name}.weight"][:, :, 0].T

    def _product(
        self, x: str, name: str, matrix: Matrix, bias: Matrix | None = None, added: str = ""
    ) -> str:
        """x · matrix, plus a bias or a value of the product's size."""
        return self._exact_product(x, name, matrix, bias, added)

    def _exact_product(
        self, x: str, name: str, matrix: Matrix, bias: Matrix | None = None, added: str = ""
    ) -> str:
        g = self.graph
        w = g.constant(matrix, name)
        if bias is not None:
            return g.gemm(x, w, g.constant(bias, f"{name}.bias"), matrix.shape)
        if added:
            return g.gemm(x, w, g.reshape(added, -1, matrix.shape[1]), matrix.shape)
        return str(g.op("MatMul", x, w))

    def _normalised(self, y: str, name: str) -> str:
        """Normalisation over channels and time, where the model has it.

        Scale and shift are one pass over memory as a batch normalisation of mean 0 and variance 1.
        """
        if not self._normalises:
            return y
        g = self.graph
        weight, bias = self.weights[f"{name}.norm.weight"], self.weights[f"{name}.norm.bias"]
        channels = len(weight)
        one, zero = g.constant(np.ones(1, np.float32), "one"), g.constant(np.zeros(1, np.float32), "zero")
        y = g.op("InstanceNormalization", g.reshape(y, 0, 1, -1), one, zero, epsilon=1e-5)
        scale = g.constant(weight, f"{name}.norm.weight")
        shift = g.constant(bias, f"{name}.norm.bias")
        mean = g.constant(np.zeros(channels, np.float32), f"zero{channels}")
        variance = g.constant(np.ones(channels, np.float32), f"one{channels}")
        y = g.op(
            "BatchNormalization", g.reshape(y, -1, channels, 1), scale, shift, mean, variance, epsilon=0.0
        )
        return g.rows(y, channels)

    def _padded(self, x: str, padding: int, channels: int, spare: int = 0) -> str:
        """Stride 1: what comes before the input, and after it in a model that is not causal.

        Then `spare` rows that do not matter.
        """
        g = self.graph
        more = [g.zeros(spare, channels)] if spare else []
        if not self.config.causal:
            right = padding // 2
            return self._padding.both(x, padding - right, right, channels, more=more)
        if self.ends.stream:
            before = self.states.input((padding, channels))
        elif self.config.pad_mode == "constant":
            before = g.zeros(padding, channels)
        else:
            before = self._padding.reflected_left(x, padding, channels)
        joined = g.concat(before, x, *more)
        self.states.following.append(g.slice(joined, -padding - spare, -spare or None))
        return joined
