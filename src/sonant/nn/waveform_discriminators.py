"""The discriminators of Table 2 beside the MS-STFT: multi-period, multi-scale, SoundStream's STFT."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm, weight_norm

from sonant.nn.discriminators import LEAK, Features, complex_spectrogram
from sonant.nn.spectra import unit_window

PERIODS = (2, 3, 5, 7, 11)
SCALES = 3


class PeriodDiscriminator(nn.Module):
    """Judges samples that are a period apart (HiFi-GAN's MPD): `[B, 1, T]` folded to two dimensions."""

    def __init__(self, period: int, filters: int = 32) -> None:
        super().__init__()
        self.period = period
        widths = [1, filters, 4 * filters, 16 * filters, 32 * filters, 32 * filters]
        self.convs = nn.ModuleList(
            weight_norm(nn.Conv2d(a, b, (5, 1), (3 if number < 4 else 1, 1), padding=(2, 0)))
            for number, (a, b) in enumerate(pairwise(widths))
        )
        self.post = weight_norm(nn.Conv2d(widths[-1], 1, (3, 1), padding=(1, 0)))

    def forward(self, audio: Tensor) -> tuple[Tensor, Features]:
        """Logits `[B, 1, T', period]` and the hidden activations."""
        x = F.pad(audio, (0, -audio.shape[2] % self.period), mode="reflect")
        x = x.unflatten(2, (-1, self.period))
        features = []
        for conv in self.convs:
            x = F.leaky_relu(conv(x), LEAK)
            features.append(x)
        return self.post(x), features


class WaveformDiscriminator(nn.Module):
    """Grouped convolutions over the waveform, averaged down by 2^`halvings` (MelGAN's MSD).

    Args:
        halvings: how often the sample rate is halved first.
        filters: channels of the first layer times two.
    """

    def __init__(self, halvings: int, filters: int = 32) -> None:
        super().__init__()
        norm = weight_norm if halvings else spectral_norm
        self.halvings = halvings
        width = max(1, filters // 2)
        self.convs = nn.ModuleList([norm(nn.Conv1d(1, width, 15, padding=7))])
        for growth in (4, 4, 4, 1):
            groups = max(1, width // 4)
            self.convs.append(norm(nn.Conv1d(width, width * growth, 41, 4, padding=20, groups=groups)))
            width *= growth
        self.convs.append(norm(nn.Conv1d(width, width, 5, padding=2)))
        self.post = norm(nn.Conv1d(width, 1, 3, padding=1))

    def forward(self, audio: Tensor) -> tuple[Tensor, Features]:
        """`[B, 1, T]` to logits `[B, 1, T']` and the hidden activations."""
        x = audio
        for _ in range(self.halvings):
            x = F.avg_pool1d(x, 4, 2, padding=1, count_include_pad=False)
        features = []
        for conv in self.convs:
            x = F.leaky_relu(conv(x), LEAK)
            features.append(x)
        return self.post(x), features


class _SpectrogramUnit(nn.Module):
    """Two convolutions with a strided shortcut; layer normalisation keeps it from diverging."""

    def __init__(self, channels: int, growth: int, stride: tuple[int, int]) -> None:
        super().__init__()
        out = channels * growth
        kernel = (stride[0] + 2, stride[1] + 2)
        self.norms = nn.ModuleList([nn.GroupNorm(1, channels), nn.GroupNorm(1, channels)])
        self.inner = nn.Conv2d(channels, channels, 3, padding=1)
        self.outer = nn.Conv2d(channels, out, kernel, stride, padding=(1, 1))
        self.shortcut = nn.Conv2d(channels, out, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = self.inner(F.leaky_relu(self.norms[0](x), LEAK))
        y = self.outer(F.leaky_relu(self.norms[1](y), LEAK))
        skip = self.shortcut(x)
        return y + skip[:, :, : y.shape[2]]


class ResidualSTFTDiscriminator(nn.Module):
    """SoundStream's discriminator of one STFT (window 1024, hop 256), the "Mono-STFT" of Table 2."""

    window: Tensor

    def __init__(self, window: int = 1024, filters: int = 32) -> None:
        super().__init__()
        self.register_buffer("window", unit_window(window))
        self.first = nn.Conv2d(2, filters, 7, padding=3)
        units, width = [], filters
        for number, growth in enumerate((2, 2, 1, 2, 1, 2)):
            units.append(_SpectrogramUnit(width, growth, (1 + number % 2, 2)))
            width *= growth
        self.units = nn.ModuleList(units)
        self.post = nn.Conv2d(width, 1, (1, window // 2 // 2**6))

    def forward(self, audio: Tensor) -> tuple[Tensor, Features]:
        """`[B, 1, T]` to logits `[B, 1, frames', 1]` and the hidden activations."""
        x = complex_spectrogram(audio, self.window)[..., :-1].contiguous()
        x = F.leaky_relu(self.first(x), LEAK)
        features = [x]
        for unit in self.units:
            x = unit(x)
            features.append(x)
        return self.post(F.leaky_relu(x, LEAK)), features


def multi_period(filters: int = 32) -> list[nn.Module]:
    """One discriminator per period of 2, 3, 5, 7 and 11 samples."""
    return [PeriodDiscriminator(period, filters) for period in PERIODS]


def multi_scale(filters: int = 32) -> list[nn.Module]:
    """One waveform discriminator at the full, half and quarter sample rate."""
    return [WaveformDiscriminator(halvings, filters) for halvings in range(SCALES)]
