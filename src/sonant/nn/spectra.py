"""Short-time spectra and their powers, frames first, whose gradients stay real where audio is."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

OVERLAP = 4


class _Spectra(torch.autograd.Function):
    """PyTorch's own gradient goes through a complex transform of twice the size."""

    @staticmethod
    def forward(ctx: Any, audio: Tensor, window: Tensor) -> Tensor:
        """See `spectra`."""
        ctx.save_for_backward(window)
        ctx.length = audio.shape[1]
        size = len(window)
        return torch.fft.rfft(audio.unfold(1, size, size // OVERLAP) * window)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """Σ_k Re(g_k e^{2πikn/N}) of every frame, windowed, overlapped and added."""
        (window,) = ctx.saved_tensors
        gradient = gradients[0].clone()
        gradient[..., 1:-1] *= 0.5
        frames = torch.fft.irfft(gradient, len(window), norm="forward") * window
        parts = frames.unflatten(2, (OVERLAP, -1))
        count = parts.shape[1]
        audio = F.pad(parts[:, :, 0], (0, 0, 0, OVERLAP - 1))
        for k in range(1, OVERLAP):
            audio[:, k : k + count] += parts[:, :, k]
        audio = audio.flatten(1)
        return F.pad(audio, (0, ctx.length - audio.shape[1])), None


class _Powers(torch.autograd.Function):
    """PyTorch's own gradient keeps more and reads it more often."""

    @staticmethod
    def forward(ctx: Any, spectrum: Tensor) -> Tensor:
        """See `powers`."""
        ctx.save_for_backward(spectrum)
        return spectrum.real.square().addcmul_(spectrum.imag, spectrum.imag)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        """2 g s."""
        (spectrum,) = ctx.saved_tensors
        return torch.view_as_complex(torch.view_as_real(spectrum) * (2 * gradients[0])[..., None])


def unit_window(size: int) -> Tensor:
    """Hann window whose squares sum to 1, so that levels do not depend on its size."""
    window = torch.hann_window(size)
    return window / window.square().sum().sqrt()


def spectra(audio: Tensor, window: Tensor) -> Tensor:
    """Complex spectra `[N, frames, bins]` of `[N, T]`, hop a quarter of the window.

    Only whole windows count. The gradient can be taken once.
    """
    return _Spectra.apply(audio, window)  # type: ignore[no-any-return]


def centred_spectra(audio: Tensor, window: Tensor) -> Tensor:
    """As `spectra`, the first frame centred on the first sample, beyond the ends reflected."""
    half = len(window) // 2
    return spectra(F.pad(audio[None], (half, half), mode="reflect")[0], window)


def powers(spectrum: Tensor) -> Tensor:
    """|s|², the same shape. The gradient can be taken once."""
    return _Powers.apply(spectrum)  # type: ignore[no-any-return]
