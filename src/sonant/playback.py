"""Codes and damages, in order, as audio without a gap."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sonant.audio import Audio
from sonant.codec import Codec
from sonant.codes import Codes
from sonant.concealment import ConcealingDecoder
from sonant.container.reader import Damage
from sonant.errors import FormatError

MOST_SILENCE_SECONDS = 3600
"""That damage may add to what a file holds: a small file could ask for days."""
FRAMES_AT_ONCE = 75
"""That are concealed, so that a long loss takes no more memory than a short one."""


@dataclass
class Player:
    """Decodes in order and fills what is damaged; audio is `[channels, samples]` at a time.

    Attributes:
        codec: whose codes they are.
        position: the sample that comes next; at first the one that the first piece begins at.
    """

    codec: Codec
    position: int

    def __post_init__(self) -> None:
        self._new_stream()
        self._origin, self._lost = self.position, 0
        self._end = self.position

    def _new_stream(self) -> None:
        streams = self.codec.config.streams
        self._stream = ConcealingDecoder(self.codec) if streams else self.codec.decoder()

    def play(self, start: int, codes: Codes) -> Iterator[Audio]:
        """The audio that is ready after a piece of codes that begins at sample `start`."""
        self._end = start + codes.length
        yield from self._advance(self._stream.push(codes))
        config = self.codec.config
        if config.segment is None and codes.length % config.hop_length:
            yield from self.stop()
            self._new_stream()

    def stop(self) -> Iterator[Audio]:
        """The audio that the decoder still holds."""
        yield from self._advance(self._stream.finish())

    def conceal(self, damage: Damage) -> Iterator[Audio]:
        """The last frame held while it fades, then silence, as long as what is lost.

        Raises:
            FormatError: if more is lost than a damaged file can be believed to have held.
        """
        config = self.codec.config
        held = self._end - self._origin - self._lost
        self._lost += damage.samples
        if self._lost > MOST_SILENCE_SECONDS * config.sample_rate + held:
            raise FormatError(f"the file is damaged: {self._lost / config.sample_rate:.0f} s are missing")
        if not damage.samples:
            return
        start, self._end = self._end, damage.start + damage.samples
        if isinstance(self._stream, ConcealingDecoder) and start % config.hop_length == 0:
            frames = config.frames_for(self._end - start)
            for first in range(0, frames, FRAMES_AT_ONCE):
                yield from self._advance(self._stream.lose(min(FRAMES_AT_ONCE, frames - first)))
            return
        held_end, self._end = self._end, start
        yield from self.stop()
        self._end = held_end
        self._new_stream()
        while self.position < self._end:
            silence = min(config.sample_rate, self._end - self.position)
            yield from self._advance(np.zeros((config.channels, silence), np.float32))

    def _advance(self, audio: Audio) -> Iterator[Audio]:
        """Pass on what is not beyond the end of the codes so far."""
        part = audio[:, : max(0, self._end - self.position)]
        self.position += part.shape[1]
        if part.shape[1]:
            yield part
