"""The networks of one codec, run by ONNX Runtime, with states passed in and out."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from sonant.config import CodecConfig
from sonant.engine.backend import Backend
from sonant.engine.halves import Halves
from sonant.engine.precision import decoder_layers, encoder_layers
from sonant.engine.quantizer import quantizer_graph
from sonant.engine.seanet import Layers, decoder_graph, encoder_graph
from sonant.engine.sessions import session_of
from sonant.engine.states import STREAM, Ends
from sonant.engine.weights import Weights

Array = NDArray[np.float32]
State = tuple[Array, ...]

VECTORS_AT_ONCE = 300
"""In a search for codes, whose scores of all entries leave the caches with more."""


class Engine:
    """A codec's encoder, quantiser and decoder; immutable and safe to share between threads.

    Args:
        config, weights: of the model, as `sonant.models` gives them.
        backend: what computes; one thread of the processor in float32 by default.
    """

    def __init__(self, config: CodecConfig, weights: Weights, backend: Backend | None = None) -> None:
        self.config, self.backend = config, backend or Backend()
        self._weights = weights
        self._sessions: dict[object, ort.InferenceSession] = {}
        self._lock = threading.Lock()

    def encode(self, audio: Array, state: State | None, tail: bool) -> tuple[Array, State]:
        """Latents `[B, F, D]` of `audio [B, T, channels]` and the state after it.

        Args:
            state: after the samples before, or None at the start of the recording.
            tail: whether `audio` may end inside a frame; else T is a multiple of the hop length.
        """
        ends = Ends(stream=state is not None, tail=tail)
        if self.config.segment_length is not None and not ends.stream:
            wide = self._session(("audio", ends), lambda: self._halves.audio_to_rows(ends))
            narrow = self._session("latents", self._halves.rows_to_latents)
            return self._run(narrow, {"rows": _one_by_one(wide, audio)}, None)
        session = self._session(("encoder", ends), lambda: self._encoder_graph(ends))
        return self._run(session, {"audio": audio}, state)

    def decode(self, codes: NDArray[np.integer], state: State | None) -> tuple[Array, State]:
        """Audio `[B, F · hop, channels]` of `codes [B, n_q, F]` and the state after it."""
        ends = Ends(stream=state is not None, tail=False)
        entries = codes + np.arange(codes.shape[1], dtype=np.int64)[:, None] * self.config.bins
        if self.config.segment_length is not None and not ends.stream:
            narrow = self._session("rows", self._halves.entries_to_rows)
            wide = self._session("audio", self._halves.rows_to_audio)
            return _one_by_one(wide, narrow.run(None, {"entries": entries})[0]), ()
        session = self._session(("decoder", ends), lambda: self._decoder_graph(ends))
        return self._run(session, {"entries": entries}, state)

    def quantize(self, latents: Array, n_q: int, beam: int = 1) -> NDArray[np.int16]:
        """Codes `[B, n_q, F]` of latents `[B, F, D]`, searched for with `beam` beginnings kept."""
        session = self._session((n_q, beam), lambda: quantizer_graph(self.config, self._weights, n_q, beam))
        vectors = latents.reshape(1, -1, latents.shape[2])
        starts = range(0, max(1, vectors.shape[1]), VECTORS_AT_ONCE)
        blocks = [vectors[:, start : start + VECTORS_AT_ONCE] for start in starts]
        codes = np.concatenate([session.run(None, {"latents": block})[0] for block in blocks], axis=1)
        return codes.astype(np.int16).reshape(n_q, *latents.shape[:2]).transpose(1, 0, 2)

    @cached_property
    def encoder_start(self) -> State:
        """The state before the first sample of a stream padded with zeros, for one stream."""
        return self._zeros(("encoder", STREAM), lambda: self._encoder_graph(STREAM))

    @cached_property
    def decoder_start(self) -> State:
        """The state before the first frame, for one stream."""
        return self._zeros(("decoder", STREAM), lambda: self._decoder_graph(STREAM))

    def _encoder_graph(self, ends: Ends) -> onnx.ModelProto:
        return encoder_graph(self.config, self._weights, ends, layers=self._encoder_layers)

    def _decoder_graph(self, ends: Ends) -> onnx.ModelProto:
        return decoder_graph(self.config, self._weights, ends, layers=self._decoder_layers)

    @cached_property
    def _encoder_layers(self) -> Layers:
        return encoder_layers(self.config, self._weights, self.backend.precision)

    @cached_property
    def _decoder_layers(self) -> Layers:
        return decoder_layers(self.config, self._weights, self.backend.precision)

    @cached_property
    def _halves(self) -> Halves:
        return Halves(self.config, self._weights, self._encoder_layers, self._decoder_layers)

    def _zeros(self, key: object, build: Callable[[], onnx.ModelProto]) -> State:
        inputs = self._session(key, build).get_inputs()[1:]
        return tuple(np.zeros((1, *i.shape[1:]), np.float32) for i in inputs)

    def _run(
        self, session: ort.InferenceSession, feeds: dict[str, NDArray[Any]], state: State | None
    ) -> tuple[Array, State]:
        for number, array in enumerate(state or ()):
            feeds[f"state_{number}"] = array
        result, *following = session.run(None, feeds)
        return result, tuple(following)

    def _session(self, key: object, build: Callable[[], onnx.ModelProto]) -> ort.InferenceSession:
        with self._lock:
            if key not in self._sessions:
                self._sessions[key] = session_of(build(), self.backend)
            return self._sessions[key]


def _one_by_one(session: ort.InferenceSession, batch: Array) -> Array:
    """What a session with one input gives for every member of a batch on its own."""
    (name,) = (known.name for known in session.get_inputs())
    return np.concatenate([session.run(None, {name: batch[k : k + 1]})[0] for k in range(len(batch))])
