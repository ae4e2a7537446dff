"""Encoder and decoder of whole segments, each cut in two where rows are frames.

An LSTM reads its weights once for every frame, however many segments go through it side by side: eight
take two times as long as one. Convolutions take longer together, since their activations leave the caches.
So the half with one row for each frame takes segments together, the half with samples one after the other.
"""

from __future__ import annotations

from collections.abc import Callable

import onnx

from sonant.config import CodecConfig
from sonant.engine.graph import GraphBuilder, Shape
from sonant.engine.layers import LayerBuilder
from sonant.engine.seanet import (
    Layers,
    audio_of_frames,
    frames_of_audio,
    frames_of_entries,
    latents_of_frames,
)
from sonant.engine.states import START, Ends
from sonant.engine.weights import Weights


class Halves:
    """Graphs of the halves of a model's networks; between them lie `rows [B, F, C]`.

    Args:
        config, weights: of the model.
        layers: the precision's, of the encoder and of the decoder.
    """

    def __init__(self, config: CodecConfig, weights: Weights, encoder: Layers, decoder: Layers) -> None:
        self._config, self._weights = config, weights
        self._encoder, self._decoder = encoder, decoder
        self._shape: Shape = ["batch", "frames", config.bottleneck_channels]

    def audio_to_rows(self, ends: Ends) -> onnx.ModelProto:
        """`audio [B, T, channels]` to `rows`."""
        return self._to_rows(self._encoder, ends, frames_of_audio)

    def rows_to_latents(self) -> onnx.ModelProto:
        """`rows` to `latents [B, F, D]`."""
        return self._from_rows(self._encoder, latents_of_frames)

    def entries_to_rows(self) -> onnx.ModelProto:
        """`entries [B, n_q, F]` to `rows`."""
        return self._to_rows(self._decoder, START, frames_of_entries)

    def rows_to_audio(self) -> onnx.ModelProto:
        """`rows` to `audio [B, F · hop, channels]`."""
        return self._from_rows(self._decoder, audio_of_frames)

    def _to_rows(self, layers: Layers, ends: Ends, half: Callable[[LayerBuilder], str]) -> onnx.ModelProto:
        build = layers(GraphBuilder("half"), self._config, self._weights, ends)
        build.graph.output(half(build), "rows", self._shape)
        return build.graph.build()

    def _from_rows(self, layers: Layers, half: Callable[[LayerBuilder, str], None]) -> onnx.ModelProto:
        build = layers(GraphBuilder("half"), self._config, self._weights, START)
        half(build, build.graph.input("rows", self._shape))
        return build.graph.build()
