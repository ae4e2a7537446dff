"""Reconstruction losses in time and frequency (paper, section 3.4)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from sonant.nn.spectra import centred_spectra, powers, unit_window

LOG_FLOOR = 2e-4


def time_loss(reference: Tensor, decoded: Tensor) -> Tensor:
    """Equation 1's time term: mean absolute error of the samples."""
    return (reference - decoded).abs().mean()


def si_snr(reference: Tensor, decoded: Tensor) -> Tensor:
    """Scale-invariant signal-to-noise ratio in dB over the last two axes, `[…, T, channels]`."""
    reference = reference - reference.mean((-2, -1), keepdim=True)
    decoded = decoded - decoded.mean((-2, -1), keepdim=True)
    product = (reference * decoded).sum((-2, -1), keepdim=True)
    target = product / (reference.square().sum((-2, -1), keepdim=True) + 1e-8) * reference
    noise = decoded - target
    return 10 * ((target.square().sum((-2, -1)) + 1e-8) / (noise.square().sum((-2, -1)) + 1e-8)).log10()


def mel_filters(sample_rate: int, window: int, n_mels: int) -> Tensor:
    """Triangular filters `[window / 2 + 1, n_mels]` on the mel scale, from 0 to half the rate."""
    bins = torch.linspace(0, sample_rate / 2, window // 2 + 1)
    top = 2595 * math.log10(1 + sample_rate / 2 / 700)
    edges = 700 * (10 ** (torch.linspace(0, top, n_mels + 2) / 2595) - 1)
    rising = (bins[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins[:, None]) / (edges[2:] - edges[1:-1])
    return torch.minimum(rising, falling).clamp_min(0)


def single_channels(audio: Tensor) -> Tensor:
    """`[B, T, channels]` as `[B · channels, T]` in float32."""
    return audio.float().transpose(1, 2).flatten(0, 1)


class MelLoss(nn.Module):
    """Distance of mel spectrograms at windows 2^5 … 2^11, 64 bands, hop = window / 4 (equation 1).

    The L1 term is taken on the spectrogram, the L2 term per frame on the spectrogram, as in the
    paper, or on its decadic logarithm, so that loud and quiet parts of the spectrum count alike.

    Args:
        sample_rate: of the audio.
        exponents: first and last power of two of the windows.
        n_mels: bands; those too narrow for a window to resolve are left out.
        log_l2: the L2 term on the logarithm.
        root_alpha: weigh the L2 term by √(window / 2), as SoundStream does, instead of 1.
    """

    def __init__(
        self,
        sample_rate: int,
        exponents: tuple[int, int] = (5, 11),
        n_mels: int = 64,
        log_l2: bool = True,
        root_alpha: bool = False,
    ) -> None:
        super().__init__()
        first, last = exponents
        self.windows = [2**e for e in range(first, last + 1)]
        self.log_l2, self.root_alpha = log_l2, root_alpha
        for size in self.windows:
            filters = mel_filters(sample_rate, size, n_mels)
            filters = filters[:, filters.sum(0) > 0]
            self.register_buffer(f"window_{size}", unit_window(size), False)
            self.register_buffer(f"filters_{size}", filters, False)

    def _mel(self, audio: Tensor, size: int) -> Tensor:
        power = powers(centred_spectra(audio, self.get_buffer(f"window_{size}")))
        return (power + 1e-12).sqrt() @ self.get_buffer(f"filters_{size}")

    def forward(self, reference: Tensor, decoded: Tensor) -> Tensor:
        """Mean over windows of L1 + α L2; `[B, T, channels]`, every channel on its own."""
        reference, decoded = single_channels(reference), single_channels(decoded)
        total = decoded.new_zeros(())
        for size in self.windows:
            with torch.no_grad():
                target = self._mel(reference, size)
            mel = self._mel(decoded, size)
            total = total + (mel - target).abs().mean()
            if self.log_l2:
                error = (mel + LOG_FLOOR).log10() - (target + LOG_FLOOR).log10()
            else:
                error = mel - target
            alpha = math.sqrt(size / 2) if self.root_alpha else 1.0
            total = total + alpha * (error.square().mean(-1) + 1e-8).sqrt().mean()
        return total / len(self.windows)
