"""Streams of models without segments: frames of one hop, codes as soon as their samples are there."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import groupby
from typing import Generic, TypeVar

import numpy as np

from sonant.audio import LOUDEST, Audio, floats
from sonant.codes import Codes, join
from sonant.config import CodecConfig
from sonant.engine.runtime import Engine, State
from sonant.errors import AudioError, ConfigError, FormatError
from sonant.stepping import DecodeStep, EncodeStep, Job, run_together

BLOCK_FRAMES = 40
EXACT_START_FRAMES = 8

Piece = TypeVar("Piece")
Ready = TypeVar("Ready")


class Stream(ABC, Generic[Piece, Ready]):
    """Pieces in, what is ready of them out: `push` any number of pieces in order, then `finish`."""

    engine: Engine

    def push(self, piece: Piece) -> Ready:
        """Take a piece; give what is ready.

        An encoder takes samples, floats `[channels, n]` in [-1, 1] at the model's rate, and gives
        codes; a decoder takes codes and gives audio `[channels, samples]`.

        Raises:
            AudioError: from an encoder, on a wrong number of channels, samples that are no floats, not
                finite or beyond 10^12, or after `finish`.
            FormatError: from a decoder, on codes of another model, or after `finish`.
        """
        self.check(piece)
        return run_together(self.engine, [self.pushing(piece)])[0]

    def finish(self) -> Ready:
        """What is left; an encoder's last frame may be incomplete. A second time there is nothing."""
        return run_together(self.engine, [self.finishing()])[0]

    @abstractmethod
    def check(self, piece: Piece) -> None:
        """Raise what `push` would."""

    @abstractmethod
    def pushing(self, piece: Piece) -> Job[Ready]:
        """Take a piece that was checked; what `push` then runs."""

    @abstractmethod
    def finishing(self, piece: Piece | None = None) -> Job[Ready]:
        """Take a last piece that was checked, if there is one; what `finish` then runs."""


EncoderStream = Stream[Audio, Codes]
DecoderStream = Stream[Codes, Audio]


def push_all(streams: Sequence[Stream[Piece, Ready]], pieces: Sequence[Piece]) -> list[Ready]:
    """Push `pieces[k]` into `streams[k]`, all encoders or all decoders of one codec.

    What is ready is what pushing one by one gives; the networks run on many streams as one batch.

    Raises:
        SonantError: what `push` raises for any of them, or if they are of two codecs or one is there
            twice; no stream has then taken anything.
    """
    _check_together(streams)
    for stream, piece in zip(streams, pieces, strict=True):
        stream.check(piece)
    jobs = [stream.pushing(piece) for stream, piece in zip(streams, pieces, strict=True)]
    return run_together(streams[0].engine, jobs) if jobs else []


def finish_all(streams: Sequence[Stream[Piece, Ready]]) -> list[Ready]:
    """Finish many streams of one codec at once.

    Raises:
        SonantError: if they are of two codecs or one is there twice.
    """
    _check_together(streams)
    return run_together(streams[0].engine, [stream.finishing() for stream in streams]) if streams else []


def _check_together(streams: Sequence[Stream[Piece, Ready]]) -> None:
    if len({id(stream) for stream in streams}) < len(streams):
        raise ConfigError("a stream is there twice; push its pieces one after the other")
    if len({id(stream.engine) for stream in streams}) > 1:
        raise ConfigError("the streams are of different codecs; push those of one codec together")


class SampleBuffer:
    """Samples that wait for their frame or segment, with the checks that every stream makes."""

    def __init__(self, channels: int) -> None:
        self.channels, self.length, self.finished = channels, 0, False
        self._pieces: list[Audio] = []

    def check(self, samples: Audio) -> None:
        """Raise AudioError unless these samples can be added."""
        if self.finished:
            raise AudioError("the stream is finished; begin a new one for more audio")
        shape = floats(samples).shape
        if len(shape) != 2 or shape[0] != self.channels:
            raise AudioError(f"this stream takes [{self.channels}, n] samples, not {list(shape)}")
        if not float(np.abs(samples).max(initial=0)) <= LOUDEST:
            raise AudioError(
                f"the samples hold NaN, infinity or more than {LOUDEST:g}; audio is in [-1, 1]"
            )

    def append(self, samples: Audio | None) -> None:
        """Add samples `[channels, n]`, if there are any."""
        if samples is not None and (piece := np.array(samples, np.float32)).size:
            self._pieces.append(piece)
            self.length += piece.shape[1]

    def take(self, count: int, keep: int = 0) -> Audio:
        """Return the first `count` samples, and remove them but for the last `keep`."""
        nothing = np.zeros((self.channels, 0), np.float32)
        if not count:
            return nothing
        samples = np.concatenate([nothing, *self._pieces], axis=1)
        self._pieces = [samples[:, count - keep :].copy()]
        self.length -= count - keep
        return samples[:, :count]

    def close(self) -> Audio:
        """Return what is left and refuse any more; a second time there is nothing left."""
        self.finished = True
        return self.take(self.length)


