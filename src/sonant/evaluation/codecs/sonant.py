"""Sonant itself, from a weights file."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from sonant.audio import Audio
from sonant.evaluation.codecs.base import Payload
from sonant.models.store import load_weights, weights_hash


@cache
def _network(path: Path) -> Any:
    import torch

    from sonant.nn.codec import CodecNetwork
    from sonant.nn.weights import load_weights as fill

    torch.set_num_threads(1)
    weights, config = load_weights(path)
    network = CodecNetwork(config).eval()
    fill(network, weights)
    return network


class SonantCodec:
    """A Sonant model at one of its bitrates."""

    def __init__(self, path: Path, kbps: float, family: str = "Sonant") -> None:
        _, config = load_weights(path)
        config.check_bitrate(kbps)
        self._path = path
        self.family = family
        self.name = f"{family} {kbps:g}"
        self.kbps = kbps
        self.identity = f"sonant {weights_hash(path)} {kbps}"

    def encode(self, audio: Audio, sample_rate: int) -> Payload:
        """Codes as bytes."""
        import torch

        network = _network(self._path)
        n_q = network.config.codebooks_for(self.kbps)
        with torch.inference_mode():
            codes = network.encode(torch.from_numpy(np.array(audio.T))[None], n_q)[0].numpy().astype("<i2")
        return Payload(codes.tobytes(), codes.size * network.config.bits_per_code)

    def decode(self, payload: Payload, sample_rate: int) -> Audio:
        """Audio of the codes."""
        import torch

        network = _network(self._path)
        codes = np.frombuffer(payload.data, "<i2").reshape(network.config.codebooks_for(self.kbps), -1)
        with torch.inference_mode():
            out: Audio = network.decode(torch.from_numpy(codes.astype(np.int64))[None])[0].T.numpy()
        return out
