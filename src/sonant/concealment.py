"""Frames that were lost: what the decoder plays in their place, without a click."""

from __future__ import annotations

import numpy as np

from sonant.audio import Audio
from sonant.codec import Codec
from sonant.codes import Codes

FADE_FRAMES = 8


class ConcealingDecoder:
    """A decoder stream of a codec that streams frame by frame, that also takes losses.

    A lost frame is the first code of the last frame once more, and the louder parts fade: after 8
    frames there is silence. The first codebook alone, the coarse shape of the sound, buzzes less than
    the whole frame repeated. The next frame that arrives fades in; it goes on in the same decoder, or
    after a longer loss in a fresh one, whose memory is silence and not a sound held for too long.

    Without `low_latency` a model with reflect padding gives nothing before it has 8 frames. If one of these
    is lost, and after a longer loss, it begins as with `low_latency`.

    Args:
        codec: one whose config `streams`.
        low_latency: as for `Codec.decoder`.
    """

    def __init__(self, codec: Codec, *, low_latency: bool = False) -> None:
        self._codec, self._hop = codec, codec.config.hop_length
        self._stream = codec.decoder(low_latency=low_latency)
        self._waiting: list[Codes] = []
        self._last: Codes | None = None
        self._lost = 0
        self._gain = np.float32(1)

    def push(self, codes: Codes) -> Audio:
        """Take frames that arrived; give audio `[channels, samples]` as `Stream.push` does.

        Raises:
            FormatError: as `Stream.push`.
        """
        self._stream.check(codes)
        if self._lost > FADE_FRAMES:
            self._stream = self._codec.decoder(low_latency=True)
        audio = self._stream.push(codes)
        if codes.frames:
            self._waiting = [] if audio.shape[1] else [*self._waiting, codes]
            held = codes.values[:1, -1:]
            self._last, self._lost = Codes(held, self._hop), 0
        if self._gain < 1 and audio.shape[1]:
            self._ramp(audio[:, : self._hop], np.float32(1))
        return audio

    def lose(self, frames: int) -> Audio:
        """Give `frames` · hop samples in place of frames that are lost, after those of frames that wait."""
        held = min(frames, max(0, FADE_FRAMES - self._lost)) if self._last is not None else 0
        parts = self._begun() if frames else []
        parts.append(np.zeros((self._codec.config.channels, 0), np.float32))
        for _ in range(held):
            assert self._last is not None
            self._lost += 1
            audio = self._stream.push(self._last)
            self._ramp(audio, np.float32(1 - self._lost / FADE_FRAMES))
            parts.append(audio)
        rest = frames - held
        if rest:
            self._lost = max(self._lost, FADE_FRAMES) + rest
            self._gain = np.float32(0)
            parts.append(np.zeros((self._codec.config.channels, rest * self._hop), np.float32))
        return np.concatenate(parts, axis=1)

    def finish(self) -> Audio:
        """See `Stream.finish`."""
        self._waiting = []
        return self._stream.finish()

    def _begun(self) -> list[Audio]:
        """The audio of frames that wait, from a stream that does not wait for more of them."""
        if self._waiting:
            self._stream = self._codec.decoder(low_latency=True)
        waiting, self._waiting = self._waiting, []
        return [self._stream.push(codes) for codes in waiting]

    def _ramp(self, audio: Audio, gain: np.float32) -> None:
        """From the gain of the sample before to another, in place."""
        audio *= np.linspace(self._gain, gain, audio.shape[1] + 1, dtype=np.float32)[1:]
        self._gain = gain