class FrameEncoder(EncoderStream):
    """Encoder stream of a model without segments.

    With constant padding a frame's codes are out as soon as its samples are in. With reflect
    padding the exact stream starts after 8 frames and keeps one frame back, since the mirrored
    ends need it. A model that looks ahead gives all at the end.
    """

    def __init__(
        self, engine: Engine, n_q: int, beam: int, *, low_latency: bool = False, latents: bool = False
    ) -> None:
        config = engine.config
        self.engine, self._n_q, self._beam, self._hop = engine, n_q, beam, config.hop_length
        self._keeps_latents = latents
        self._first_frames = _first_frames(config, low_latency)
        self._keeps_a_frame = self._first_frames > 0
        self._state: State | None = None if self._keeps_a_frame else engine.encoder_start
        self._buffer = SampleBuffer(config.channels)

    def check(self, piece: Audio) -> None:
        """See `Stream.check`."""
        self._buffer.check(piece)

    def pushing(self, piece: Audio) -> Job[Codes]:
        """See `Stream.pushing`."""
        self._buffer.append(piece)
        ready = self._buffer.length // self._hop - self._keeps_a_frame
        if self._state is None and ready < self._first_frames:
            ready = 0
        return self._coding(self._buffer.take(ready * self._hop))

    def finishing(self, piece: Audio | None = None) -> Job[Codes]:
        """See `Stream.finishing`."""
        self._buffer.append(piece)
        return self._coding(self._buffer.close(), last=True)

    def _coding(self, samples: Audio, last: bool = False) -> Job[Codes]:
        pieces = [no_codes(self.engine.config, self._n_q, self._keeps_latents)]
        audio = np.ascontiguousarray(samples.T)
        block = max(1, len(audio) if last else BLOCK_FRAMES * self._hop)
        for start in range(0, len(audio), block):
            step = EncodeStep(audio[start : start + block], self._state, self._n_q, last, self._beam)
            (((values, latents), self._state),) = yield [step]
            pieces.append(Codes(values, len(step), None, latents if self._keeps_latents else None))
        return join(pieces)


def _first_frames(config: CodecConfig, low_latency: bool) -> float:
    """Frames that a stream waits for at its start; all, where what comes later changes every frame."""
    if not config.causal:
        return math.inf
    return EXACT_START_FRAMES if config.pad_mode == "reflect" and not low_latency else 0


def no_codes(config: CodecConfig, n_q: int, latents: bool) -> Codes:
    """What a stream gives where nothing is ready."""
    scales = np.zeros(0, np.float32) if config.normalize else None
    kept = np.zeros((0, config.dimension), np.float32) if latents else None
    return Codes(np.zeros((n_q, 0), np.int16), 0, scales, kept)


class FrameDecoder(DecoderStream):
    """Decoder stream of a model without segments.

    With constant padding a frame's audio is out as soon as its codes are in. With reflect padding
    the exact stream starts after 8 frames, or with the first of another number of codebooks, and then
    as with `low_latency`. A model that looks ahead gives all at the end.
    """

    def __init__(self, engine: Engine, *, low_latency: bool = False) -> None:
        self.engine = engine
        self._first_frames = _first_frames(engine.config, low_latency)
        self._state: State | None = None if self._first_frames else engine.decoder_start
        self._waiting: list[Codes] = []
        self._waiting_frames = 0
        self._finished = False

    def check(self, piece: Codes) -> None:
        """See `Stream.check`."""
        if self._finished:
            raise FormatError("the stream is finished; begin a new one for more codes")
        check_codes(piece, self.engine.config)

    def pushing(self, piece: Codes) -> Job[Audio]:
        """See `Stream.pushing`."""
        self._wait_for(piece)
        if self._state is None and self._waiting_frames < self._first_frames:
            return self._decoding([])
        return self._decoding(self._no_longer_waiting())

    def finishing(self, piece: Codes | None = None) -> Job[Audio]:
        """See `Stream.finishing`."""
        self._finished = True
        if piece is not None:
            self._wait_for(piece)
        return self._decoding(self._no_longer_waiting(), last=True)

    def _wait_for(self, piece: Codes) -> None:
        """Keep a piece until it is decoded; codes that begin together are of one number of codebooks."""
        if piece.frames:
            others = self._waiting and self._waiting[0].n_q != piece.n_q
            if self._state is None and others and self.engine.config.causal:
                self._state = self.engine.decoder_start
            self._waiting.append(piece)
            self._waiting_frames += piece.frames

    def _no_longer_waiting(self) -> list[Codes]:
        pieces, self._waiting, self._waiting_frames = self._waiting, [], 0
        return pieces

    def _decoding(self, pieces: list[Codes], last: bool = False) -> Job[Audio]:
        config = self.engine.config
        parts = [np.zeros((config.channels, 0), np.float32)]
        alike = [join([*group]) for _, group in groupby(pieces, lambda piece: piece.n_q)]
        for codes in alike:
            size = BLOCK_FRAMES if config.causal else codes.frames
            for start in range(0, codes.frames, size):
                block = codes.values[:, start : start + size]
                ends = last and codes is alike[-1] and start + size >= codes.frames
                ((audio, state),) = yield [DecodeStep(block, self._state, ends)]
                self._state = state if config.causal else None
                parts.append(audio.T)
        return np.concatenate(parts, axis=1)[:, : sum(codes.length for codes in alike)]


def check_codes(codes: Codes, config: CodecConfig) -> None:
    """Raise FormatError unless a model can decode these codes."""
    if not isinstance(codes, Codes):
        raise FormatError(f"codes are sonant.Codes(values, length), not {type(codes).__name__}")
    values = codes.values
    if not isinstance(values, np.ndarray):
        raise FormatError(f"the values of codes are an int16 array, not {type(values).__name__}")
    if values.ndim != 2 or not 1 <= codes.n_q <= config.n_q:
        wanted = f"[n_q, frames] with n_q from 1 to {config.n_q}"
        raise FormatError(f"{config.name} takes codes {wanted}, not {list(values.shape)}")
    if values.dtype.kind not in "iu":
        raise FormatError(f"codes are whole numbers, not {values.dtype}")
    if values.size and not 0 <= int(values.min()) <= int(values.max()) < config.bins:
        raise FormatError(f"codes outside 0 … {config.bins - 1}")
    if config.segment_length is None and codes.frames != config.frames_for(codes.length):
        raise FormatError(f"{codes.frames} frames are not what {codes.length} samples give")
