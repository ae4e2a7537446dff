"""The index at the end of a version 1 file: where in the file, and when in the recording, chunks begin.

It lists every chunk's size in bytes and in samples as variable-length numbers, 5 bytes or so a chunk,
so that the index of ten hours is 36 kB.
"""

from __future__ import annotations

import zlib
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from operator import itemgetter
from typing import BinaryIO

import numpy as np

from sonant.container.streams import read_exactly
from sonant.container.version1 import CHUNK_FIXED, INDEX_END, INDEX_HEAD, INDEX_SYNC, INDEX_TAIL, MAX_INDEX
from sonant.errors import FormatError

LOST_BYTES = 1 << 20
"""Of chunks that an index may list though they are not there."""


def variable_length(number: int) -> bytes:
    """Seven bits a byte, the lowest first; the top bit says that more follow."""
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def read_numbers(data: bytes) -> list[int]:
    """All variable-length numbers in `data`.

    Raises:
        FormatError: if the last one is cut, or one is beyond 63 bits.
    """
    numbers, value, shift = [], 0, 0
    for byte in data:
        value |= (byte & 0x7F) << shift
        shift += 7
        if shift > 63:
            raise FormatError("the file is damaged: its index makes no sense")
        if byte < 0x80:
            numbers.append(value)
            value = shift = 0
    if shift:
        raise FormatError("the file is damaged: its index makes no sense")
    return numbers


@dataclass(frozen=True)
class Index:
    """Sizes of the chunks of a file, in order.

    Attributes:
        first: byte of the file that the first chunk begins at.
        sizes: of the chunks in bytes.
        samples: that they cover.
    """

    first: int
    sizes: tuple[int, ...]
    samples: tuple[int, ...]

    @property
    def length(self) -> int:
        """Samples of the recording."""
        return sum(self.samples)

    def to_bytes(self) -> bytes:
        """The index as it stands in a file."""
        numbers: Iterable[int] = (n for pair in zip(self.sizes, self.samples, strict=True) for n in pair)
        data = b"".join(map(variable_length, (self.first, *numbers)))
        body = INDEX_HEAD.pack(INDEX_SYNC, len(data)) + data
        size = len(body) + INDEX_TAIL.size
        return body + INDEX_TAIL.pack(zlib.crc32(body), size, INDEX_END)

    @cached_property
    def places(self) -> list[tuple[int, int]]:
        """For every chunk the byte of the file and the sample of the recording it begins at."""
        ends = accumulate(self.sizes, initial=self.first), accumulate(self.samples, initial=0)
        return list(zip(*ends, strict=True))[: len(self.sizes)]

    def chunk_at(self, sample: int) -> int:
        """The number of the chunk that holds a sample; the last one for samples beyond the end."""
        return max(0, bisect_right(self.places, sample, key=itemgetter(1)) - 1)


def parse_index(body: bytes, tail: bytes, before: int) -> Index:
    """The index from its head and numbers, and its tail.

    Args:
        body, tail: its bytes.
        before: bytes of the file before it. Many more chunks than fit there are not made into numbers,
            which take far more memory than their bytes.

    Raises:
        FormatError: if it is damaged.
    """
    crc, size, end = INDEX_TAIL.unpack(tail)
    if end != INDEX_END or size != len(body) + len(tail) or zlib.crc32(body) != crc:
        raise FormatError("the file is damaged: its index does not match its checksum")
    data = np.frombuffer(body, np.uint8, offset=INDEX_HEAD.size)
    if np.count_nonzero(data < 0x80) // 2 * CHUNK_FIXED > before + LOST_BYTES:
        raise FormatError("the file is damaged: its index makes no sense")
    first, *numbers = read_numbers(data.tobytes()) or [0]
    sizes, samples = tuple(numbers[::2]), tuple(numbers[1::2])
    if len(sizes) != len(samples):
        raise FormatError("the file is damaged: its index makes no sense")
    return Index(first, sizes, samples)


def find_index(file: BinaryIO) -> Index | None:
    """The index of a file that can seek, by reading its end; None if it has none.

    Raises:
        FormatError: if there is one that is damaged.
    """
    end = file.seek(0, 2)
    if end < INDEX_TAIL.size:
        return None
    file.seek(end - INDEX_TAIL.size)
    tail = read_exactly(file, INDEX_TAIL.size, "index")
    _, size, mark = INDEX_TAIL.unpack(tail)
    if mark != INDEX_END:
        return None
    if not INDEX_TAIL.size + INDEX_HEAD.size <= size <= min(end, MAX_INDEX):
        raise FormatError("the file is damaged: its index makes no sense")
    file.seek(end - size)
    return parse_index(read_exactly(file, size - INDEX_TAIL.size, "index"), tail, end - size)
