"""The multi-scale STFT discriminator (paper, section 3.4), and what all discriminators share."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

Features = list[Tensor]

LEAK = 0.2


class Discriminators(nn.Module):
    """Several discriminators that judge the same mono audio.

    Stereo is judged channel by channel: left and right are items of the batch.
    """

    def __init__(self, scales: Iterable[nn.Module]) -> None:
        super().__init__()
        self.scales = nn.ModuleList(scales)

    def forward(self, audio: Tensor) -> tuple[list[Tensor], list[Features]]:
        """`[B, channels, T]` to the logits and the hidden activations of every discriminator."""
        mono = audio.float().flatten(0, 1)[:, None]
        results = [scale(mono) for scale in self.scales]
        return [logits for logits, _ in results], [features for _, features in results]


def complex_spectrogram(audio: Tensor, window: Tensor, hop: int) -> Tensor:
    """`[B, 1, T]` to `[B, 2, frames, bins]`: real and imaginary part."""
    size = len(window)
    spectrum = torch.stft(audio[:, 0], size, hop, size, window, center=False, return_complex=True)
    return torch.view_as_real(spectrum).permute(0, 3, 2, 1)


def normalised_hann(size: int) -> Tensor:
    """A Hann window of unit energy, which makes the STFT a normalised one."""
    hann = torch.hann_window(size)
    return hann / hann.square().sum().sqrt()


class STFTDiscriminator(nn.Module):
    """One scale: 2-D convolutions over a complex spectrogram, real and imaginary part as channels.

    Args:
        window: length of the STFT in samples; hop = window / 4.
        filters: channels of the hidden layers.
    """

    window: Tensor

    def __init__(self, window: int, filters: int = 32) -> None:
        super().__init__()
        self.register_buffer("window", normalised_hann(window))
        self.convs = nn.ModuleList([nn.Conv2d(2, filters, (3, 9), padding=(1, 4))])
        for dilation in (1, 2, 4):
            conv = nn.Conv2d(
                filters, filters, (3, 9), (1, 2), padding=(dilation, 4), dilation=(dilation, 1)
            )
            self.convs.append(weight_norm(conv))
        self.convs.append(weight_norm(nn.Conv2d(filters, filters, (3, 3), padding=1)))
        self.post = weight_norm(nn.Conv2d(filters, 1, (3, 3), padding=1))
        self.to(memory_format=torch.channels_last)

    def forward(self, audio: Tensor) -> tuple[Tensor, Features]:
        """`[B, 1, T]` to logits `[B, 1, frames, bins]` and the hidden activations."""
        x = complex_spectrogram(audio, self.window, len(self.window) // 4)
        x = x.contiguous(memory_format=torch.channels_last)
        features = []
        for conv in self.convs:
            x = F.leaky_relu(conv(x), LEAK)
            features.append(x)
        return self.post(x), features


def multi_scale_stft(windows: Iterable[int], filters: int = 32) -> list[nn.Module]:
    """The paper's discriminator: one `STFTDiscriminator` per window length."""
    return [STFTDiscriminator(window, filters) for window in windows]
