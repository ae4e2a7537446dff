"""Streams of a model that codes overlapping segments, each on its own (paper, section 3.1)."""

from __future__ import annotations

import numpy as np

from sonant.audio import Audio
from sonant.codes import Codes, join, split_segments
from sonant.engine.runtime import Engine
from sonant.errors import FormatError
from sonant.streams import SampleBuffer

VOLUME_FLOOR = 1e-8


def volume(audio: Audio) -> np.float32:
    """Root mean square of the channels' mean, `[channels, samples]`, plus 1e-8."""
    mono = audio.mean(axis=0)
    return np.float32(np.sqrt(np.mean(np.square(mono))) + np.float32(VOLUME_FLOOR))


def overlap_window(samples: int) -> Audio:
    """Triangular weights 0.5 − |t − 0.5| at t = 1/(L+1) … L/(L+1), for a recording's first segment.

    Shorter segments after it take the beginning of the same weights.
    """
    t = np.linspace(0, 1, samples + 2, dtype=np.float32)[1:-1]
    return np.float32(0.5) - np.abs(t - np.float32(0.5))


class SegmentEncoder:
    """Encoder stream: a segment's codes are out when all of its samples are in."""

    def __init__(self, engine: Engine, n_q: int) -> None:
        config = engine.config
        assert config.segment_length is not None and config.segment_stride is not None
        self._engine, self._n_q = engine, n_q
        self._length, self._stride = config.segment_length, config.segment_stride
        self._buffer = SampleBuffer(config.channels)
        self._nothing = Codes(
            np.zeros((n_q, 0), np.int16), 0, np.zeros(0, np.float32) if config.normalize else None
        )

    def push(self, samples: Audio) -> Codes:
        """See `EncoderStream.push`."""
        self._buffer.append(samples)
        pieces = [self._nothing]
        while self._buffer.samples.shape[1] >= self._length:
            pieces.append(self._segment(self._buffer.samples[:, : self._length], self._stride))
            self._buffer.take(self._stride)
        return join(pieces)

    def finish(self) -> Codes:
        """See `EncoderStream.finish`."""
        rest = self._buffer.close()
        pieces = [self._nothing]
        for start, samples in self._engine.config.segments(rest.shape[1]):
            adds = min(self._stride, rest.shape[1] - start)
            pieces.append(self._segment(rest[:, start : start + samples], adds))
        return join(pieces)

    def _segment(self, audio: Audio, adds: int) -> Codes:
        scales = None
        if self._engine.config.normalize:
            scales = np.array([volume(audio)], np.float32)
            audio = audio / scales[0]
        latents, _ = self._engine.encode(np.ascontiguousarray(audio.T[None]), None, tail=True)
        return Codes(self._engine.quantize(latents, self._n_q)[0], adds, scales)


class SegmentDecoder:
    """Decoder stream: overlapping parts are added, weighted by a triangle and normalised."""

    def __init__(self, engine: Engine) -> None:
        config = engine.config
        assert config.segment_stride is not None
        self._engine, self._stride = engine, config.segment_stride
        self._sum = np.zeros((config.channels, 0), np.float32)
        self._weight = np.zeros(0, np.float32)
        self._window: Audio | None = None
        self._finished = False

    def push(self, codes: Codes) -> Audio:
        """See `DecoderStream.push`."""
        if self._finished:
            raise FormatError("the stream is finished; begin a new one for more codes")
        if self._engine.config.normalize and codes.scales is None:
            raise FormatError("the codes lack the volumes of their segments")
        parts = [self._sum[:, :0]]
        for number, (values, samples) in enumerate(split_segments(codes, self._engine.config)):
            audio, _ = self._engine.decode(values[None].astype(np.int64), None)
            if self._window is None:
                self._window = overlap_window(audio.shape[1])
            decoded = audio[0, :samples].T
            if codes.scales is not None:
                decoded = decoded * codes.scales[number]
            self._add(decoded, self._window[:samples])
            if samples == self._engine.config.segment_length:
                parts.append(self._emit(self._stride))
        return np.concatenate(parts, axis=1)

    def finish(self) -> Audio:
        """See `DecoderStream.finish`."""
        self._finished = True
        return self._emit(self._sum.shape[1])

    def _add(self, decoded: Audio, window: Audio) -> None:
        samples = decoded.shape[1]
        missing = max(0, samples - self._sum.shape[1])
        self._sum = np.pad(self._sum, ((0, 0), (0, missing)))
        self._weight = np.pad(self._weight, (0, missing))
        self._sum[:, :samples] += decoded * window
        self._weight[:samples] += window

    def _emit(self, samples: int) -> Audio:
        done = self._sum[:, :samples] / self._weight[:samples]
        self._sum, self._weight = self._sum[:, samples:], self._weight[samples:]
        return done
