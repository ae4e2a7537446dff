"""The tensors of a codec and their shapes, with which weights are compared when they are loaded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from sonant.config import CodecConfig
from sonant.errors import WeightsError
from sonant.models.layouts import Array, convolutions, lstm_parts, recurrences

Shape = tuple[int, ...]


def check_weights(weights: Mapping[str, Array], config: CodecConfig) -> None:
    """Compare weights in our layout with a config.

    Raises:
        WeightsError: if a tensor is missing, has another shape, or is not finite.
    """
    for name, shape in tensor_shapes(config):
        if name not in weights:
            raise WeightsError(f"the weights lack {name}; they are of another model")
        if weights[name].shape != shape:
            found = list(weights[name].shape)
            raise WeightsError(f"{name} has the shape {found} and not {list(shape)}, as the config has it")
        if not np.isfinite(weights[name]).all():
            raise WeightsError(f"{name} is not finite")


def tensor_shapes(config: CodecConfig) -> Iterator[tuple[str, Shape]]:
    """Name and shape of every tensor of a codec in our layout."""
    for layer, shape in zip(convolutions(config), _kernels(config), strict=True):
        out_channels = shape[1] if layer.transposed else shape[0]
        yield f"{layer.name}.weight", shape
        yield f"{layer.name}.bias", (out_channels,)
        if config.norm == "time_group_norm":
            yield f"{layer.name}.norm.weight", (out_channels,)
            yield f"{layer.name}.norm.bias", (out_channels,)
    width = config.bottleneck_channels
    for layer in recurrences(config):
        for part in lstm_parts(config):
            yield f"{layer.name}.{part}", (4 * width, width) if part.startswith("weight") else (4 * width,)
    yield "codebooks", (config.n_q, config.bins, config.dimension)


def _kernels(config: CodecConfig) -> Iterator[Shape]:
    """Shapes of the kernels in the order of `convolutions`."""
    channels = config.n_filters
    yield channels, config.channels, config.kernel_size
    for ratio in reversed(config.ratios):
        yield from _residual_units(config, channels)
        yield 2 * channels, channels, 2 * ratio
        channels *= 2
    yield config.dimension, channels, config.last_kernel_size
    yield channels, config.dimension, config.kernel_size
    for ratio in config.ratios:
        yield channels, channels // 2, 2 * ratio
        channels //= 2
        yield from _residual_units(config, channels)
    yield config.channels, channels, config.last_kernel_size


def _residual_units(config: CodecConfig, channels: int) -> Iterator[Shape]:
    hidden = channels // config.compress
    for _ in range(config.n_residual_layers):
        yield hidden, channels, config.residual_kernel_size
        yield channels, hidden, 1
        if not config.true_skip:
            yield channels, channels, 1
