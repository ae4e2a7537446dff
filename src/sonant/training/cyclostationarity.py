"""A loss on cyclostationarity: treble whose power depends on the place in a frame.

Not of the paper. A transposed convolution turns every sample that it is given into the same burst. Over
seconds such bursts are correlations between what lies a multiple of the frame rate apart in the spectrum.
Ears hear a roughness; losses on levels or on shorter spectra hear nothing.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sonant.nn.spectra import powers
from sonant.training.auditory import floor_under
from sonant.training.crop_spectra import CropSpectra

FURTHEST = 1500


class CyclostationarityLoss(nn.Module):
    """Mean of |ĉ(b, α) − c(b, α)| over bands b of 1.2 kHz and cycle frequencies α.

    c is the coherence of a band with what lies α above it, a multiple of the frame rate up to 1.5 kHz, in
    the spectrum X of a whole crop:

    c(b, α) = |Σ_f X(f) X*(f + α)| / √(Σ_f |X(f)|² Σ_f |X(f + α)|²).

    Bands begin at 1.5 kHz, and frames count by their loudness. Noise has 0.035 in a second, and if its
    power is modulated at α by the depth m, m / 2.

    Args:
        sample_rate, hop_length: as of `PeriodicityLoss`.
    """

    def __init__(self, sample_rate: int, hop_length: int) -> None:
        super().__init__()
        self.spectra = CropSpectra(sample_rate, hop_length)
        self.shifts = range(1, self.spectra.cells_in(FURTHEST, sample_rate) + 1)

    def forward(self, reference: Tensor, decoded: Tensor) -> Tensor:
        """A scalar; `[B, T, channels]`, every channel on its own."""
        first, second = self.spectra.by_loudness(reference, decoded)
        return (self.coherence(second) - self.coherence(first)).abs().mean()

    def coherence(self, signal: Tensor) -> Tensor:
        """c, `[B, bands, shifts]`, of `[B, T]`."""
        cells = self.spectra.cells(signal)
        power = powers(cells).sum(2)
        power = power + floor_under(power)
        products = cells @ cells.mH
        last = self.spectra.count - self.shifts[-1]
        by_band = self.spectra.by_band
        shared = torch.stack([by_band(products.diagonal(k, 1, 2)[:, :last]) for k in self.shifts], 2)
        above = torch.stack([by_band(power[:, k : k + last]) for k in self.shifts], 2)
        here = by_band(power[:, :last])[..., None]
        coherence: Tensor = shared.abs() / (here * above).sqrt()
        return coherence
