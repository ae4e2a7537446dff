"""A loss on lines in the treble: power at multiples of a decoder's frame rate, over a whole crop.

Not of the paper. Transposed convolutions give what does not change a pattern of their stride. Such patterns
are steady lines in a spectrum over a second, too narrow and too close to each other for any other loss.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sonant.nn.spectra import powers
from sonant.training.auditory import floor_under
from sonant.training.losses import single_channels

LOWEST = 1500
LINES_IN_BAND = 8
REACH = 1


class LineLoss(nn.Module):
    """Mean of |ŝ(b) − s(b)| over bands b of eight lines each, above 1.5 kHz.

    s is the share of a band's power that lies in lines, in the spectrum S of a whole crop of N frames under a Hann
    window, where the multiples of the codec's frame rate are every Nth bin:

    s(b) = Σ_j Σ_|i| ≤ 1 S(N j + i) / (Σ_f S(f) + φ), over the lines j and all bins f of the band,

    with a floor φ of 70 dB below the loudest band. Noise has 3 / N, and of two noises that have nothing to do with
    each other the loss is about 1 / N; a pattern that is repeated in every frame has 1.

    Args:
        sample_rate: of the audio.
        hop_length: samples of a frame of the codec.
    """

    def __init__(self, sample_rate: int, hop_length: int) -> None:
        super().__init__()
        self.hop_length = hop_length
        self.first = -(-LOWEST * hop_length // sample_rate)
        self.bands = (hop_length // 2 - self.first) // LINES_IN_BAND

    def forward(self, reference: Tensor, decoded: Tensor) -> Tensor:
        """A scalar; `[B, T, channels]` of at least 8 frames, every channel on its own."""
        with torch.no_grad():
            wanted = self._in_lines(reference)
        return (self._in_lines(decoded) - wanted).abs().mean()

    def _in_lines(self, audio: Tensor) -> Tensor:
        """`[B · channels, bands]`."""
        signal = single_channels(audio)
        frames = signal.shape[1] // self.hop_length
        signal = signal[:, : frames * self.hop_length]
        window = torch.hann_window(signal.shape[1], device=signal.device)
        spectrum = torch.fft.rfft(signal * window, norm="ortho")
        start = self.first * frames - frames // 2
        cells = powers(spectrum[:, start:])[:, : self.bands * LINES_IN_BAND * frames]
        cells = cells.unflatten(1, (self.bands, LINES_IN_BAND, frames))
        total = cells.sum((2, 3))
        middle = frames // 2
        lines = cells[..., middle - REACH : middle + REACH + 1].sum((2, 3))
        return lines / (total + floor_under(total))
