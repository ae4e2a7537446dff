"""Streams of a causal model: frames of one hop, codes as soon as the samples for them are there."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sonant.audio import Audio
from sonant.codes import Codes, join
from sonant.engine.runtime import Engine, State
from sonant.errors import AudioError, FormatError

BLOCK_FRAMES = 40
EXACT_START_FRAMES = 8


class EncoderStream(Protocol):
    """Audio in, codes out. `push` any number of samples, then `finish` once."""

    def push(self, samples: Audio) -> Codes:
        """Take samples `[channels, n]` in [-1, 1] at the model's rate; give the codes that are ready.

        Raises:
            AudioError: on a wrong number of channels, samples that are not finite, or after `finish`.
        """

    def finish(self) -> Codes:
        """The codes of what is left; the last frame may be incomplete."""


class DecoderStream(Protocol):
    """Codes in, audio out. `push` pieces in order, then `finish` once."""

    def push(self, codes: Codes) -> Audio:
        """Take a piece of codes; give the audio `[channels, samples]` that is ready.

        Raises:
            FormatError: on codes of another model, or after `finish`.
        """

    def finish(self) -> Audio:
        """The audio of what is left."""


class SampleBuffer:
    """Samples that wait for their frame or segment, with the checks that every stream makes."""

    def __init__(self, channels: int) -> None:
        self.samples = np.zeros((channels, 0), np.float32)
        self.finished = False

    def append(self, samples: Audio) -> None:
        """Add samples `[channels, n]`."""
        if self.finished:
            raise AudioError("the stream is finished; begin a new one for more audio")
        samples = np.asarray(samples, dtype=np.float32)
        if samples.ndim != 2 or samples.shape[0] != len(self.samples):
            wanted = len(self.samples)
            raise AudioError(f"this stream takes [{wanted}, n] samples, not {list(samples.shape)}")
        if not np.isfinite(samples).all():
            raise AudioError("the samples hold NaN or infinity; audio must be finite numbers")
        self.samples = np.concatenate([self.samples, samples], axis=1)

    def take(self, count: int) -> Audio:
        """Remove and return the first `count` samples."""
        taken, self.samples = self.samples[:, :count], self.samples[:, count:]
        return taken

    def close(self) -> Audio:
        """Return what is left and refuse any more; a second time there is nothing left."""
        self.finished = True
        return self.take(self.samples.shape[1])


class FrameEncoder:
    """Encoder stream of a causal model.

    With constant padding a frame's codes are out as soon as its samples are in. With reflect
    padding the exact stream starts after 8 frames and keeps one frame back, since the mirrored
    ends need it.
    """

    def __init__(self, engine: Engine, n_q: int, *, low_latency: bool = False) -> None:
        config = engine.config
        self._engine, self._n_q, self._hop = engine, n_q, config.hop_length
        self._exact_reflect = config.pad_mode == "reflect" and not low_latency
        self._state: State | None = None if self._exact_reflect else engine.encoder_start
        self._buffer = SampleBuffer(config.channels)

    def push(self, samples: Audio) -> Codes:
        """See `EncoderStream.push`."""
        self._buffer.append(samples)
        ready = self._buffer.samples.shape[1] // self._hop - self._exact_reflect
        if self._state is None and ready < EXACT_START_FRAMES:
            ready = 0
        return self._code(self._buffer.take(max(0, ready) * self._hop))

    def finish(self) -> Codes:
        """See `EncoderStream.finish`."""
        rest = self._buffer.close()
        whole = rest.shape[1] // self._hop * self._hop
        if self._exact_reflect or whole == 0:
            return self._code(rest, tail=True)
        codes = self._code(rest[:, :whole])
        tail = self._code(rest[:, whole:], tail=True)
        return Codes(np.concatenate([codes.values, tail.values], axis=1), codes.length + tail.length)

    def _code(self, samples: Audio, tail: bool = False) -> Codes:
        if samples.shape[1] == 0:
            return Codes(np.zeros((self._n_q, 0), np.int16), 0)
        parts: list[NDArray[np.int16]] = []
        audio = np.ascontiguousarray(samples.T[None])
        step = audio.shape[1] if tail else BLOCK_FRAMES * self._hop
        for start in range(0, audio.shape[1], step):
            latents, self._state = self._engine.encode(audio[:, start : start + step], self._state, tail)
            parts.append(self._engine.quantize(latents, self._n_q)[0])
        return Codes(np.concatenate(parts, axis=1), samples.shape[1])


class FrameDecoder:
    """Decoder stream of a causal model.

    With constant padding a frame's audio is out as soon as its codes are in. With reflect padding
    the exact stream starts after 8 frames.
    """

    def __init__(self, engine: Engine, *, low_latency: bool = False) -> None:
        self._engine = engine
        exact_reflect = engine.config.pad_mode == "reflect" and not low_latency
        self._state: State | None = None if exact_reflect else engine.decoder_start
        self._waiting: list[Codes] = []
        self._finished = False

    def push(self, codes: Codes) -> Audio:
        """See `DecoderStream.push`."""
        if self._finished:
            raise FormatError("the stream is finished; begin a new one for more codes")
        if self._state is None:
            self._waiting.append(codes)
            if sum(piece.frames for piece in self._waiting) < EXACT_START_FRAMES:
                return self._nothing()
            codes, self._waiting = join(self._waiting), []
        return self._decode(codes)

    def finish(self) -> Audio:
        """See `DecoderStream.finish`."""
        self._finished = True
        waiting, self._waiting = self._waiting, []
        return self._decode(join(waiting)) if waiting else self._nothing()

    def _nothing(self) -> Audio:
        return np.zeros((self._engine.config.channels, 0), np.float32)

    def _decode(self, codes: Codes) -> Audio:
        parts = [self._nothing()]
        for start in range(0, codes.frames, BLOCK_FRAMES):
            block = codes.values[None, :, start : start + BLOCK_FRAMES].astype(np.int64)
            audio, self._state = self._engine.decode(block, self._state)
            parts.append(audio[0].T)
        return np.concatenate(parts, axis=1)[:, : codes.length]
