"""Losses in the bands of hearing: noise against the signal that masks it, and the levels.

Not of the paper. Its mel loss weighs all bands alike in relation to their own magnitudes, and so
its gradient is largest where little is heard: see "Losses for speech" in docs/experiments.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sonant.nn.spectra import centred_spectra, powers, unit_window
from sonant.training.losses import single_channels

WINDOW_RATE = 24_000
WINDOWS = (512, 1024, 2048)
LOWEST, HIGHEST_HEARD = 50.0, 20_000.0
HIGHEST = 11 / 24
BANDS_PER_ERB = 1 / 0.7
ERB_SLOPE = 0.00437
MASKED = 0.1
FLOOR = 1e-8
LOUDNESS = 0.23
MASKED_BELOW_PEAK, HEARD_BELOW_PEAK = 10**-4.5, 10**-7.0
NOISE_WEIGHTS = {50: 1.0, 300: 2.5, 1500: 2.5, 2500: 1.5, 3500: 1.0, 8000: 1.0, 8300: 0.0}
LEVEL_WEIGHTS = {50: 1.0, 300: 1.5, 4000: 1.5, 5000: 1.0, 8000: 1.0, 8500: 1.5}

Array = NDArray[np.float64]


class AuditoryLosses(NamedTuple):
    """Scalars; see `AuditoryLoss`."""

    noise_to_mask: Tensor
    level: Tensor


def band_centres(sample_rate: int) -> Array:
    """Hertz of the bands, evenly spaced on the scale of equivalent rectangular bandwidths (ERB).

    From 50 Hz to 11 / 24 of the sample rate, 20 kHz at most.
    """
    highest = min(HIGHEST * sample_rate, HIGHEST_HEARD)
    first, last = 21.4 * np.log10(1 + ERB_SLOPE * np.array([LOWEST, highest]))
    count = int((last - first) * BANDS_PER_ERB) + 1
    centres: Array = (10 ** (np.linspace(first, last, count) / 21.4) - 1) / ERB_SLOPE
    return centres


def gammatone_responses(hertz: Array, centres: Array) -> Array:
    """Power responses of gammatone filters of order 4, `[hertz, centres]`, each with sum 1."""
    width = 1.019 * (centres / 9.26449 + 24.7)
    response: Array = (1 + ((hertz[:, None] - centres) / width) ** 2) ** -4
    return response / response.sum(0)


def band_weights(centres: Array, weights: Mapping[int, float]) -> Tensor:
    """Weights at the centres of bands, between those given by hertz on straight lines."""
    return torch.tensor(np.interp(centres, list(weights), list(weights.values())), dtype=torch.float32)


def window_sizes(sample_rate: int) -> tuple[int, ...]:
    """Samples of the windows, of 21, 43 and 85 ms at any rate of music."""
    return tuple(size * max(1, round(sample_rate / WINDOW_RATE)) for size in WINDOWS)


def floor_under(bands: Tensor, below_peak: float = HEARD_BELOW_PEAK) -> Tensor:
    """70 dB, or another share, below the loudest of the powers `[..., bands]`, `[..., 1]`."""
    return below_peak * bands.amax(-1, keepdim=True) + FLOOR


def frame_weights(bands: Tensor) -> Tensor:
    """How loud frames are beside each other, `[N, frames, 1]` with mean 1, of powers `[N, frames, bands]`.

    Their power to the 0.23, Zwicker's exponent for specific loudness: a frame 20 dB softer counts a third.
    """
    loudness = (bands.sum(-1, keepdim=True) + FLOOR) ** LOUDNESS
    return loudness / loudness.mean(1, keepdim=True)


class AuditoryLoss(nn.Module):
    """What is heard of the error, and of wrong levels, in bands b and frames of 21 to 85 ms.

    With the powers S of the reference, Ŝ of the decoded audio and N of their difference, and floors μ of
    45 dB and φ of 70 dB below the loudest band of the frame:

    noise-to-mask: mean over b of w(b) · ln(N / (S + μ) + 0.1)
    level: mean over b of v(b) · |ln((Ŝ + φ) / (S + φ))|

    Loud frames count more (`frame_weights`). w is largest from 300 Hz to 1.5 kHz, where noise between the
    harmonics of a voice costs most, v from there to 4 kHz. Above, a codec of a few kbit/s cannot follow the
    waveform, and noise of the right level is further from it than silence: v against w decides between
    a treble that is noisy and one that is dull. Above 8 kHz, where the ear knows little but loudness, v
    decides alone (docs/experiments.md).

    Args:
        sample_rate: of the audio, at least 22.05 kHz.
    """

    noise_weights: Tensor
    level_weights: Tensor

    def __init__(self, sample_rate: int) -> None:
        super().__init__()
        centres = band_centres(sample_rate)
        self.sizes = window_sizes(sample_rate)
        for name, weights in (("noise", NOISE_WEIGHTS), ("level", LEVEL_WEIGHTS)):
            self.register_buffer(f"{name}_weights", band_weights(centres, weights), False)
        for size in self.sizes:
            responses = gammatone_responses(np.fft.rfftfreq(size, 1 / sample_rate).astype(float), centres)
            self.register_buffer(f"window_{size}", unit_window(size), False)
            self.register_buffer(f"responses_{size}", torch.tensor(responses, dtype=torch.float32), False)

    def forward(self, reference: Tensor, decoded: Tensor) -> AuditoryLosses:
        """Means over windows, frames and bands; `[B, T, channels]`, every channel on its own."""
        reference, decoded = single_channels(reference), single_channels(decoded)
        noises, levels = [], []
        for size in self.sizes:
            window, responses = self.get_buffer(f"window_{size}"), self.get_buffer(f"responses_{size}")
            with torch.no_grad():
                target = centred_spectra(reference, window)
                signal = powers(target) @ responses
                floor, masked = floor_under(signal), floor_under(signal, MASKED_BELOW_PEAK)
                weights = frame_weights(signal)
            spectrum = centred_spectra(decoded, window)
            noise = powers(target - spectrum) @ responses / (signal + masked)
            level = (powers(spectrum) @ responses + floor) / (signal + floor)
            noises.append((weights * self.noise_weights * (noise + MASKED).log()).mean())
            levels.append((weights * self.level_weights * level.log().abs()).mean())
        return AuditoryLosses(torch.stack(noises).mean(), torch.stack(levels).mean())
