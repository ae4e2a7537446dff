"""Codes in packets for networks that lose and reorder them: what to send, and what to play when.

The payload of a packet is its codes packed; 6 bytes before it say which frames they are.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sonant.codes import Codes
from sonant.config import CodecConfig
from sonant.entropy.packing import pack, packed_size, unpack
from sonant.errors import ConfigError

HEAD = struct.Struct(">IBB")
NUMBERS = 1 << 32


@dataclass(frozen=True)
class Packet:
    """Frames of a stream of a codec without segments.

    Attributes:
        first: the number of its first frame in the stream, below 2^32: 1.8 years at 75 Hz.
        codes: whole frames, up to 255.
    """

    first: int
    codes: Codes

    def to_bytes(self, config: CodecConfig) -> bytes:
        """What to send.

        Raises:
            ConfigError: if it holds too many frames.
        """
        if not 0 < self.codes.frames < 256:
            raise ConfigError(f"a packet holds 1 to 255 frames, not {self.codes.frames}")
        head = HEAD.pack(self.first % NUMBERS, self.codes.frames, self.codes.n_q)
        return head + pack(np.ascontiguousarray(self.codes.values.T).reshape(-1), config.bits_per_code)

    @staticmethod
    def from_bytes(data: bytes, config: CodecConfig) -> Packet | None:
        """What was sent, None if it is no packet of this codec."""
        if len(data) < HEAD.size:
            return None
        first, frames, n_q = HEAD.unpack_from(data)
        count = frames * n_q
        size = packed_size(count, config.bits_per_code)
        if not frames or not 1 <= n_q <= config.n_q or len(data) != HEAD.size + size:
            return None
        values = unpack(data[HEAD.size :], count, config.bits_per_code).reshape(frames, n_q)
        return Packet(first, Codes(np.ascontiguousarray(values.T), frames * config.hop_length))


class JitterBuffer:
    """Puts packets in order and tells which frames are lost.

    Args:
        depth: frames that a missing packet is waited for; the delay that this adds.
    """

    def __init__(self, depth: int) -> None:
        self._depth = depth
        self._waiting: dict[int, Codes] = {}
        self._next = self._end = 0
        self.late = 0

    def put(self, packet: Packet) -> Iterator[Codes | int]:
        """Take a packet; give what can be played now: codes, or a number of frames that are lost."""
        if packet.first < self._next:
            self.late += 1
        else:
            self._waiting[packet.first] = packet.codes
            self._end = max(self._end, packet.first + packet.codes.frames)
        yield from self._ready(self._depth)

    def finish(self) -> Iterator[Codes | int]:
        """Everything that is left."""
        yield from self._ready(0)

    def _ready(self, depth: int) -> Iterator[Codes | int]:
        while self._waiting:
            first = min(self._waiting)
            if first > self._next:
                if self._end - self._next <= depth:
                    return
                yield first - self._next
            codes = self._waiting.pop(first)
            self._next = first + codes.frames
            yield codes
