"""Numbers of a fixed few bits in bytes, the least significant bit first, without gaps."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BLOCK = 1 << 16


def packed_size(count: int, bits: int) -> int:
    """Bytes that `count` numbers of `bits` bits take."""
    return -(-count * bits // 8)


def pack_codes(values: NDArray[np.int16], bits: int) -> bytes:
    """Codes `[n_q, frames]` packed frame by frame."""
    return pack(np.ascontiguousarray(values.T).reshape(-1), bits)


def unpack_codes(data: bytes, n_q: int, frames: int, bits: int) -> NDArray[np.int16]:
    """Codes `[n_q, frames]` that `pack_codes` has packed; `data` must hold them."""
    return np.ascontiguousarray(unpack(data, frames * n_q, bits).reshape(frames, n_q).T)


def pack(values: NDArray[np.integer], bits: int) -> bytes:
    """Pack a flat array of numbers in `[0, 2**bits)`, `bits` ≤ 16; the last byte is filled with zeros."""
    parts = []
    for start in range(0, len(values), BLOCK):
        two_bytes = values[start : start + BLOCK].astype("<u2")[:, None].view(np.uint8)
        each_bit = np.unpackbits(two_bytes, axis=1, count=bits, bitorder="little")
        parts.append(np.packbits(each_bit, bitorder="little").tobytes())
    return b"".join(parts)


def unpack(data: bytes, count: int, bits: int) -> NDArray[np.int16]:
    """The first `count` numbers of `bits` bits, `bits` < 16, in `data`, which must hold them."""
    source = np.frombuffer(data, np.uint8)
    values = np.empty(count, np.int16)
    for start in range(0, count, BLOCK):
        stop = min(start + BLOCK, count)
        part = source[start * bits // 8 : packed_size(stop, bits)]
        each_bit = np.unpackbits(part, count=(stop - start) * bits, bitorder="little")
        two_bytes = np.zeros((stop - start, 16), np.uint8)
        two_bytes[:, :bits] = each_bit.reshape(-1, bits)
        values[start:stop] = np.packbits(two_bytes, axis=1, bitorder="little").view("<i2")[:, 0]
    return values
