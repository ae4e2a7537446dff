"""A network that begins as one with fewer filters.

Not of the paper. Every channel becomes several that are alike, and what reads them takes shares that add
up to what it took from the one, so that the wider network computes what the other does. The shares differ,
so do their gradients, and channels part from each other as it learns: Chen et al., "Net2Net" (arXiv
1511.05641), section 2.2.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sonant.nn.codec import CodecNetwork
from sonant.nn.conv import Conv1d, ConvTranspose1d
from sonant.nn.lstm import GATES, SkipLSTM


@torch.no_grad()
def start_as_narrower(network: CodecNetwork, narrower: CodecNetwork) -> None:
    """Give a network of fresh weights those of one that has fewer filters.

    Args:
        network: has a multiple of the filters.
        narrower: alike but for `n_filters`.
    """
    for wide, narrow in ((network.encoder, narrower.encoder), (network.decoder, narrower.decoder)):
        others = dict(narrow.named_modules())
        for name, module in wide.named_modules():
            other = others[name]
            if isinstance(module, Conv1d | ConvTranspose1d):
                _widen_convolution(module, other)
            elif isinstance(module, SkipLSTM):
                _widen_lstm(module, other)
    network.quantizer.load_state_dict(narrower.quantizer.state_dict())


def _widen_convolution(wide: Conv1d | ConvTranspose1d, narrow: nn.Module) -> None:
    assert isinstance(narrow, Conv1d | ConvTranspose1d)
    readers, outputs = (0, 1) if isinstance(wide, ConvTranspose1d) else (1, 0)
    weight = _shared_out(narrow.folded_weight(), readers, wide.in_channels // narrow.in_channels)
    copies = wide.out_channels // narrow.out_channels
    wide.set_weight(_repeated(weight, outputs, copies))
    wide.bias.copy_(narrow.bias.repeat(copies))
    if wide.norm is not None and narrow.norm is not None:
        wide.norm.weight.copy_(narrow.norm.weight.repeat(copies))
        wide.norm.bias.copy_(narrow.norm.bias.repeat(copies))


def _widen_lstm(wide: SkipLSTM, narrow: nn.Module) -> None:
    assert isinstance(narrow, SkipLSTM)
    copies = wide.hidden_size // narrow.hidden_size
    others = dict(narrow.named_parameters())
    for name, parameter in wide.named_parameters():
        gates = others[name].unflatten(0, (GATES, -1))
        if name.startswith("weight"):
            gates = _shared_out(gates, 2, copies)
        parameter.copy_(_repeated(gates, 1, copies).flatten(0, 1))


def _repeated(weight: Tensor, axis: int, copies: int) -> Tensor:
    return torch.cat([weight] * copies, axis)


def _shared_out(weight: Tensor, axis: int, copies: int) -> Tensor:
    """Shares that add up to the weight, each as far from an equal share as that is from nothing."""
    equal = torch.stack([weight / copies] * copies)
    apart = torch.randn_like(equal)
    apart -= apart.mean(0)
    size = equal.square().mean().sqrt() / apart.square().mean().sqrt().clamp_min(1e-7)
    return torch.cat(list(equal + size * apart), axis)
