"""A loss on the fine structure of levels: how they rise and fall from band to band and frame to frame.

Not of the paper. `AuditoryLoss` asks for the right level in every band; a decoder that cannot have it draws
a smooth mean, which is near everywhere and has no shape. Models of hearing miss the shape.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from sonant.nn.spectra import centred_spectra, powers, unit_window
from sonant.training.auditory import (
    band_centres,
    band_weights,
    floor_under,
    frame_weights,
    gammatone_responses,
    window_sizes,
)
from sonant.training.losses import single_channels

WEIGHTS = {50: 1.0, 2000: 1.0, 3000: 2.0}
NEIGHBOUR, CENTRE = 0.106507, 0.786986
STEADY = 0.01


def local_means(cells: Tensor) -> Tensor:
    """Means `[..., M - 2, N - 2]` of `[..., M, N]` over 3 × 3 cells, under a Gaussian of half a cell."""
    rows = CENTRE * cells[..., 1:-1, :] + NEIGHBOUR * (cells[..., :-2, :] + cells[..., 2:, :])
    return CENTRE * rows[..., 1:-1] + NEIGHBOUR * (rows[..., :-2] + rows[..., 2:])


def local_covariance(
    first: Tensor, second: Tensor, means: Callable[[Tensor], Tensor], steady: float
) -> tuple[Tensor, Tensor]:
    """Covariance of two by local means, and √((σ₁² + c) (σ₂² + c)) with `steady` as c."""
    first_mean, second_mean = means(first), means(second)
    covariance = means(first * second) - first_mean * second_mean
    first_variance = (means(first.square()) - first_mean.square()).clamp_min(0)
    second_variance = (means(second.square()) - second_mean.square()).clamp_min(0)
    return covariance, ((first_variance + steady) * (second_variance + steady)).sqrt()


class StructureLoss(nn.Module):
    """Mean over bands b of v(b) · (1 − (σ₁₂ + c) / √((σ₁² + c) (σ₂² + c))), by the loudness of frames.

    The fraction is the structure term of neurogram similarity (NSIM; Hines and Harte, "Speech
    intelligibility prediction using a neurogram similarity index measure", Speech Communication 54, 2012):
    variances and covariance over 3 × 3 neighbours of the levels ln(S + φ) of reference and decoded audio,
    in bands 1.4 ERB apart and frames of 85 ms every 21 ms, with the powers S and a floor φ of 70 dB below
    the loudest band of the reference's frame. c leaves out what differs by less than half a decibel; v is
    largest above 3 kHz, where other losses leave the levels smooth.

    Args:
        sample_rate: of the audio, at least 22.05 kHz.
    """

    window: Tensor
    weights: Tensor
    responses: Tensor

    def __init__(self, sample_rate: int) -> None:
        super().__init__()
        size = max(window_sizes(sample_rate))
        hertz = np.fft.rfftfreq(size, 1 / sample_rate).astype(float)
        centres = band_centres(sample_rate)[::2]
        responses = gammatone_responses(hertz, centres)
        self.register_buffer("window", unit_window(size), False)
        self.register_buffer("responses", torch.tensor(responses, dtype=torch.float32), False)
        self.register_buffer("weights", band_weights(centres[1:-1], WEIGHTS), False)

    def forward(self, reference: Tensor, decoded: Tensor) -> Tensor:
        """A scalar; `[B, T, channels]`, every channel on its own."""
        with torch.no_grad():
            signal = self._bands(reference)
            floor = floor_under(signal)
            first = (signal + floor).log()
            weights = self.weights * frame_weights(signal[:, 1:-1])
        second = (self._bands(decoded) + floor).log()
        covariance, deviations = local_covariance(first, second, local_means, STEADY)
        return (weights * (1 - (covariance + STEADY) / deviations)).mean()

    def _bands(self, audio: Tensor) -> Tensor:
        """`[B · channels, frames, bands]`."""
        return powers(centred_spectra(single_channels(audio), self.window)) @ self.responses
