"""SEANet's layers as ONNX operators, channels last, `[B, T, C]`.

A convolution of kernel 2 · stride is x₁·W₁ + x₀·W₀ over neighbouring blocks x₀, x₁ of `stride`
samples. What one block hands to the next is a product of the size of one output block: that product
is the state. A convolution of kernel 3 is one over blocks of 2 samples. A transposed convolution of
kernel 2 · stride gives a block for each pair of neighbouring frames.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sonant.config import CodecConfig
from sonant.engine.graph import GraphBuilder
from sonant.engine.padding import Padding

Weights = Mapping[str, NDArray[np.float32]]
Matrix = NDArray[np.float32]

ROWS_AT_ONCE = 8


@dataclass(frozen=True)
class Ends:
    """What a graph does where its input begins and ends.

    Attributes:
        stream: begin from a state given as input and give the state at the end out; else begin
            at the first sample, with padding.
        tail: the input ends anywhere, and every strided layer completes its last window.
    """

    stream: bool
    tail: bool


@dataclass
class States:
    """The states of a graph under construction: input names with shapes, and what follows them."""

    shapes: list[tuple[int, int]] = field(default_factory=list)
    following: list[str] = field(default_factory=list)


class LayerBuilder:
    """Adds layers to a graph, keeping track of the states.

    Attributes:
        narrow: the most channels with which passes over memory cost more than products.
    """

    narrow = 64

    def __init__(self, graph: GraphBuilder, config: CodecConfig, weights: Weights, ends: Ends) -> None:
        self.graph, self.config, self.weights, self.ends = graph, config, weights, ends
        self.states = States()
        self._padding = Padding(graph, config.pad_mode)
        self._normalises = config.norm == "time_group_norm"

    def elu(self, x: str) -> str:
        """ELU with alpha 1, max(x, exp(min(x, 0)) − 1): twice as fast as ONNX Runtime's own operator."""
        g = self.graph
        negative = g.op("Exp", g.op("Clip", x, "", g.number(0)))
        return g.op("Max", x, g.op("Sub", negative, g.number(1)))

    def conv(self, x: str, name: str, dilation: int = 1, rows_per_frame: int = 1) -> str:
        """Convolution of stride 1: `[B, T, C_in]` to `[B, T, C_out]`.

        Args:
            rows_per_frame: T of one frame, at this place of the network.
        """
        weight, bias = self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]
        out_channels, in_channels, kernel = weight.shape
        padding = (kernel - 1) * dilation
        if kernel == 1:
            y = self._product(x, f"{name}.w", self._pointwise(name), bias)
        elif 2 * in_channels < out_channels:
            x = self._padded(x, padding, in_channels)
            windows = [self._window(x, k * dilation, -padding) for k in range(kernel)]
            taps = weight.transpose(2, 1, 0).reshape(-1, out_channels)
            y = self._product(self.graph.op("Concat", *windows, axis=2), f"{name}.w", taps, bias)
        elif 4 * padding <= 3 * kernel and in_channels <= self.narrow and rows_per_frame % padding == 0:
            y = self._conv_of_blocks(x, name, padding)
        else:
            y = self._scattered(self._padded(x, padding, in_channels), name, dilation)
        return self._normalised(y, name, rows_per_frame)

    def _scattered(self, x: str, name: str, dilation: int) -> str:
        """One product for all taps, whose results are shifted and added."""
        g, weight = self.graph, self.weights[f"{name}.weight"]
        out_channels, in_channels, kernel = weight.shape
        taps = weight.transpose(1, 2, 0).reshape(in_channels, kernel * out_channels)
        bias = np.pad(self.weights[f"{name}.bias"], (0, (kernel - 1) * out_channels))
        sizes = g.integers(*[out_channels] * kernel)
        products = g.op("Split", self._product(x, f"{name}.w", taps, bias), sizes, outputs=kernel, axis=2)
        y = ""
        for k, product in enumerate(products):
            shifted = self._window(product, k * dilation, -(kernel - 1) * dilation)
            y = g.op("Add", y, shifted) if y else shifted
        return y

    def _conv_of_blocks(self, x: str, name: str, size: int) -> str:
        """Over blocks as long as the kernel reaches back: fewer passes over memory, more zeros."""
        g, weight = self.graph, self.weights[f"{name}.weight"]
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
        y = g.reshape(self._over_blocks(blocks, name, size, early, late, bias), 0, -1, out_channels)
        return g.op("Slice", y, g.integers(0), g.sizes(x, 1, 2), g.integers(1)) if self.ends.tail else y

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
        return self._normalised(y, name, rows_per_frame)

    def _over_blocks(self, x: str, name: str, size: int, early: Matrix, late: Matrix, bias: Matrix) -> str:
        """x₀·early + x₁·late + bias over neighbouring blocks, `[B, T / size, width]`.

        In a causal model the first block's x₀ is what came before; else it is the first block.
        """
        g = self.graph
        channels = len(early) // size
        blocks = g.reshape(x, 0, -1, len(early))
        handed = self._product(blocks, f"{name}.early", early)
        current = self._product(blocks, f"{name}.late", late, bias)
        if not self.config.causal:
            return g.op("Add", g.slice(handed, 0, -1), g.slice(current, 1, None))
        following = g.slice(handed, -1, None)
        if self.ends.stream:
            before = self._state((1, len(bias)), following)
        else:
            self.states.following.append(following)
            if self.config.pad_mode == "constant":
                before = g.zeros(1, len(bias))
            else:
                block = g.reshape(self._padding.reflected_left(x, size, channels), 0, -1, len(early))
                before = self._product(block, f"{name}.early", early)
        return g.op("Add", current, g.concat(before, g.slice(handed, 0, -1)))

    def up(self, x: str, name: str, stride: int) -> str:
        """Transposed convolution: `[B, T, C_in]` to `[B, T · stride, C_out]`."""
        g, weight = self.graph, self.weights[f"{name}.weight"]
        in_channels, out_channels, _ = weight.shape
        width = stride * out_channels
        first, second = weight.transpose(2, 0, 1).reshape(2, stride, in_channels, out_channels)
        taps = np.stack([second, first]).transpose(0, 2, 1, 3).reshape(2 * in_channels, width)
        bias = np.tile(self.weights[f"{name}.bias"], stride)
        nothing = g.zeros(1, in_channels)
        if self.config.causal and not self._normalises:
            following = g.slice(x, -1, None)
            if self.ends.stream:
                before = self._state((1, in_channels), following)
            else:
                before = nothing
                self.states.following.append(following)
            pairs = g.op("Concat", g.concat(before, g.slice(x, 0, -1)), x, axis=2)
            return g.reshape(self._product(pairs, f"{name}.w", taps, bias), 0, -1, out_channels)
        pairs = g.op("Concat", g.concat(nothing, x), g.concat(x, nothing), axis=2)
        y = g.reshape(self._product(pairs, f"{name}.w", taps, bias), 0, -1, out_channels)
        right = stride if self.config.causal else stride // 2
        return g.slice(self._normalised(y, name, stride), stride - right, -right)

    def residual(self, x: str, name: str, dilation: int, rows_per_frame: int) -> str:
        """ELU, convolution, ELU, 1×1 convolution, plus the shortcut."""
        y = self.conv(self.elu(x), f"{name}.narrow", dilation, rows_per_frame)
        widen, shortcut = f"{name}.widen", f"{name}.shortcut"
        if self.config.true_skip or self._normalises:
            y = self.conv(self.elu(y), widen, rows_per_frame=rows_per_frame)
            skip = x if self.config.true_skip else self.conv(x, shortcut, rows_per_frame=rows_per_frame)
            return self.graph.op("Add", skip, y)
        y = self._product(self.elu(y), f"{widen}.w", self._pointwise(widen))
        bias = self.weights[f"{widen}.bias"] + self.weights[f"{shortcut}.bias"]
        return self.graph.op("Add", self._product(x, f"{shortcut}.w", self._pointwise(shortcut), bias), y)

    def _pointwise(self, name: str) -> Matrix:
        """The matrix of a convolution of kernel 1."""
        return self.weights[f"{name}.weight"][:, :, 0].T

    def lstm(self, x: str, name: str) -> str:
        """The LSTM layers with their skip connection."""
        g = self.graph
        y = self._lstm_layers(g.op("Transpose", x, perm=[1, 0, 2]), name)
        return g.op("Add", g.op("Transpose", y, perm=[1, 0, 2]), x)

    def _lstm_layers(self, x: str, name: str) -> str:
        """Of `[T, B, C]`."""
        g = self.graph
        for layer in range(self.config.lstm_layers):
            w, r, *biases = (
                self._gates(f"{name}.{part}_l{layer}")
                for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            )
            hidden = w.shape[1]
            matrices = [
                g.constant(matrix.reshape(1, 4 * hidden, -1), f"{name}.{kind}{layer}")
                for kind, matrix in (("w", w), ("r", r))
            ]
            b = g.constant(np.concatenate(biases).reshape(1, -1), f"{name}.b{layer}")
            h, c = self._lstm_state(hidden), self._lstm_state(hidden)
            y, *last = g.op("LSTM", x, *matrices, b, "", h, c, outputs=3, hidden_size=hidden)
            self._lstm_following(last)
            x = g.op("Squeeze", y, g.integers(1))
        return x

    def _gates(self, name: str) -> Matrix:
        """Weights of the four gates in ONNX's order, input, output, forget, cell: `[4, H, …]`."""
        i, f, c, o = np.split(self.weights[name], 4)
        return np.stack([i, o, f, c])

    def _lstm_state(self, hidden: int) -> str:
        """`[1, B, H]`."""
        state = self._state_input((1, hidden)) if self.ends.stream else self.graph.zeros(1, hidden)
        return self.graph.op("Transpose", state, perm=[1, 0, 2])

    def _lstm_following(self, states: list[str]) -> None:
        """Give states `[1, B, H]` out."""
        self.states.following += [self.graph.op("Transpose", v, perm=[1, 0, 2]) for v in states]

    def _state_input(self, shape: tuple[int, int]) -> str:
        name = f"state_{len(self.states.shapes)}"
        self.states.shapes.append(shape)
        return self.graph.input(name, ["batch", *shape])

    def _state(self, shape: tuple[int, int], following: str) -> str:
        """A state input, whose next value is `following`."""
        self.states.following.append(following)
        return self._state_input(shape)

    def _product(self, x: str, name: str, matrix: Matrix, bias: Matrix | None = None) -> str:
        g = self.graph
        w = g.constant(matrix, name)
        if bias is None:
            return str(g.op("MatMul", x, w))
        return g.gemm(x, w, g.constant(bias, f"{name}.bias"), matrix.shape)

    def _normalised(self, y: str, name: str, rows_per_frame: int) -> str:
        """Normalisation over channels and time, where the model has it.

        Scale and shift go over some rows at once where T is known to be a multiple of them.
        """
        if not self._normalises:
            return y
        g = self.graph
        weight, bias = self.weights[f"{name}.norm.weight"], self.weights[f"{name}.norm.bias"]
        rows = 1 if self.ends.tail else math.gcd(rows_per_frame, ROWS_AT_ONCE)
        one, zero = g.constant(np.ones(1, np.float32), "one"), g.constant(np.zeros(1, np.float32), "zero")
        y = g.op("InstanceNormalization", g.reshape(y, 0, 1, -1), one, zero, epsilon=1e-5)
        y = g.reshape(y, 0, -1, rows * len(weight))
        y = g.op("Mul", y, g.constant(np.tile(weight, rows), f"{name}.norm.weight"))
        y = g.op("Add", y, g.constant(np.tile(bias, rows), f"{name}.norm.bias"))
        return g.reshape(y, 0, -1, len(weight))

    def _padded(self, x: str, padding: int, channels: int) -> str:
        """Stride 1: what comes before the input, and after it in a model that is not causal."""
        g = self.graph
        if not self.config.causal:
            right = padding // 2
            return self._padding.both(x, padding - right, right, channels)
        if self.ends.stream:
            before = self._state_input((padding, channels))
        elif self.config.pad_mode == "constant":
            before = g.zeros(padding, channels)
        else:
            before = self._padding.reflected_left(x, padding, channels)
        joined = g.concat(before, x)
        self.states.following.append(g.slice(joined, -padding, None))
        return joined
