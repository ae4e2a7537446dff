"""A network that begins as one with fewer residual units.

Not of the paper. The units that come on top give what they get, so that the deeper network computes what
the other does and goes on learning from there: Chen et al., "Net2Net" (arXiv 1511.05641), section 2.3.
"""

from __future__ import annotations

import torch
from torch import nn

from sonant.nn.codec import CodecNetwork
from sonant.nn.conv import Conv1d
from sonant.nn.seanet import ResidualUnit


@torch.no_grad()
def start_as_shallower(network: CodecNetwork, shallower: CodecNetwork) -> None:
    """Give a network of fresh weights those of one that has fewer residual units in each stage.

    Args:
        network: without time group normalisation, which no unit passes unchanged.
        shallower: alike but for `n_residual_layers`.
    """
    units = shallower.config.n_residual_layers
    for deep, shallow in ((network.encoder, shallower.encoder), (network.decoder, shallower.decoder)):
        layers, place = iter(shallow.layers), 0
        for layer in deep.layers:
            place = place + 1 if isinstance(layer, ResidualUnit) else 0
            if place > units:
                _give_what_it_gets(layer)
            else:
                layer.load_state_dict(next(layers).state_dict())
    network.quantizer.load_state_dict(shallower.quantizer.state_dict())


def _give_what_it_gets(unit: nn.Module) -> None:
    assert isinstance(unit, ResidualUnit)
    unit.widen.mute()
    if isinstance(unit.shortcut, Conv1d):
        unit.shortcut.set_weight(torch.eye(unit.shortcut.out_channels)[:, :, None])
