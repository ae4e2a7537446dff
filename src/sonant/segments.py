"""Streams of a model that codes overlapping segments, each on its own (paper, section 3.1)."""

from __future__ import annotations

import numpy as np

from sonant.audio import Audio
from sonant.codes import Codes, are_volumes, join, split_segments
from sonant.engine.runtime import Engine
from sonant.errors import FormatError
from sonant.stepping import SEGMENTS_AT_ONCE, DecodeStep, EncodeStep, Job
from sonant.streams import DecoderStream, EncoderStream, SampleBuffer, check_codes, no_codes

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


class SegmentEncoder(EncoderStream):
    """Encoder stream: a segment's codes are out when all of its samples are in."""

    def __init__(self, engine: Engine, n_q: int, beam: int, *, latents: bool = False) -> None:
        config = engine.config
        assert config.segment_length is not None and config.segment_stride is not None
        self.engine, self._n_q, self._beam, self._keeps_latents = engine, n_q, beam, latents
        self._length, self._stride = config.segment_length, config.segment_stride
        self._buffer = SampleBuffer(config.channels)

    def check(self, piece: Audio) -> None:
        """See `Stream.check`."""
        self._buffer.check(piece)

    def pushing(self, piece: Audio) -> Job[Codes]:
        """See `Stream.pushing`."""
        self._buffer.append(piece)
        count = max(0, (self._buffer.length - self._length) // self._stride + 1)
        overlap = self._length - self._stride
        samples = self._buffer.take(count * self._stride + overlap if count else 0, keep=overlap)
        starts = range(0, count * self._stride, self._stride)
        return self._coding([(samples[:, start : start + self._length], self._stride) for start in starts])

    def finishing(self, piece: Audio | None = None) -> Job[Codes]:
        """See `Stream.finishing`."""
        self._buffer.append(piece)
        rest = self._buffer.close()
        length = rest.shape[1]
        segments = self.engine.config.segments(length)
        return self._coding(
            [(rest[:, s : s + samples], min(self._stride, length - s)) for s, samples in segments]
        )

    def _coding(self, segments: list[tuple[Audio, int]]) -> Job[Codes]:
        """Code segments, each with the samples that it adds to the recording."""
        pieces = [no_codes(self.engine.config, self._n_q, self._keeps_latents)]
        for start in range(0, len(segments), SEGMENTS_AT_ONCE):
            audios, added = zip(*segments[start : start + SEGMENTS_AT_ONCE], strict=True)
            volumes = [volume(audio) if self.engine.config.normalize else None for audio in audios]
            replies = yield [self._step(*pair) for pair in zip(audios, volumes, strict=True)]
            for ((values, latents), _), adds, loudness in zip(replies, added, volumes, strict=True):
                scales = None if loudness is None else np.array([loudness])
                pieces.append(Codes(values, adds, scales, latents if self._keeps_latents else None))
        return join(pieces)

    def _step(self, audio: Audio, loudness: np.float32 | None) -> EncodeStep:
        normalised = audio if loudness is None else audio / loudness
        samples = np.ascontiguousarray(normalised.T)
        return EncodeStep(samples, None, self._n_q, last=True, beam=self._beam)


class SegmentDecoder(DecoderStream):
    """Decoder stream: overlapping parts are added, weighted by a triangle and normalised."""

    def __init__(self, engine: Engine) -> None:
        config = engine.config
        assert config.segment_stride is not None
        self.engine, self._stride = engine, config.segment_stride
        self._sum = np.zeros((config.channels, 0), np.float32)
        self._weight = np.zeros(0, np.float32)
        self._window: Audio | None = None
        self._left = 0
        self._finished = False

    def check(self, piece: Codes) -> None:
        """See `Stream.check`."""
        if self._finished:
            raise FormatError("the stream is finished; begin a new one for more codes")
        check_codes(piece, self.engine.config)
        segments = sum(1 for _ in split_segments(piece, self.engine.config))
        if self.engine.config.normalize and (piece.scales is None or len(piece.scales) != segments):
            raise FormatError("the codes lack the volumes of their segments")
        if piece.scales is not None and not are_volumes(piece.scales):
            raise FormatError("the codes have a volume that is not from 0 to 10^13")

    def pushing(self, piece: Codes) -> Job[Audio]:
        """See `Stream.pushing`."""
        return self._decoding(piece)

    def finishing(self, piece: Codes | None = None) -> Job[Audio]:
        """See `Stream.finishing`."""
        self._finished = True
        return self._ending(piece)

    def _decoding(self, codes: Codes) -> Job[Audio]:
        self._left += codes.length
        parts = [self._sum[:, :0]]
        segments = [*split_segments(codes, self.engine.config)]
        scales = np.ones(len(segments), np.float32) if codes.scales is None else codes.scales
        for start in range(0, len(segments), SEGMENTS_AT_ONCE):
            together = segments[start : start + SEGMENTS_AT_ONCE]
            replies = yield [DecodeStep(values, None) for values, _ in together]
            for (audio, _), (_, samples), scale in zip(replies, together, scales[start:], strict=False):
                if self._window is None:
                    self._window = overlap_window(len(audio))
                self._add(audio[:samples].T * scale, self._window[:samples])
                parts.append(self._emit(self._stride))
        return np.concatenate(parts, axis=1)

    def _ending(self, codes: Codes | None) -> Job[Audio]:
        ready = (yield from self._decoding(codes)) if codes is not None else self._sum[:, :0]
        return np.concatenate([ready, self._emit(self._left)], axis=1)

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
        self._left -= done.shape[1]
        return done
