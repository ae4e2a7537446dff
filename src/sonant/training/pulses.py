"""A loss on pulses: how the treble's power rises and falls within some milliseconds.

Not of the paper. The treble of a voice, or of any tone that is rich in partials, comes in pulses at the
rate of the pitch, and that is what ears hear of partials that lie close together. In spectra of 21 ms and
more pulses are partials, for which there are no bits above 2 kHz; a decoder with the right levels alone
draws breath in their place.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sonant.nn.spectra import centred_spectra, powers, unit_window
from sonant.training.auditory import WINDOW_RATE, floor_under, frame_weights
from sonant.training.losses import single_channels

EDGES = (1000, 2000, 3000, 4200, 6000, 8500, 11_000)
WINDOW = 96
SLOW, LONG, STEP = 15, 61, 15
BELOW_NEIGHBOURS = 10**-1.5
STEADY = 0.02


class PulseLoss(nn.Module):
    """Mean of 1 − σ₁₂ / √((σ₁² + c) (σ₂² + c)) over six bands from 1 to 11 kHz and times, by loudness.

    Variances and covariance over 61 ms are those of the movements m of reference and decoded audio, with
    the powers S in frames of 4 ms every millisecond, and ⟨·⟩ the mean over 15 ms:

    m = l − ⟨l⟩, l = ln(S + φ),

    with a floor φ of 15 dB below ⟨S⟩ of the reference and 70 dB below the loudest band. c leaves out what
    is steady. Of two noises that have nothing to do with each other the loss is 1.

    Args:
        sample_rate: of the audio, at least 22.05 kHz.
    """

    window: Tensor
    bands: Tensor

    def __init__(self, sample_rate: int) -> None:
        super().__init__()
        size = WINDOW * max(1, round(sample_rate / WINDOW_RATE))
        hertz = torch.fft.rfftfreq(size, 1 / sample_rate)
        bands = torch.stack([(hertz >= low) & (hertz < high) for low, high in pairwise(EDGES)], 1)
        self.register_buffer("window", unit_window(size), False)
        self.register_buffer("bands", bands.float(), False)

    def forward(self, reference: Tensor, decoded: Tensor) -> Tensor:
        """A scalar; `[B, T, channels]`, T at least 90 ms, every channel on its own."""
        cells, weights = self.by_cell(reference, decoded)
        return (weights * cells).mean()

    def by_cell(self, reference: Tensor, decoded: Tensor) -> tuple[Tensor, Tensor]:
        """The loss of every band and time, `[B · channels, bands, times]`, and what the times count."""
        with torch.no_grad():
            signal = self._powers(reference)
            around = _means(signal, SLOW)
            floor = BELOW_NEIGHBOURS * around + floor_under(around.mT).mT
            first = _movements(signal, floor)
            loud = _means(around[..., SLOW // 2 : -(SLOW // 2)], LONG, STEP)
            weights = frame_weights(loud.mT).mT
        second = _movements(self._powers(decoded), floor)
        covariance, *variances = (
            _means(product, LONG, STEP) for product in (first * second, first.square(), second.square())
        )
        deviations = ((variances[0] + STEADY) * (variances[1] + STEADY)).sqrt()
        return 1 - covariance / deviations, weights

    def _powers(self, audio: Tensor) -> Tensor:
        """`[B · channels, bands, frames]`."""
        return (powers(centred_spectra(single_channels(audio), self.window)) @ self.bands).mT


def _means(cells: Tensor, frames: int, step: int = 1) -> Tensor:
    """Running means over so many frames."""
    return F.avg_pool1d(cells, frames, step)


def _movements(power: Tensor, floor: Tensor) -> Tensor:
    """Levels less their running means, fewer frames by twice what one mean takes."""
    edge = SLOW // 2
    level = (power[..., edge:-edge] + floor).log()
    return level[..., edge:-edge] - _means(level, SLOW)
