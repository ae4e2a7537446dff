"""Starting weights under which a signal passes through the untrained networks at full strength."""

from __future__ import annotations

import math

import torch
from torch import nn

from sonant.nn.conv import Conv1d, ConvTranspose1d
from sonant.nn.seanet import ResidualUnit

GAIN = 1.3
BRANCH_SCALE = 0.7


def initialise(network: nn.Module) -> None:
    """Draw all convolutions with variance 1.3 / fan-in and halve the power of residual branches.

    With PyTorch's default every layer weakens the signal by a factor, and the output stays
    uncorrelated with the input for hundreds of steps.
    """
    for module in network.modules():
        if isinstance(module, Conv1d):
            _draw(module, module.in_channels * module.kernel_size)
        elif isinstance(module, ConvTranspose1d):
            _draw(module, module.in_channels * 2)
    for module in network.modules():
        if isinstance(module, ResidualUnit):
            for layer in (module.widen, module.shortcut):
                if layer is not None:
                    layer.set_weight(layer.folded_weight() * BRANCH_SCALE)


def _draw(layer: Conv1d | ConvTranspose1d, fan_in: int) -> None:
    layer.set_weight(torch.randn_like(layer.folded_weight()) * math.sqrt(GAIN / fan_in))
