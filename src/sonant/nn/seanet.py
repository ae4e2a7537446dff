"""SEANet encoder and decoder (paper, section 3.1), channels last, each with a streaming step."""

from __future__ import annotations

from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn

from sonant.config import CodecConfig
from sonant.nn.activation import elu
from sonant.nn.conv import Conv1d, ConvTranspose1d
from sonant.nn.lstm import Identity, SkipLSTM

State = list[Any]


class ResidualUnit(nn.Module):
    """ELU, dilated convolution to fewer channels, ELU, 1×1 convolution back, plus a shortcut."""

    def __init__(self, channels: int, dilation: int, config: CodecConfig) -> None:
        super().__init__()
        conv = partial(Conv1d, causal=config.causal, pad_mode=config.pad_mode, norm=config.norm)
        hidden = channels // config.compress
        self.narrow = conv(channels, hidden, config.residual_kernel_size, dilation=dilation)
        self.widen = conv(hidden, channels, 1)
        self.shortcut = None if config.true_skip else conv(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """`[B, T, C]` to the same shape."""
        skip = x if self.shortcut is None else self.shortcut(x)
        return skip + self.widen(elu(self.narrow(elu(x))))

    def initial_state(self, batch: int) -> Tensor:
        """What the dilated convolution has seen."""
        return self.narrow.initial_state(batch)

    def step(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """The next samples of a stream."""
        skip = x if self.shortcut is None else self.shortcut(x)
        y, state = self.narrow.step(elu(x), state)
        return skip + self.widen(elu(y)), state


class Activated(nn.Module):
    """ELU before a layer that changes rate or leaves the network."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        """ELU, then the layer."""
        return self.layer(elu(x))

    def initial_state(self, batch: int) -> Any:
        """The layer's own."""
        return cast(Conv1d, self.layer).initial_state(batch)

    def step(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        """The next samples of a stream."""
        return cast(Conv1d, self.layer).step(elu(x), state)


class Output(Activated):
    """The last layer of a decoder, which stays in its own type under autocast.

    In bfloat16 its sums are off by −70 dB of full scale, and no decoder learns to be softer than that.
    """

    def forward(self, x: Tensor) -> Tensor:
        """ELU, then the layer."""
        with torch.autocast(x.device.type, enabled=False):
            return super().forward(x.to(next(self.parameters()).dtype))


class _Chain(nn.Module):
    """Layers in a row, whose state is the list of their states."""

    def __init__(self, layers: list[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Tensor) -> Tensor:
        """Run all layers over a whole sequence."""
        for layer in self.layers:
            x = layer(x)
        return x

    def initial_state(self, batch: int) -> State:
        """The state of a stream that has not begun."""
        return [cast(Conv1d, layer).initial_state(batch) for layer in self.layers]

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """The next block of a causal stream with constant padding."""
        following: State = []
        for layer, old in zip(self.layers, state, strict=True):
            x, new = cast(Conv1d, layer).step(x, old)
            following.append(new)
        return x, following


def _lstm(config: CodecConfig) -> nn.Module:
    return SkipLSTM(config.bottleneck_channels, config.lstm_layers) if config.lstm_layers else Identity()


class SEANetEncoder(_Chain):
    """`[B, T, channels]` samples to `[B, ceil(T / hop), dimension]` latents."""

    def __init__(self, config: CodecConfig) -> None:
        conv = partial(Conv1d, causal=config.causal, pad_mode=config.pad_mode, norm=config.norm)
        width = config.n_filters
        layers: list[nn.Module] = [conv(config.channels, width, config.kernel_size)]
        for ratio in reversed(config.ratios):
            for unit in range(config.n_residual_layers):
                layers.append(ResidualUnit(width, config.dilation_base**unit, config))
            layers.append(Activated(conv(width, 2 * width, 2 * ratio, stride=ratio)))
            width *= 2
        layers.append(_lstm(config))
        layers.append(Activated(conv(width, config.dimension, config.last_kernel_size)))
        super().__init__(layers)


class SEANetDecoder(_Chain):
    """`[B, F, dimension]` latents to `[B, F · hop, channels]` samples."""

    def __init__(self, config: CodecConfig) -> None:
        conv = partial(Conv1d, causal=config.causal, pad_mode=config.pad_mode, norm=config.norm)
        width = config.bottleneck_channels
        layers: list[nn.Module] = [conv(config.dimension, width, config.kernel_size), _lstm(config)]
        for ratio in config.ratios:
            up = ConvTranspose1d(width, width // 2, ratio, causal=config.causal, norm=config.norm)
            layers.append(Activated(up))
            width //= 2
            for unit in range(config.n_residual_layers):
                layers.append(ResidualUnit(width, config.dilation_base**unit, config))
        layers.append(Output(conv(width, config.channels, config.last_kernel_size)))
        super().__init__(layers)

    def after(self, heard: Tensor, x: Tensor) -> Tensor:
        """What `forward` gives for `x`, with the LSTM's state after other latents, `[B, F', dimension]`.

        No gradient goes to those.
        """
        first, lstm = self.layers[0], cast(SkipLSTM, self.layers[1])
        with torch.no_grad():
            _, state = lstm.step(first(heard), lstm.initial_state(len(x)))
        x, _ = lstm.step(first(x), state)
        for layer in self.layers[2:]:
            x = layer(x)
        return x
