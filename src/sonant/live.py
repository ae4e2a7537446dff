"""Codes in packets for networks that lose and reorder them: what to send, and what to play when.

The payload of a packet is its codes packed; 6 bytes before it say which frames they are.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from sonant.codes import Codes
from sonant.config import CodecConfig
from sonant.entropy.packing import pack_codes, packed_size, unpack_codes
from sonant.errors import ConfigError

HEAD = struct.Struct(">IBB")
NUMBERS = 1 << 32
FARTHEST_FRAMES = 225


@dataclass(frozen=True, eq=False)
class Packet:
    """Frames of a stream of a codec that streams frame by frame.

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
        return head + pack_codes(self.codes.values, config.bits_per_code)

    @staticmethod
    def from_bytes(data: bytes, config: CodecConfig) -> Packet | None:
        """What was sent, None if it is no packet of this codec."""
        if len(data) < HEAD.size:
            return None
        first, frames, n_q = HEAD.unpack_from(data)
        size = packed_size(frames * n_q, config.bits_per_code)
        if not frames or not 1 <= n_q <= config.n_q or len(data) != HEAD.size + size:
            return None
        values = unpack_codes(data[HEAD.size :], n_q, frames, config.bits_per_code)
        return Packet(first, Codes(values, frames * config.hop_length))


class JitterBuffer:
    """Puts packets in order and tells which frames are lost.

    It begins at the first packet that arrives, or at frame 0 if that is no more than `depth` before.
    Frames that arrive twice are played once.

    A packet more than 225 frames (3 s at 75 Hz), or `depth` if that is more, from the frame to play
    next has a damaged number, or the stream was interrupted or began anew. It is put aside. If the
    packet after it has another number as near to its own, what waits is played and the stream goes on
    with the two, from frame 0 if that is no more than `depth` before, with nothing between told as lost;
    else it is dropped. So it is too where numbers begin at 0 again after 2^32.

    Args:
        depth: frames that a missing packet is waited for; the delay that this adds.

    Attributes:
        late: packets dropped so far since what they hold had been played or told as lost before they came.
    """

    def __init__(self, depth: int) -> None:
        self._depth = depth
        self._waiting: dict[int, Codes] = {}
        self._next = self._end = 0
        self._begun = False
        self._aside: Packet | None = None
        self.late = 0

    def put(self, packet: Packet) -> list[Codes | int]:
        """Take a packet; give what can be played now: codes, or a number of frames that are lost."""
        return list(self._put(packet))

    def finish(self) -> list[Codes | int]:
        """Everything that is left."""
        return list(self._ready(0))

    def _put(self, packet: Packet) -> Iterator[Codes | int]:
        if not self._begun:
            self._begin(packet.first)
        elif not self._near(packet.first, self._next):
            yield from self._put_far(packet)
            return
        self._aside = None
        self._keep(packet)
        yield from self._ready(self._depth)

    def _put_far(self, packet: Packet) -> Iterator[Codes | int]:
        before, self._aside = self._aside, packet
        if before is None or before.first == packet.first or not self._near(before.first, packet.first):
            return
        yield from self._ready(0)
        self._aside = None
        self._begin(min(before.first, packet.first))
        self._keep(before)
        self._keep(packet)
        yield from self._ready(self._depth)

    def _near(self, first: int, other: int) -> bool:
        return abs(first - other) <= max(FARTHEST_FRAMES, self._depth)

    def _begin(self, first: int) -> None:
        self._next = self._end = 0 if first <= self._depth else first
        self._begun = True

    def _keep(self, packet: Packet) -> None:
        end = packet.first + packet.codes.frames
        if end <= self._next:
            self.late += 1
            return
        held = self._waiting.get(packet.first)
        if held is None or held.frames < packet.codes.frames:
            self._waiting[packet.first] = packet.codes
        self._end = max(self._end, end)

    def _ready(self, depth: int) -> Iterator[Codes | int]:
        while self._waiting:
            first = min(self._waiting)
            lost = first - self._next
            if lost > 0:
                if self._end - self._next <= depth:
                    return
                self._next = first
                yield lost
            codes, played = self._waiting.pop(first), self._next - first
            if played < codes.frames:
                self._next = first + codes.frames
                yield _after(played, codes)


def _after(first: int, codes: Codes) -> Codes:
    """Whole frames without the `first` of them."""
    hop = codes.length // codes.frames
    return codes.part(first, codes.frames, codes.length - first * hop)
