"""A loss against buzz: how alike a signal is to itself some frames later, band by band.

Not of the paper. A decoder that has learnt right levels only, draws noise as one burst that it repeats
in every frame. Mel spectra and models of hearing do not mind; ears hear a hum at the frame rate.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from sonant.nn.spectra import centred_spectra, powers, unit_window
from sonant.training.auditory import band_centres, floor_under, gammatone_responses, window_sizes
from sonant.training.losses import single_channels

FRAMES = (1, 2, 3)
LOWEST = 1500


class PeriodicityLoss(nn.Module):
    """Mean of |ρ̂(b, τ) − ρ(b, τ)| over bands b of hearing above 1.5 kHz, spectra and lags τ.

    ρ is the autocorrelation of what a band g lets through, by the power S of a spectrum over 85 ms,

    ρ(b, τ) = Σ_f g(f) S(f) cos(2π f τ) / (Σ_f g(f) S(f) + φ),

    with a floor φ of 70 dB below the loudest band. The lags are 1, 2 and 3 frames of the codec. Of two
    noises that have nothing to do with each other the loss is 0.08, of a noise and a buzz 0.5.

    Args:
        sample_rate: of the audio, at least 22.05 kHz.
        hop_length: samples of a frame of the codec.
    """

    window: Tensor
    responses: Tensor

    def __init__(self, sample_rate: int, hop_length: int) -> None:
        super().__init__()
        size = max(window_sizes(sample_rate))
        hertz, centres = np.fft.rfftfreq(size, 1 / sample_rate).astype(float), band_centres(sample_rate)
        bands = gammatone_responses(hertz, centres[centres > LOWEST])
        lags = hop_length / sample_rate * np.array([0, *FRAMES])
        responses = np.cos(2 * np.pi * hertz[:, None] * lags)[:, :, None] * bands[:, None]
        self.register_buffer("window", unit_window(size), False)
        self.register_buffer("responses", torch.tensor(responses, dtype=torch.float32), False)

    def forward(self, reference: Tensor, decoded: Tensor) -> Tensor:
        """A scalar; `[B, T, channels]`, every channel on its own."""
        with torch.no_grad():
            wanted = self._autocorrelation(reference)
        return (self._autocorrelation(decoded) - wanted).abs().mean()

    def _autocorrelation(self, audio: Tensor) -> Tensor:
        """`[B · channels, spectra, lags, bands]`."""
        power = powers(centred_spectra(single_channels(audio), self.window))
        lagged = (power @ self.responses.flatten(1)).unflatten(2, self.responses.shape[1:])
        total = lagged[:, :, :1]
        correlation: Tensor = lagged[:, :, 1:] / (total + floor_under(total))
        return correlation
