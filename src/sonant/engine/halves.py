"""Encoder and decoder of whole segments, each cut in two where rows are frames.

An LSTM reads its weights once for every frame, however many segments go through it side by side: eight
take two times as long as one. Convolutions take longer together, since their activations leave the caches.
So the half with one row for each frame takes segments together, the half with samples one after the other.
"""

from __future__ import annotations

import onnx

from sonant.config import CodecConfig
from sonant.engine.graph import GraphBuilder
from sonant.engine.layers import Ends, LayerBuilder, Weights
from sonant.engine.seanet import (
    Layers,
    audio_of_frames,
    frames_of_audio,
    frames_of_entries,
    latents_of_frames,
)

WHOLE = Ends(stream=False, tail=False)


class Halves:
    """Graphs of the halves of a model's networks; between them lie `rows [B, F, C]`.

    Args:
        config, weights: of the model.
        layers: the precision's, of the encoder and of the decoder.
    """

    def __init__(self, config: CodecConfig, weights: Weights, encoder: Layers, decoder: Layers) -> None:
        self._config, self._weights = config, weights
        self._encoder, self._decoder = encoder, decoder

    def audio_to_rows(self, ends: Ends) -> onnx.ModelProto:
        """`audio [B, T, channels]` to `rows`."""
        build = self._builder(self._encoder, ends)
        return self._with_rows(build, frames_of_audio(build))

    def rows_to_latents(self) -> onnx.ModelProto:
        """`rows` to `latents [B, F, D]`."""
        build = self._builder(self._encoder, WHOLE)
        latents_of_frames(build, self._rows(build))
        return build.graph.build()

    def entries_to_rows(self) -> onnx.ModelProto:
        """`entries [B, n_q, F]` to `rows`."""
        build = self._builder(self._decoder, WHOLE)
        return self._with_rows(build, frames_of_entries(build))

    def rows_to_audio(self) -> onnx.ModelProto:
        """`rows` to `audio [B, F · hop, channels]`."""
        build = self._builder(self._decoder, WHOLE)
        audio_of_frames(build, self._rows(build))
        return build.graph.build()

    def _builder(self, layers: Layers, ends: Ends) -> LayerBuilder:
        return layers(GraphBuilder("half"), self._config, self._weights, ends)

    def _rows(self, build: LayerBuilder) -> str:
        return build.graph.input("rows", ["batch", "frames", self._config.bottleneck_channels])

    def _with_rows(self, build: LayerBuilder, x: str) -> onnx.ModelProto:
        build.graph.output(x, "rows", ["batch", "frames", self._config.bottleneck_channels])
        return build.graph.build()
