"""A loss on the fine structure of spectra: where partials lie, and how deep the valleys between them are.

Not of the paper. Mel spectra and bands of hearing are wider than the distance of a voice's harmonics; a
decoder that has learnt from them alone draws noise of the right level where harmonics should be, which
sounds rough.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sonant.nn.spectra import centred_spectra, powers, unit_window
from sonant.training.auditory import ERB_SLOPE, floor_under, frame_weights, window_sizes
from sonant.training.losses import single_channels
from sonant.training.structure import local_covariance

HIGHEST = 6000
BELOW_NEIGHBOURS = 10**-2.5
STEADY = 0.02
REACH = 4
FIRST_BIN = 2 * REACH


def box_means(cells: Tensor) -> Tensor:
    """Means `[..., M - 2, N - 8]` of `[..., M, N]` over 3 × 9 cells."""
    rows = cells[..., :-2, :] + cells[..., 1:-1, :] + cells[..., 2:, :]
    threes = rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:]
    return (threes[..., :-6] + threes[..., 3:-3] + threes[..., 6:]) / 27


class FineStructureLoss(nn.Module):
    """Mean of 1 − σ₁₂ / √((σ₁² + c) (σ₂² + c)) over cells of spectra up to 6 kHz.

    Cells count by how loud their frame is (`frame_weights`), and by the ERBs that a bin covers: half of all
    lies below 1 kHz.

    Variances and covariance are those of the levels ln(S + φ) of reference and decoded audio over 3 frames
    and 9 bins, in spectra over 43 and 85 ms: over 210 and 105 Hz. φ lies 25 dB below the mean of the
    reference's powers S over such cells, with 70 dB below the loudest bin of its frame on top. c leaves out
    what is level. Of two noises that have nothing to do with each other the loss is nearly 1.

    Args:
        sample_rate: of the audio, at least 22.05 kHz.
    """

    def __init__(self, sample_rate: int) -> None:
        super().__init__()
        self.sizes = window_sizes(sample_rate)[1:]
        self.bins = [HIGHEST * size // sample_rate for size in self.sizes]
        for size, bins in zip(self.sizes, self.bins, strict=True):
            self.register_buffer(f"window_{size}", unit_window(size), False)
            hertz = torch.arange(FIRST_BIN, bins - FIRST_BIN) * sample_rate / size
            density = 1 / (1 + ERB_SLOPE * hertz)
            self.register_buffer(f"weights_{size}", density / density.mean(), False)

    def forward(self, reference: Tensor, decoded: Tensor) -> Tensor:
        """A scalar; `[B, T, channels]`, every channel on its own."""
        parts = [(weights * cells).mean() for cells, weights in self.by_cell(reference, decoded)]
        return torch.stack(parts).mean()

    def by_cell(self, reference: Tensor, decoded: Tensor) -> list[tuple[Tensor, Tensor]]:
        """By window the loss of every cell, `[B · channels, frames, bins]`, and what it counts.

        The first is bin `FIRST_BIN` of the window's spectrum.
        """
        reference, decoded = single_channels(reference), single_channels(decoded)
        losses = []
        for size, bins in zip(self.sizes, self.bins, strict=True):
            window = self.get_buffer(f"window_{size}")
            with torch.no_grad():
                signal = powers(centred_spectra(reference, window)[..., :bins])
                around = box_means(signal)
                weights = frame_weights(signal[:, 2:-2]) * self.get_buffer(f"weights_{size}")
                signal = signal[..., 1:-1, REACH:-REACH]
                floor = BELOW_NEIGHBOURS * around + floor_under(signal)
                first = (signal + floor).log()
            spectrum = centred_spectra(decoded, window)[..., 1:-1, REACH : bins - REACH]
            second = (powers(spectrum) + floor).log()
            covariance, deviations = local_covariance(first, second, box_means, STEADY)
            losses.append((1 - covariance / deviations, weights))
        return losses
