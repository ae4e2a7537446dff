"""SEANet's layers as ONNX operators, channels last, `[B, T, C]`.

A convolution of kernel 2 · stride is x₁·W₁ + x₀·W₀ over neighbouring blocks x₀, x₁ of `stride`
samples; a transposed one gives two blocks per frame, the second of which is added to the first
of the next frame. In both, what one block hands to the next is a product of the size of one
output block: that product is the state.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sonant.config import CodecConfig
from sonant.engine.graph import GraphBuilder

Weights = Mapping[str, NDArray[np.float32]]


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
    """Adds layers to a graph, keeping track of the states."""

    def __init__(self, graph: GraphBuilder, config: CodecConfig, weights: Weights, ends: Ends) -> None:
        self.graph, self.config, self.weights, self.ends = graph, config, weights, ends
        self.states = States()

    def elu(self, x: str) -> str:
        """ELU with alpha 1, max(x, exp(min(x, 0)) − 1): twice as fast as ONNX Runtime's own operator."""
        g = self.graph
        zero, one = (g.constant(np.full((), value, np.float32), f"f{value}") for value in (0, 1))
        return g.op("Max", x, g.op("Sub", g.op("Exp", g.op("Min", x, zero)), one))

    def conv(self, x: str, name: str, dilation: int = 1) -> str:
        """Convolution of stride 1 by taps: `[B, T, C_in]` to `[B, T, C_out]`."""
        g, weight = self.graph, self.weights[f"{name}.weight"]
        out_channels, in_channels, kernel = weight.shape
        if kernel == 1:
            return self._finish(self._product(x, f"{name}.w", weight[:, :, 0].T), name)
        padding = (kernel - 1) * dilation
        x = self._padded(x, padding, in_channels)
        length = -padding
        if in_channels * kernel <= 64:
            windows = [self._window(x, k * dilation, length) for k in range(kernel)]
            taps = weight.transpose(2, 1, 0).reshape(-1, out_channels)
            return self._finish(self._product(g.op("Concat", *windows, axis=2), f"{name}.w", taps), name)
        if out_channels <= 2 * in_channels:
            return self._finish(self._scattered(x, name, dilation), name)
        y = ""
        for k in range(kernel):
            product = self._product(
                self._window(x, k * dilation, length), f"{name}.w{k}", weight[:, :, k].T
            )
            y = g.op("Add", y, product) if y else product
        return self._finish(y, name)

    def _scattered(self, x: str, name: str, dilation: int) -> str:
        """One product for all taps, whose results are shifted and added."""
        g, weight = self.graph, self.weights[f"{name}.weight"]
        out_channels, in_channels, kernel = weight.shape
        taps = weight.transpose(1, 2, 0).reshape(in_channels, kernel * out_channels)
        products = g.op(
            "Split",
            self._product(x, f"{name}.w", taps),
            g.integers(*[out_channels] * kernel),
            outputs=kernel,
            axis=2,
        )
        y = ""
        for k, product in enumerate(products):
            shifted = self._window(product, k * dilation, -(kernel - 1) * dilation)
            y = g.op("Add", y, shifted) if y else shifted
        return y

    def _window(self, x: str, start: int, shorter: int) -> str:
        """The rows from `start`, `-shorter` fewer than all."""
        stop = start + shorter
        return self.graph.slice(x, start, stop if stop < 0 else None)

    def down(self, x: str, name: str, stride: int) -> str:
        """Strided convolution: `[B, T, C_in]` to `[B, T / stride, C_out]`."""
        g, weight = self.graph, self.weights[f"{name}.weight"]
        out_channels, in_channels, _ = weight.shape
        early, late = weight.transpose(2, 1, 0).reshape(2, stride * in_channels, out_channels)
        if self.config.causal:
            if self.ends.tail:
                x = self._completed(x, stride, in_channels)
            blocks = g.reshape(x, 0, -1, stride * in_channels)
            handed = self._product(blocks, f"{name}.early", early)
            before = self._before(x, handed, f"{name}.early", stride, in_channels, out_channels)
            current = self._product(blocks, f"{name}.late", late)
            return self._finish(g.op("Add", current, g.concat(before, g.slice(handed, 0, -1))), name)
        right = stride // 2
        x = self._padded_both(x, stride - right, right, in_channels, stride)
        blocks = g.reshape(x, 0, -1, stride * in_channels)
        first = self._product(g.slice(blocks, 0, -1), f"{name}.early", early)
        second = self._product(g.slice(blocks, 1, None), f"{name}.late", late)
        return self._finish(g.op("Add", first, second), name)

    def _before(
        self, x: str, handed: str, early: str, stride: int, in_channels: int, out_channels: int
    ) -> str:
        """What the block before the first one hands over."""
        g = self.graph
        if self.ends.stream:
            return self._state((1, out_channels), g.slice(handed, -1, None))
        self.states.following.append(g.slice(handed, -1, None))
        if self.config.pad_mode == "constant":
            return g.zeros_like_batch(x, 1, out_channels)
        block = g.reshape(self._reflected_left(x, stride, in_channels), 0, -1, stride * in_channels)
        return g.op("MatMul", block, early)

    def up(self, x: str, name: str, stride: int) -> str:
        """Transposed convolution: `[B, T, C_in]` to `[B, T · stride, C_out]`."""
        g, weight = self.graph, self.weights[f"{name}.weight"]
        in_channels, out_channels, _ = weight.shape
        taps = weight.transpose(0, 2, 1).reshape(in_channels, 2, stride * out_channels)
        first = self._product(x, f"{name}.first", taps[:, 0])
        second = self._product(x, f"{name}.second", taps[:, 1])
        width = stride * out_channels
        if self.config.causal and self.config.norm != "time_group_norm":
            following = g.slice(second, -1, None)
            if self.ends.stream:
                before = self._state((1, width), following)
            else:
                before = g.zeros_like_batch(x, 1, width)
                self.states.following.append(following)
            y = g.op("Add", first, g.concat(before, g.slice(second, 0, -1)))
            return self._finish(g.reshape(y, 0, -1, out_channels), name)
        nothing = g.zeros_like_batch(x, 1, width)
        y = g.op("Add", g.concat(first, nothing), g.concat(nothing, second))
        y = self._finish(g.reshape(y, 0, -1, out_channels), name)
        right = stride if self.config.causal else stride // 2
        return g.slice(y, stride - right, -right)

    def residual(self, x: str, name: str, dilation: int) -> str:
        """ELU, convolution, ELU, 1×1 convolution, plus the shortcut."""
        y = self.conv(self.elu(x), f"{name}.narrow", dilation)
        y = self.conv(self.elu(y), f"{name}.widen")
        skip = x if self.config.true_skip else self.conv(x, f"{name}.shortcut")
        return self.graph.op("Add", skip, y)

    def lstm(self, x: str, name: str) -> str:
        """The LSTM layers with their skip connection."""
        g = self.graph
        y = g.op("Transpose", x, perm=[1, 0, 2])
        for layer in range(self.config.lstm_layers):
            hidden = self.weights[f"{name}.weight_hh_l{layer}"].shape[1]

            def gates(part: str, layer: int = layer) -> NDArray[np.float32]:
                i, f, c, o = np.split(self.weights[f"{name}.{part}_l{layer}"], 4)
                return np.concatenate([i, o, f, c])[None]

            w = g.constant(gates("weight_ih"), f"{name}.w{layer}")
            r = g.constant(gates("weight_hh"), f"{name}.r{layer}")
            bias = np.concatenate([gates("bias_ih"), gates("bias_hh")], axis=1)
            b = g.constant(bias, f"{name}.b{layer}")
            h, c = self._lstm_state(x, hidden), self._lstm_state(x, hidden)
            y, last_h, last_c = g.op("LSTM", y, w, r, b, "", h, c, outputs=3, hidden_size=hidden)
            y = g.op("Squeeze", y, g.integers(1))
            self.states.following += [g.op("Transpose", v, perm=[1, 0, 2]) for v in (last_h, last_c)]
        return g.op("Add", g.op("Transpose", y, perm=[1, 0, 2]), x)

    def _lstm_state(self, x: str, hidden: int) -> str:
        if self.ends.stream:
            state = self._state_input((1, hidden))
        else:
            state = self.graph.zeros_like_batch(x, 1, hidden)
        return self.graph.op("Transpose", state, perm=[1, 0, 2])

    def _state_input(self, shape: tuple[int, int]) -> str:
        name = f"state_{len(self.states.shapes)}"
        self.states.shapes.append(shape)
        return self.graph.input(name, ["batch", *shape])

    def _state(self, shape: tuple[int, int], following: str) -> str:
        """A state input, whose next value is `following`."""
        self.states.following.append(following)
        return self._state_input(shape)

    def _product(self, x: str, name: str, matrix: NDArray[np.float32]) -> str:
        return self.graph.op("MatMul", x, self.graph.constant(matrix, name))

    def _finish(self, y: str, name: str) -> str:
        """Bias, and normalisation over channels and time where the model has it."""
        g = self.graph
        y = g.op("Add", y, g.constant(self.weights[f"{name}.bias"], f"{name}.bias"))
        if self.config.norm != "time_group_norm":
            return y
        one, zero = g.constant(np.ones(1, np.float32), "one"), g.constant(np.zeros(1, np.float32), "zero")
        flat = g.op("InstanceNormalization", g.reshape(y, 0, 1, -1), one, zero, epsilon=1e-5)
        y = g.op("Reshape", flat, g.op("Shape", y))
        scale = g.constant(self.weights[f"{name}.norm.weight"], f"{name}.norm.weight")
        shift = g.constant(self.weights[f"{name}.norm.bias"], f"{name}.norm.bias")
        return g.op("Add", g.op("Mul", y, scale), shift)

    def _padded(self, x: str, padding: int, channels: int) -> str:
        """Stride 1: what comes before the input, and after it in a model that is not causal."""
        g = self.graph
        if not self.config.causal:
            right = padding // 2
            return self._padded_both(x, padding - right, right, channels, 1)
        if self.ends.stream:
            joined = g.concat(self._state_input((padding, channels)), x)
        elif self.config.pad_mode == "constant":
            joined = g.concat(g.zeros_like_batch(x, padding, channels), x)
        else:
            joined = g.concat(self._reflected_left(x, padding, channels), x)
        self.states.following.append(g.slice(joined, -padding, None))
        return joined

    def _padded_both(self, x: str, left: int, right: int, channels: int, stride: int) -> str:
        g = self.graph
        if self.config.pad_mode == "constant":
            parts = [g.zeros_like_batch(x, left, channels), x, g.zeros_like_batch(x, right, channels)]
            x = g.concat(*parts)
            return x if stride == 1 else self._completed(x, stride, channels)
        rows = self._after(x, right, stride)
        before = self._reflected_left(x, left, channels)
        return g.concat(before, x, self._reflected_right(x, rows, left, channels, right + stride - 1))

    def _after(self, x: str, right: int, stride: int) -> str:
        """Rows to add on the right so that windows of `stride` come out even, a scalar."""
        g = self.graph
        if stride == 1:
            return g.integer(right)
        length = g.op("Neg", g.length(x))
        return g.op("Add", g.op("Mod", length, g.integer(stride)), g.integer(right))

    def _completed(self, x: str, stride: int, channels: int) -> str:
        """Pad on the right to a multiple of the stride."""
        g = self.graph
        rows = self._after(x, 0, stride)
        if self.config.pad_mode == "reflect":
            return g.concat(x, self._reflected_right(x, rows, stride, channels, stride - 1))
        rows = g.op("Unsqueeze", rows, g.integers(0))
        return g.op("Pad", x, g.op("Concat", g.integers(0, 0, 0, 0), rows, g.integers(0), axis=0))

    def _reflected_left(self, x: str, rows: int, channels: int) -> str:
        """Rows `rows` … 1 of the input, which counts as followed by zeros."""
        g = self.graph
        extended = g.concat(g.slice(x, 0, rows + 1), g.zeros_like_batch(x, rows, channels))
        order = g.constant(np.arange(rows, 0, -1, dtype=np.int64), f"reversed{rows}")
        return g.op("Gather", extended, order, axis=1)

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
        extended = g.concat(end, g.zeros_like_batch(x, kept + most, channels))
        return g.op("Gather", extended, mirrored, axis=1)
