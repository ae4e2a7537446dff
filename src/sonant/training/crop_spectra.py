"""The spectrum of a whole crop, by where bins lie between two multiples of a codec's frame rate."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from sonant.training.auditory import FLOOR, LOUDNESS
from sonant.training.losses import single_channels

LOWEST = 1500
BAND = 1200
LEVEL_FRAMES = 5


class CropSpectra:
    """Cells of the spectrum of whole crops of N frames under a Hann window, above 1.5 kHz.

    Multiples of the frame rate are every Nth bin. A cell is what lies around one of them, half way to the
    next on either side; so many lie in a band of 1.2 kHz.

    Args:
        sample_rate: of the audio, at least 12 kHz.
        hop_length: samples of a frame of the codec.
    """

    def __init__(self, sample_rate: int, hop_length: int) -> None:
        self.hop_length = hop_length
        self.first = self.cells_in(LOWEST, sample_rate)
        self.in_band = self.cells_in(BAND, sample_rate)
        self.count = hop_length // 2 - self.first

    def cells_in(self, hertz: float, sample_rate: int) -> int:
        """So many frame rates are so many hertz."""
        return round(hertz * self.hop_length / sample_rate)

    def cells(self, signal: Tensor) -> Tensor:
        """Complex `[B, cells, N]` of `[B, T]`; samples beyond whole frames are left out."""
        frames = signal.shape[1] // self.hop_length
        signal = signal[:, : frames * self.hop_length]
        window = torch.hann_window(signal.shape[1], device=signal.device)
        spectrum = torch.fft.rfft(signal * window, norm="ortho")
        start = self.first * frames - frames // 2
        return spectrum[:, start : start + self.count * frames].unflatten(1, (self.count, frames))

    def by_band(self, cells: Tensor) -> Tensor:
        """Sums over the cells of each band, `[B, bands, …]` of `[B, cells, …]`."""
        bands = cells.shape[1] // self.in_band
        return cells[:, : bands * self.in_band].unflatten(1, (bands, self.in_band)).sum(2)

    def by_loudness(self, reference: Tensor, decoded: Tensor) -> tuple[Tensor, Tensor]:
        """Both `[B, T, channels]` as `[B · channels, T]`, times what has frames count by their loudness."""
        first, second = single_channels(reference), single_channels(decoded)
        gains = self._gains(first)
        return first * gains, second * gains

    def _gains(self, reference: Tensor) -> Tensor:
        """What leaves of power over five frames its power to the 0.23, `[B, T]`."""
        size = LEVEL_FRAMES * self.hop_length
        sums = F.pad(reference.double().square(), (size - size // 2, size // 2)).cumsum(1)
        power = (sums[:, size:] - sums[:, :-size]).float() / size
        return (power + FLOOR) ** ((LOUDNESS - 1) / 2)
