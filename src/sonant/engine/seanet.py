"""The graphs of a codec's encoder and decoder, whole or cut where rows are frames."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import onnx
from onnx import TensorProto

from sonant.config import CodecConfig
from sonant.engine.graph import GraphBuilder
from sonant.engine.layers import LayerBuilder
from sonant.engine.states import Ends
from sonant.engine.weights import Weights

Layers = Callable[[GraphBuilder, CodecConfig, Weights, Ends], LayerBuilder]


def encoder_graph(
    config: CodecConfig,
    weights: Weights,
    ends: Ends,
    give_states: bool = True,
    layers: Layers = LayerBuilder,
) -> onnx.ModelProto:
    """`audio [B, T, channels]` and states to `latents [B, F, D]` and the states that follow."""
    build = layers(GraphBuilder("encoder"), config, weights, ends)
    latents_of_frames(build, frames_of_audio(build))
    return _finished(build, give_states)


def frames_of_audio(build: LayerBuilder) -> str:
    """The encoder down to one row for each frame: input `audio` to `[B, F, C]`."""
    config = build.config
    x = build.graph.input("audio", ["batch", "samples", config.channels])
    x = build.conv(x, "encoder.0", rows_per_frame=config.hop_length)
    layer, rows = 1, config.hop_length
    for ratio in reversed(config.ratios):
        for unit in range(config.n_residual_layers):
            x = build.residual(x, f"encoder.{layer}", config.dilation_base**unit, rows)
            layer += 1
        rows //= ratio
        x = build.down(build.elu(x), f"encoder.{layer}", ratio, rows)
        layer += 1
    return x


def latents_of_frames(build: LayerBuilder, x: str) -> None:
    """The rest of the encoder: LSTM and last convolution, to output `latents`."""
    config = build.config
    layer = 1 + len(config.ratios) * (config.n_residual_layers + 1)
    if config.lstm_layers:
        x = build.lstm(x, f"encoder.{layer}")
    x = build.conv(build.elu(x), f"encoder.{layer + 1}", exact=True)
    build.graph.output(x, "latents", ["batch", "frames", config.dimension])


def decoder_graph(
    config: CodecConfig,
    weights: Weights,
    ends: Ends,
    give_states: bool = True,
    layers: Layers = LayerBuilder,
) -> onnx.ModelProto:
    """`entries [B, n_q, F]` and states to `audio [B, F · hop, channels]` and the states that follow.

    An entry is the place of a code in all codebooks laid end to end: code + stage · bins.
    """
    build = layers(GraphBuilder("decoder"), config, weights, ends)
    audio_of_frames(build, frames_of_entries(build))
    return _finished(build, give_states)


def frames_of_entries(build: LayerBuilder) -> str:
    """The decoder up to its LSTM: input `entries` to `[B, F, C]`."""
    config, graph = build.config, build.graph
    entries = graph.input("entries", ["batch", "codebooks", "frames"], TensorProto.INT64)
    books = graph.constant(build.weights["codebooks"].reshape(-1, config.dimension), "codebooks")
    stages = graph.op("Transpose", entries, perm=[1, 0, 2])
    x = graph.op("ReduceSum", graph.op("Gather", books, stages), graph.integers(0), keepdims=0)
    x = build.conv(x, "decoder.0", exact=True)
    return build.lstm(x, "decoder.1") if config.lstm_layers else x


def audio_of_frames(build: LayerBuilder, x: str) -> None:
    """The rest of the decoder, to output `audio`."""
    config = build.config
    layer, rows = 2, 1
    for ratio in config.ratios:
        x = build.up(build.elu(x), f"decoder.{layer}", ratio)
        layer, rows = layer + 1, rows * ratio
        for unit in range(config.n_residual_layers):
            x = build.residual(x, f"decoder.{layer}", config.dilation_base**unit, rows)
            layer += 1
    x = build.conv(build.elu(x), f"decoder.{layer}", rows_per_frame=rows)
    build.graph.output(x, "audio", ["batch", "samples", config.channels])


def _finished(build: LayerBuilder, give_states: bool) -> onnx.ModelProto:
    if build.config.causal and give_states:
        for number, (value, shape) in enumerate(zip(build.states.following, _shapes(build), strict=True)):
            build.graph.output(value, f"next_{number}", ["batch", *shape])
    return build.graph.build()


def _shapes(build: LayerBuilder) -> Iterator[list[int | str]]:
    known = build.states.shapes
    for number, _ in enumerate(build.states.following):
        yield list(known[number]) if known else [f"rows_{number}", f"width_{number}"]
