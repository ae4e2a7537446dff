"""The start of a run as a transform codec fitted to the training audio."""

from __future__ import annotations

import torch

from sonant.nn.codec import CodecNetwork
from sonant.nn.transform_start import start_as_transform
from sonant.training.mixing import MixedCrops

CROPS_AT_ONCE = 16
K_MEANS_ITERATIONS = 10


@torch.no_grad()
def fit_transform(network: CodecNetwork, crops: MixedCrops, count: int, frames_per_batch: int) -> None:
    """Give a fresh network the principal components of `count` crops, and codebooks for them.

    Raises:
        ConfigError: if the network has no room for the transform.
        AudioError: if the crops cannot be read.
    """
    config = network.config
    audio = torch.stack([crops[number][0] for number in range(count)])
    whole = audio.shape[1] // config.hop_length * config.hop_length
    start_as_transform(network, audio[:, :whole].reshape(-1, config.hop_length * config.channels))
    latents = torch.cat([network.encoder(part).flatten(0, 1) for part in audio.split(CROPS_AT_ONCE)])
    network.quantizer.fit(latents, K_MEANS_ITERATIONS, frames_per_batch)
