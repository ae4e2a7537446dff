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
"""After a beginning in the middle, until the audio counts."""


def forgetting_loss(network: CodecNetwork, latents: Tensor, decoded: Tensor, draw: random.Random) -> Tensor:
    """Mean over the batch of ‖d(z[k:])[t:] − d(z)[k + t:]‖ / ‖d(z)[k + t:]‖, with 0.25 s as t.

    d is the decoder, from a state of zeros on. k is drawn, such that a quarter of a second is compared
    at least. 0.03, which is −30 dB, is out of hearing.

    Args:
        network: of a causal model.
        latents: z, `[B, F, dimension]`.
        decoded: d(z), `[B, T, channels]`.
        draw: of k.

    Returns:
        A scalar, 0 or more.
    """
    hop = network.config.hop_length
    grace = grace_frames(network.config.frame_rate)
    begin = draw.randint(1, latents.shape[1] - 2 * grace)
    again = network.decoder(latents[:, begin:])[:, grace * hop :].float()
    once = decoded[:, (begin + grace) * hop :]
    difference = energy(again[:, : once.shape[1]] - once)
    smallest = torch.finfo(difference.dtype).eps
    return (difference / (energy(once) + smallest) + smallest).sqrt().mean()


def grace_frames(frame_rate: float) -> int:
    """`GRACE_SECONDS` in frames of latents."""
    return round(GRACE_SECONDS * frame_rate)


def energy(audio: Tensor) -> Tensor:
    """`[B]` of `[B, T, channels]`."""
    return audio.square().sum((1, 2))
