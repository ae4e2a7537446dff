"""A loss against buzz and flutter: how alike a signal is to itself some frames later, band by band.

Not of the paper. A decoder that has learnt right levels only, draws noise as one pattern that it repeats in
every frame; where the first lags alone are minded, in every fourth. Mel spectra and models of hearing do
not mind; ears hear a hum at the frame rate, or a flutter below it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sonant.nn.spectra import powers
from sonant.training.auditory import floor_under
from sonant.training.crop_spectra import CropSpectra


class PeriodicityLoss(nn.Module):
    """Mean over bands b of √Σ_k (ρ̂(b, k) − ρ(b, k))², over all lags k of whole frames in a crop.

    ρ is the autocorrelation of the band, 1 at no lag, with a floor of 70 dB below the loudest. It is
    the Fourier transform of the band's spectrum folded at the frame rate, c(b, i): by Parseval the
    loss is the mean of √(N Σ_i (ĉ(b, i) − c(b, i))²), for a crop of N frames. Bands are 1.2 kHz wide,
    from 1.5 kHz on, and frames count by their loudness. Of two noises that have nothing to do with each
    other the loss is 0.4 in a second, of a noise and what is repeated in each frame 6.

    Args:
        sample_rate: of the audio, at least 12 kHz.
        hop_length: samples of a frame of the codec.
    """

    def __init__(self, sample_rate: int, hop_length: int) -> None:
        super().__init__()
        self.spectra = CropSpectra(sample_rate, hop_length)

    def forward(self, reference: Tensor, decoded: Tensor) -> Tensor:
        """A scalar; `[B, T, channels]`, every channel on its own."""
        first, second = self.spectra.by_loudness(reference, decoded)
        wanted = self.folded(first)
        distance = (self.folded(second) - wanted).square().sum(2)
        return (wanted.shape[2] * distance + torch.finfo(distance.dtype).eps).sqrt().mean()

    def folded(self, signal: Tensor) -> Tensor:
        """c, `[B, bands, N]` with sum 1, of `[B, T]`."""
        power = self.spectra.by_band(powers(self.spectra.cells(signal)))
        total = power.sum(2)
        share: Tensor = power / (total + floor_under(total))[..., None]
        return share
