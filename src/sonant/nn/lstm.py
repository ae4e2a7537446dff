"""The recurrent layer between convolutions and latents."""

from __future__ import annotations

import torch
from torch import Tensor, nn

LSTMState = tuple[Tensor, Tensor]

GATES = 4
"""That an LSTM's weights and biases hold, one below the other."""


class SkipLSTM(nn.LSTM):
    """Layers of LSTM with a skip connection: y = LSTM(x) + x, over `[B, T, C]`."""

    def __init__(self, channels: int, layers: int) -> None:
        super().__init__(channels, channels, layers, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """The whole sequence from a zero state."""
        return self.step(x, self.initial_state(x.shape[0]))[0]

    def initial_state(self, batch: int) -> LSTMState:
        """Zero hidden and cell state: `[layers, B, C]` each."""
        zeros = self.bias_ih_l0.new_zeros(self.num_layers, batch, self.hidden_size)
        return zeros, zeros

    def step(self, x: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
        """The next frames of a stream."""
        hidden, cell = (s.to(x.dtype) for s in state)
        y, state = super().forward(x, (hidden, cell))
        return y + x, state


class Identity(nn.Module):
    """Takes the LSTM's place in a fully convolutional model."""

    def forward(self, x: Tensor) -> Tensor:
        """The input."""
        return x

    def initial_state(self, batch: int) -> LSTMState:
        """Nothing to keep."""
        empty = torch.empty(0, batch, 0)
        return empty, empty

    def step(self, x: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
        """The input and the unchanged state."""
        return x, state
