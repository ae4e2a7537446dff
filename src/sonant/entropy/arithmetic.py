"""The arithmetic coder of version 0 files, bit for bit that of the official tool.

The interval `[low, high]` is widened bit by bit until it is at least 2**24 wide, narrowed to the
share of the symbol, and loses the leading bits that `low` and `high` agree on. The shares are
computed in float64, as the official tool does, so the bytes are the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from sonant.errors import FormatError

RANGE_BITS = 24
TOTAL = 1 << RANGE_BITS
MIN_RANGE = 2
ROUND_OFF = np.float32(1e-8)

Cumulative = NDArray[np.int64]


def cumulative_ranges(probabilities: NDArray[np.float32]) -> Cumulative:
    """Ends of the shares of 2**24 that `[…, bins]` probabilities get; the last may stay below 2**24.

    A symbol that is all but certain can be rounded so far up that all shares together are over 2**24: the
    official tool gives up there, here the largest share gives way.
    """
    bins = probabilities.shape[-1]
    rounded = np.floor(probabilities / ROUND_OFF) * ROUND_OFF
    ranges = np.floor(np.float32(TOTAL - MIN_RANGE * bins) * rounded).astype(np.int64) + MIN_RANGE
    excess = np.maximum(ranges.sum(axis=-1, keepdims=True) - TOTAL, 0)
    largest = ranges.argmax(axis=-1, keepdims=True)
    np.put_along_axis(ranges, largest, ranges.max(axis=-1, keepdims=True) - excess, axis=-1)
    return np.cumsum(ranges, axis=-1)


class ArithmeticEncoder:
    """Collects symbols; `finish` gives the bytes."""

    def __init__(self) -> None:
        self._low, self._high, self._width = 0, 0, 0
        self._bits: list[int] = []
        self._bytes = bytearray()

    def push(self, symbol: int, cumulative: Cumulative) -> None:
        """Code one symbol under the shares whose ends are `cumulative`, `[bins]`."""
        while self._high - self._low + 1 < TOTAL:
            self._low, self._high, self._width = 2 * self._low, 2 * self._high + 1, self._width + 1
        scale = (self._high - self._low + 1) / TOTAL
        start = int(cumulative[symbol - 1]) if symbol else 0
        self._high = self._low + math.floor((int(cumulative[symbol]) - 1) * scale)
        self._low = self._low + math.ceil(start * scale)
        self._shed_common_bits()

    def _shed_common_bits(self) -> None:
        unsettled = (self._low ^ self._high).bit_length()
        self._emit(self._low >> unsettled, self._width - unsettled)
        mask = (1 << unsettled) - 1
        self._low, self._high, self._width = self._low & mask, self._high & mask, unsettled

    def _emit(self, value: int, count: int) -> None:
        self._bits.extend(value >> k & 1 for k in range(count - 1, -1, -1))
        if len(self._bits) >= 1 << 13:
            whole = len(self._bits) & ~7
            self._bytes += np.packbits(self._bits[:whole], bitorder="little").tobytes()
            del self._bits[:whole]

    def finish(self) -> bytes:
        """All bytes of the run; the encoder is done."""
        self._emit(self._low, self._width)
        return bytes(self._bytes) + np.packbits(np.array(self._bits, np.uint8), bitorder="little").tobytes()


class ArithmeticDecoder:
    """Gives back symbols, taking no more bytes than the encoder wrote.

    Args:
        next_byte: gives the next byte of the stream as a number; raises at its end.
    """

    def __init__(self, next_byte: Callable[[], int]) -> None:
        self._low, self._high, self._width, self._current = 0, 0, 0, 0
        self._next_byte = next_byte
        self._byte, self._bits_left = 0, 0

    def _next_bit(self) -> int:
        if not self._bits_left:
            self._byte, self._bits_left = self._next_byte(), 8
        bit = self._byte & 1
        self._byte, self._bits_left = self._byte >> 1, self._bits_left - 1
        return bit

    def pull(self, cumulative: Cumulative) -> int:
        """The next symbol under the shares that it was coded with.

        Raises:
            FormatError: if the bits stand for no symbol.
        """
        while self._high - self._low + 1 < TOTAL:
            self._low, self._high, self._width = 2 * self._low, 2 * self._high + 1, self._width + 1
            self._current = 2 * self._current + self._next_bit()
        scale = (self._high - self._low + 1) / TOTAL
        ends = np.floor((cumulative - 1) * scale).astype(np.int64)
        symbol = int(np.searchsorted(ends, self._current - self._low))
        if symbol == len(ends):
            raise FormatError("the file is damaged: its entropy-coded data makes no sense")
        start = int(cumulative[symbol - 1]) if symbol else 0
        low = self._low + math.ceil(start * scale)
        if self._current < low:
            raise FormatError("the file is damaged: its entropy-coded data makes no sense")
        self._low, self._high = low, self._low + int(ends[symbol])
        unsettled = (self._low ^ self._high).bit_length()
        mask = (1 << unsettled) - 1
        self._low, self._high, self._width = self._low & mask, self._high & mask, unsettled
        self._current &= mask
        return symbol
