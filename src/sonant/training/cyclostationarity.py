"""A loss on cyclostationarity: treble whose mean, or whose power, depends on the place in a frame.

Not of the paper. A transposed convolution turns what does not change into a pattern of its stride, and
every sample that it is given into the same burst. Over seconds the first are lines in the spectrum at
multiples of the frame rate, the second are correlations between what lies so far apart. Ears hear a
roughness; losses on levels or on shorter spectra hear nothing.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sonant.nn.spectra import powers
from sonant.training.auditory import FLOOR, LOUDNESS, floor_under
from sonant.training.losses import single_channels

LOWEST = 1500
BAND = 1200
FURTHEST = 1500
REACH = 1
LEVEL_FRAMES = 5


class CyclostationarityLoss(nn.Module):
    """Mean of |ŝ(b) − s(b)| over bands b of 1.2 kHz, plus that of |ĉ(b, α) − c(b, α)| over b and α.

    X is the spectrum of a whole crop of N frames under a Hann window, where the multiples of the codec's
    frame rate are every Nth bin. s is the share of a band's power that lies in these lines, c the coherence
    of a band with what lies α above it, a multiple of the frame rate up to 1.5 kHz:

    s(b) = Σ_j Σ_|i| ≤ 1 |X(N j + i)|² / Σ_f |X(f)|², over lines j and bins f of b;
    c(b, α) = |Σ_f X(f) X*(f + α)| / √(Σ_f |X(f)|² Σ_f |X(f + α)|²).

    Bands begin at 1.5 kHz. A pattern that is repeated in every frame has 1 in both, noise 3 / N in s and
    0.035 in c. Audio is first divided by what leaves of the reference's power, over five frames, its power
    to the 0.23: frames count by their loudness.

    Args:
        sample_rate: of the audio, at least 12 kHz.
        hop_length: samples of a frame of the codec.
    """

    def __init__(self, sample_rate: int, hop_length: int) -> None:
        super().__init__()
        self.hop_length = hop_length
        self.first = round(LOWEST * hop_length / sample_rate)
        self.band = round(BAND * hop_length / sample_rate)
        self.shifts = round(FURTHEST * hop_length / sample_rate)
        self.bands = (hop_length // 2 - self.first - self.shifts) // self.band

    def forward(self, reference: Tensor, decoded: Tensor) -> Tensor:
        """A scalar; `[B, T, channels]` of at least 8 frames, every channel on its own."""
        reference, decoded = single_channels(reference), single_channels(decoded)
        with torch.no_grad():
            gains = self._gains(reference)
            lines, coherence = self.statistics(reference * gains)
        decoded_lines, decoded_coherence = self.statistics(decoded * gains)
        return (decoded_lines - lines).abs().mean() + (decoded_coherence - coherence).abs().mean()

    def statistics(self, signal: Tensor) -> tuple[Tensor, Tensor]:
        """s `[B, bands]` and c `[B, bands, shifts]` of `[B, T]`."""
        cells = self._cells(signal)
        power = powers(cells)
        middle = cells.shape[2] // 2
        lines = self._by_band(power[..., middle - REACH : middle + REACH + 1].sum(2))
        power = power.sum(2)
        power = power + floor_under(power)
        products = cells @ cells.mH
        shared = torch.stack([self._by_band(products.diagonal(k, 1, 2)) for k in self._shifts()], 2)
        above = torch.stack([self._by_band(power[:, k:]) for k in self._shifts()], 2)
        total = self._by_band(power)
        return lines / total, shared.abs() / (total[..., None] * above).sqrt()

    def _shifts(self) -> range:
        return range(1, self.shifts + 1)

    def _cells(self, signal: Tensor) -> Tensor:
        """Complex spectrum around each line, half way to the next on either side: `[B, lines, N]`."""
        frames = signal.shape[1] // self.hop_length
        signal = signal[:, : frames * self.hop_length]
        window = torch.hann_window(signal.shape[1], device=signal.device)
        spectrum = torch.fft.rfft(signal * window, norm="ortho")
        lines = self.hop_length // 2 - self.first
        start = self.first * frames - frames // 2
        return spectrum[:, start : start + lines * frames].unflatten(1, (lines, frames))

    def _by_band(self, cells: Tensor) -> Tensor:
        """Sums over the lines of each band, `[B, bands]` of `[B, lines]`."""
        return cells[:, : self.bands * self.band].unflatten(1, (self.bands, self.band)).sum(2)

    def _gains(self, reference: Tensor) -> Tensor:
        """What leaves power to the 0.23 of a signal's power, `[B, T]`."""
        size = LEVEL_FRAMES * self.hop_length
        sums = F.pad(reference.double().square(), (size - size // 2, size // 2)).cumsum(1)
        power = (sums[:, size:] - sums[:, :-size]).float() / size
        return (power + FLOOR) ** ((LOUDNESS - 1) / 2)
