"""A loss against a long memory of the decoder: the same latents, decoded from two beginnings.

Not of the paper. A decoder draws noise from the state of its LSTM, and no loss on levels minds which noise:
what it draws may then depend on all that came before. After a seek, or a lost packet, it is another noise
for as long as the decoder remembers.
"""

from __future__ import annotations

import random

import torch
from torch import Tensor

from sonant.nn.codec import CodecNetwork

GRACE_SECONDS = 0.25
"""After a beginning in the middle, until the audio counts: the lead-in of `sonant.recording`."""


def forgetting_loss(network: CodecNetwork, latents: Tensor, decoded: Tensor, draw: random.Random) -> Tensor:
    """Mean over the batch of ‖d(z[k:])[t:] − y[k + t:]‖ / ‖y[k + t:]‖, with t = 0.25 s.

    k is drawn such that a quarter of a second is compared at least. The square root of the energy has a
    gradient that does not fade where little is left: 0.03 are −30 dB.

    Args:
        network: of a model that streams; d is its decoder from a state of zeros on.
        latents: z, `[B, F, dimension]`.
        decoded: y, what the decoder has given for z after anything else, `[B, T, channels]`.
        draw: of k.

    Returns:
        A scalar, 0 or more.
    """
    hop = network.config.hop_length
    grace = round(GRACE_SECONDS * network.config.frame_rate)
    begin = draw.randint(1, latents.shape[1] - 2 * grace)
    again = network.decoder(latents[:, begin:])[:, grace * hop :].float()
    once = decoded[:, (begin + grace) * hop :]
    difference = energy(again[:, : once.shape[1]] - once)
    smallest = torch.finfo(difference.dtype).eps
    return (difference / (energy(once) + smallest) + smallest).sqrt().mean()


def energy(audio: Tensor) -> Tensor:
    """`[B]` of `[B, T, channels]`."""
    return audio.square().sum((1, 2))
