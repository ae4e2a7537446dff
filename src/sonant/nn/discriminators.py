"""The multi-scale STFT discriminator (paper, section 3.4 and appendix A.1)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

Features = list[Tensor]

LEAK = 0.2


class STFTDiscriminator(nn.Module):
    """One scale: 2-D convolutions over a complex spectrogram, real and imaginary part as channels.

    Args:
        window: length of the STFT in samples; hop = window / 4.
        channels: audio channels.
        filters: channels of the hidden layers.
    """

    window: Tensor

    def __init__(self, window: int, channels: int = 1, filters: int = 32) -> None:
        super().__init__()
        hann = torch.hann_window(window)
        self.register_buffer("window", hann / hann.square().sum().sqrt())
        self.size = window
        sizes, self.convs = [(2 * channels, 1)] + [(filters, d) for d in (1, 2, 4)], nn.ModuleList()
        for number, (inputs, dilation) in enumerate(sizes):
            stride = 1 if number == 0 else 2
            conv = nn.Conv2d(
                inputs, filters, (3, 9), (1, stride), padding=(dilation, 4), dilation=(dilation, 1)
            )
            self.convs.append(conv if number == 0 else weight_norm(conv))
        self.convs.append(weight_norm(nn.Conv2d(filters, filters, (3, 3), padding=1)))
        self.post = weight_norm(nn.Conv2d(filters, 1, (3, 3), padding=1))

    def forward(self, audio: Tensor) -> tuple[Tensor, Features]:
        """`[B, channels, T]` to logits `[B, 1, frames, bins]` and the hidden activations."""
        flat = audio.float().flatten(0, 1)
        spectrum = torch.stft(
            flat, self.size, self.size // 4, self.size, self.window, center=False, return_complex=True
        )
        parts = torch.view_as_real(spectrum).unflatten(0, audio.shape[:2])
        x = parts.permute(0, 4, 1, 3, 2).flatten(1, 2).contiguous(memory_format=torch.channels_last)
        features = []
        for conv in self.convs:
            x = F.leaky_relu(conv(x), LEAK)
            features.append(x)
        return self.post(x), features


class MultiScaleSTFTDiscriminator(nn.Module):
    """One `STFTDiscriminator` per window length."""

    def __init__(self, windows: tuple[int, ...], channels: int = 1, filters: int = 32) -> None:
        super().__init__()
        self.scales = nn.ModuleList(STFTDiscriminator(w, channels, filters) for w in windows)

    def forward(self, audio: Tensor) -> tuple[list[Tensor], list[Features]]:
        """`[B, channels, T]` to the logits and hidden activations of every scale."""
        results = [scale(audio) for scale in self.scales]
        return [logits for logits, _ in results], [features for _, features in results]
