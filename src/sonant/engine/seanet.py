"""The graphs of a codec's encoder and decoder."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import onnx
from onnx import TensorProto

from sonant.config import CodecConfig
from sonant.engine.graph import GraphBuilder
from sonant.engine.layers import Ends, LayerBuilder, Weights

Layers = Callable[[GraphBuilder, CodecConfig, Weights, Ends], LayerBuilder]


def encoder_graph(
    config: CodecConfig,
    weights: Weights,
    ends: Ends,
    give_states: bool = True,
    layers: Layers = LayerBuilder,
) -> onnx.ModelProto:
    """`audio [B, T, channels]` and states to `latents [B, F, D]` and the states that follow."""
    graph = GraphBuilder("encoder")
    build = layers(graph, config, weights, ends)
    x, layer = before_encoder_lstm(build)
    if config.lstm_layers:
        x = build.lstm(x, f"encoder.{layer}")
    x = build.conv(build.elu(x), f"encoder.{layer + 1}", exact=True)
    graph.output(x, "latents", ["batch", "frames", config.dimension])
    if config.causal and give_states:
        _state_outputs(build)
    return graph.build()


def before_encoder_lstm(build: LayerBuilder) -> tuple[str, int]:
    """Input `audio` to one row per frame, and the number of the LSTM's layer."""
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
    return x, layer


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
    graph = GraphBuilder("decoder")
    build = layers(graph, config, weights, ends)
    entries = graph.input("entries", ["batch", "codebooks", "frames"], TensorProto.INT64)
    books = graph.constant(weights["codebooks"].reshape(-1, config.dimension), "codebooks")
    stages = graph.op("Transpose", entries, perm=[1, 0, 2])
    x = graph.op("ReduceSum", graph.op("Gather", books, stages), graph.integers(0), keepdims=0)
    x = build.conv(x, "decoder.0", exact=True)
    if config.lstm_layers:
        x = build.lstm(x, "decoder.1")
    layer, rows = 2, 1
    for ratio in config.ratios:
        x = build.up(build.elu(x), f"decoder.{layer}", ratio)
        layer, rows = layer + 1, rows * ratio
        for unit in range(config.n_residual_layers):
            x = build.residual(x, f"decoder.{layer}", config.dilation_base**unit, rows)
            layer += 1
    x = build.conv(build.elu(x), f"decoder.{layer}", rows_per_frame=rows)
    graph.output(x, "audio", ["batch", "samples", config.channels])
    if config.causal and give_states:
        _state_outputs(build)
    return graph.build()


def _state_outputs(build: LayerBuilder) -> None:
    for number, (value, shape) in enumerate(zip(build.states.following, _shapes(build), strict=True)):
        build.graph.output(value, f"next_{number}", ["batch", *shape])


def _shapes(build: LayerBuilder) -> Iterator[list[int | str]]:
    known = build.states.shapes
    for number, _ in enumerate(build.states.following):
        yield list(known[number]) if known else [f"rows_{number}", f"width_{number}"]
