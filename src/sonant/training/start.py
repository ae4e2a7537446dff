"""The start of a run as a transform codec fitted to the training audio."""

from __future__ import annotations

import torch

from sonant.nn.codec import CodecNetwork
from sonant.nn.transform_start import start_as_transform
from sonant.training.mixing import MixedCrops, readable_crop
from sonant.training.volume import volume

CROPS_AT_ONCE = 16
K_MEANS_ITERATIONS = 10


@torch.no_grad()
def fit_transform(network: CodecNetwork, crops: MixedCrops, count: int, frames_per_batch: int) -> None:
    """Give a fresh network the principal components of `count` crops, and codebooks for them.

    Raises:
        ConfigError: if the network has no room for the transform.
        AudioError: if the crops cannot be read.
    """
    audio = torch.stack([readable_crop(crops, number) for number in range(count)])
    if network.config.normalize:
        audio = audio / volume(audio)
    start_as_transform(network, audio)
    latents = torch.cat([network.encoder(part).flatten(0, 1) for part in audio.split(CROPS_AT_ONCE)])
    network.quantizer.fit(latents, K_MEANS_ITERATIONS, frames_per_batch)
