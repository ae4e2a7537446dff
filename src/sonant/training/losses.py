"""Reconstruction losses in time and frequency (paper, section 3.4)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

LOG_FLOOR = 1e-5


def time_loss(reference: Tensor, decoded: Tensor) -> Tensor:
    """Equation 1's time term: mean absolute error of the samples."""
    return (reference - decoded).abs().mean()


def mel_filters(sample_rate: int, window: int, n_mels: int) -> Tensor:
    """Triangular filters `[window / 2 + 1, n_mels]` on the mel scale, from 0 to half the rate."""
    bins = torch.linspace(0, sample_rate / 2, window // 2 + 1)
    top = 2595 * math.log10(1 + sample_rate / 2 / 700)
    edges = 700 * (10 ** (torch.linspace(0, top, n_mels + 2) / 2595) - 1)
    rising = (bins[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins[:, None]) / (edges[2:] - edges[1:-1])
    return torch.minimum(rising, falling).clamp_min(0)


class MelLoss(nn.Module):
    """Distance of mel spectrograms at windows 2^5 … 2^11, 64 bands, hop = window / 4 (equation 1).

    The L1 term is taken on the linear spectrogram and the L2 term on its decadic logarithm, per
    frame, so that both loud and quiet parts of the spectrum count.
    """

    def __init__(
        self, sample_rate: int, window_exponents: tuple[int, int] = (5, 11), n_mels: int = 64
    ) -> None:
        super().__init__()
        first, last = window_exponents
        self.windows = [2**e for e in range(first, last + 1)]
        for size in self.windows:
            window = torch.hann_window(size)
            filters = mel_filters(sample_rate, size, n_mels)
            filters = filters[:, filters.sum(0) > 0]
            self.register_buffer(f"window_{size}", window / window.square().sum().sqrt(), False)
            self.register_buffer(f"filters_{size}", filters, False)

    def _mel(self, audio: Tensor, size: int) -> Tensor:
        window = self.get_buffer(f"window_{size}")
        spectrum = torch.stft(audio, size, size // 4, size, window, return_complex=True)
        power = torch.view_as_real(spectrum).square().sum(-1)
        return (power.transpose(1, 2) + 1e-12).sqrt() @ self.get_buffer(f"filters_{size}")

    def forward(self, reference: Tensor, decoded: Tensor) -> Tensor:
        """Mean over windows of L1 + L2; `[B, T, channels]`, every channel on its own."""
        reference = reference.float().transpose(1, 2).flatten(0, 1)
        decoded = decoded.float().transpose(1, 2).flatten(0, 1)
        total = decoded.new_zeros(())
        for size in self.windows:
            with torch.no_grad():
                target = self._mel(reference, size)
                log_target = (target + LOG_FLOOR).log10()
            mel = self._mel(decoded, size)
            log_error = (mel + LOG_FLOOR).log10() - log_target
            total = total + (mel - target).abs().mean()
            total = total + (log_error.square().mean(-1) + 1e-8).sqrt().mean()
        return total / len(self.windows)
