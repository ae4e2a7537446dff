"""The multi-scale STFT discriminator (paper, section 3.4), and what all discriminators share."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

from sonant.nn.spectra import spectra, unit_window

Features = list[Tensor]

LEAK = 0.2
QUIET = 1e-4


class Discriminators(nn.Module):
    """Several discriminators that judge the same mono audio.

    Stereo is judged channel by channel: left and right are items of the batch.

    Args:
        scales: the discriminators.
        emphasis: of what they judge (`emphasised`); 0 judges the audio itself, as in the paper.
        band: share of the audio's band that they judge, from 0 Hz on.
    """

    def __init__(self, scales: Iterable[nn.Module], emphasis: float = 0.0, band: float = 1.0) -> None:
        super().__init__()
        self.scales = nn.ModuleList(scales)
        self.emphasis, self.band = emphasis, band

    def forward(self, audio: Tensor) -> tuple[list[Tensor], list[Features]]:
        """`[B, channels, T]` to the logits and the hidden activations of every discriminator."""
        mono = audio.float().flatten(0, 1)[:, None]
        if self.band < 1:
            mono = low_passed(mono, self.band)
        if self.emphasis:
            mono = emphasised(mono, self.emphasis)
        results = [scale(mono) for scale in self.scales]
        return [logits for logits, _ in results], [features for _, features in results]


def low_passed(audio: Tensor, band: float) -> Tensor:
    """The lowest `band`, from 0 to 1, of the frequencies of `[B, 1, T]`."""
    spectrum = torch.fft.rfft(audio)
    bins = spectrum.shape[-1]
    kept = torch.arange(bins, device=audio.device) < band * bins
    return torch.fft.irfft(spectrum * kept, audio.shape[-1])


def emphasised(audio: Tensor, emphasis: float) -> Tensor:
    """x[t] − emphasis · x[t − 1], every item of `[B, 1, T]` with a root mean square of 1."""
    steep = audio[..., 1:] - emphasis * audio[..., :-1]
    return steep / (steep.square().mean(dim=-1, keepdim=True) + QUIET**2).sqrt()


def complex_spectrogram(audio: Tensor, window: Tensor) -> Tensor:
    """`[B, 1, T]` to `[B, 2, frames, bins]`, channels last: real and imaginary part."""
    return torch.view_as_real(spectra(audio[:, 0], window)).permute(0, 3, 1, 2)


class STFTDiscriminator(nn.Module):
    """One scale: 2-D convolutions over a complex spectrogram, real and imaginary part as channels.

    Args:
        window: length of the STFT in samples; hop = window / 4.
        filters: channels of the hidden layers.
    """

    window: Tensor

    def __init__(self, window: int, filters: int = 32) -> None:
        super().__init__()
        self.register_buffer("window", unit_window(window))
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
        x = complex_spectrogram(audio, self.window)
        features = []
        for conv in self.convs:
            x = F.leaky_relu(conv(x), LEAK, inplace=True)
            features.append(x)
        return self.post(x), features


def multi_scale_stft(windows: Iterable[int], filters: int = 32) -> list[nn.Module]:
    """The paper's discriminator: one `STFTDiscriminator` per window length."""
    return [STFTDiscriminator(window, filters) for window in windows]
