"""A range coder on integer frequencies (rANS): one number holds the message, a symbol at a time.

The frequencies of a symbol's alternatives sum to 2**20. Coding a symbol of frequency f that starts
at c turns the state x into (x // f) · 2**20 + c + x % f, which grows it by log2(2**20 / f) bits;
whenever it would leave 63 bits, its low 32 bits go out as a word. The decoder undoes this, so the
encoder works from the last symbol to the first. It starts from 1, and the decoder must end there.

Payload: the high half of the last state in 1 to 4 bytes, then the words, all big endian.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

PRECISION = 20
TOTAL = 1 << PRECISION
WORD_BITS = 32
LOWEST = 1 << 31

Integers = NDArray[np.int64]


def encode(starts: Integers, frequencies: Integers) -> bytes:
    """Code symbols given by where they start in `[0, 2**20)` and how wide they are, both `[N]`."""
    state, words = 1, []
    for start, frequency in zip(starts[::-1].tolist(), frequencies[::-1].tolist(), strict=True):
        if state >= frequency << (63 - PRECISION):
            words.append(state & 0xFFFFFFFF)
            state >>= WORD_BITS
        quotient, rest = divmod(state, frequency)
        state = (quotient << PRECISION) + rest + start
    if state >> WORD_BITS:
        words.append(state & 0xFFFFFFFF)
        state >>= WORD_BITS
    head = state.to_bytes(-(-state.bit_length() // 8), "big")
    return head + np.array(words[::-1], ">u4").tobytes()


class RangeDecoder:
    """Decodes several payloads side by side, one symbol of each at a time.

    Args:
        payloads: what `encode` gave; damaged ones decode to something and are not `intact`.
    """

    def __init__(self, payloads: Sequence[bytes]) -> None:
        heads = [(len(payload) - 1) % 4 + 1 if payload else 0 for payload in payloads]
        counts = [(len(payload) - head) // 4 for payload, head in zip(payloads, heads, strict=True)]
        self._words = np.zeros((len(payloads), max(counts) + 1), np.int64)
        for row, payload, head, count in zip(self._words, payloads, heads, counts, strict=True):
            row[:count] = np.frombuffer(payload, ">u4", count, head)
        self._counts = np.array(counts)
        self._next = np.zeros(len(payloads), np.int64)
        self._lanes = np.arange(len(payloads))
        self._state = np.array(
            [int.from_bytes(payload[:head], "big") for payload, head in zip(payloads, heads, strict=True)],
            np.int64,
        )
        while self._refill():
            pass  # no encoder begins with a zero, which takes more than one word

    def pull(self, cumulative: Integers) -> Integers:
        """The next symbol of every payload, `[lanes]`.

        Args:
            cumulative: `[lanes, bins + 1]`, from 0 to 2**20: where each alternative starts.
        """
        slot = self._state & (TOTAL - 1)
        symbols = (cumulative[:, 1:] <= slot[:, None]).sum(1)
        starts = cumulative[self._lanes, symbols]
        frequencies = cumulative[self._lanes, symbols + 1] - starts
        self._state = frequencies * (self._state >> PRECISION) + slot - starts
        self._refill()
        return symbols

    def _refill(self) -> bool:
        """Take a word where the state is low and one is left; whether there was any."""
        short = (self._state < LOWEST) & (self._next < self._counts)
        if not short.any():
            return False
        lanes = self._lanes[short]
        self._state[lanes] = self._state[lanes] << WORD_BITS | self._words[lanes, self._next[lanes]]
        self._next[lanes] += 1
        return True

    def intact(self) -> NDArray[np.bool_]:
        """After the last symbol: whether each payload ended as an encoder's does."""
        return (self._state == 1) & (self._next == self._counts)
