"""Models that code a segment divided by its volume, and its volume apart (paper, section 3.1)."""

from __future__ import annotations

from typing import Any

from torch import Tensor


def volume(audio: Tensor) -> Tensor:
    """Root mean square `[B, 1, 1]` of the mean over the channels of `[B, T, channels]`."""
    return audio.mean(2, keepdim=True).square().mean(1, keepdim=True).sqrt() + 1e-8


def forward_normalised(network: Any, audio: Tensor, n_q: int, normalise: bool) -> tuple[Tensor, Any]:
    """Code and decode `[B, T, channels]`, divided by its volume on the way in a model that asks for it."""
    if not normalise:
        decoded, quantized = network(audio, n_q)
        return decoded.float(), quantized
    scale = volume(audio)
    decoded, quantized = network(audio / scale, n_q)
    return decoded.float() * scale, quantized
