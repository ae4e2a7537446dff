"""The LSTM between SEANet's convolutions as ONNX operators."""

from __future__ import annotations

import numpy as np

from sonant.config import CodecConfig
from sonant.engine.graph import GraphBuilder
from sonant.engine.states import States
from sonant.engine.weights import Matrix, Weights


class LSTM:
    """Adds a model's LSTM layers with their skip connection to a graph."""

    def __init__(self, graph: GraphBuilder, config: CodecConfig, weights: Weights, states: States) -> None:
        self._graph, self._layers, self._weights, self._states = graph, config.lstm_layers, weights, states

    def __call__(self, x: str, name: str) -> str:
        """`[B, T, C]` to `[B, T, C]`."""
        g = self._graph
        y = self._stacked(g.op("Transpose", x, perm=[1, 0, 2]), name)
        return str(g.op("Add", g.op("Transpose", y, perm=[1, 0, 2]), x))

    def _stacked(self, x: str, name: str) -> str:
        """All layers, `[T, B, C]` to `[T, B, C]`."""
        g = self._graph
        for layer in range(self._layers):
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
            h, c = self._state(hidden), self._state(hidden)
            y, *last = g.op("LSTM", x, *matrices, b, "", h, c, outputs=3, hidden_size=hidden)
            self._following(last)
            x = g.op("Squeeze", y, g.integers(1))
        return x

    def _gates(self, name: str) -> Matrix:
        """Weights of the four gates in ONNX's order, input, output, forget, cell: `[4, H, …]`."""
        i, f, c, o = np.split(self._weights[name], 4)
        return np.stack([i, o, f, c])

    def _state(self, hidden: int) -> str:
        """`[1, B, H]`."""
        state = self._states.input_or_zeros(1, hidden)
        return str(self._graph.op("Transpose", state, perm=[1, 0, 2]))

    def _following(self, states: list[str]) -> None:
        """Give states `[1, B, H]` out."""
        self._states.following += [self._graph.op("Transpose", v, perm=[1, 0, 2]) for v in states]
