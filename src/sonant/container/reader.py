"""The chunks of version 1 files: from any stream in order, or from a file by number."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from sonant.container.index import Index, parse_index
from sonant.container.streams import PIECE, Reader, read_up_to
from sonant.container.version1 import (
    CHUNK_FIXED,
    CHUNK_SYNC,
    INDEX_END,
    INDEX_HEAD,
    INDEX_SYNC,
    INDEX_TAIL,
    MAX_CHUNK,
    MAX_INDEX,
    Chunk,
    Header,
    may_begin_chunk,
    parse_chunk,
    payload_size,
)
from sonant.errors import FormatError

_SYNC = re.compile(b"|".join(map(re.escape, (CHUNK_SYNC, INDEX_SYNC))))


@dataclass(frozen=True)
class Damage:
    """A part of a file that cannot be read.

    Attributes:
        start: sample of the recording where it begins.
        samples: that are lost; 0 where nothing of the recording is, or nobody knows how much.
        reason: what is wrong, as part of a sentence.
    """

    start: int
    samples: int
    reason: str


class ChunkReader:
    """The chunks of a stream, in order, and what is wrong with it.

    After damage it goes on at the next chunk that matches its checksum. Memory stays below two chunks, or
    a few times the index.
    """

    def __init__(self, stream: Reader, header: Header) -> None:
        self._stream, self._header = stream, header
        self._buffer = bytearray()
        self._ended = False
        self._position = 0
        self._read = 0
        self.index: Index | None = None

    def __iter__(self) -> Iterator[Chunk | Damage]:
        """All chunks; each lost stretch as one `Damage`, and at the end one if there is no index."""
        problem = ""
        while self._have(2) and self.index is None:
            if chunk := self._chunk():
                yield from self._gap(chunk, problem)
                problem = ""
                self._position = chunk.start + chunk.samples
                yield chunk
            elif not self._index():
                problem = problem or "data that does not match its checksum"
                self._skip()
        yield from self._end(problem)

    def _gap(self, chunk: Chunk, problem: str) -> Iterator[Damage]:
        if problem or chunk.start != self._position:
            lost = max(0, chunk.start - self._position)
            yield Damage(self._position, lost, problem or "a chunk is missing")

    def _end(self, problem: str) -> Iterator[Damage]:
        length = self.index.length if self.index else self._position
        if problem or length > self._position:
            lost = max(0, length - self._position)
            yield Damage(self._position, lost, problem or "a chunk is missing")
        elif self.index and self._have(1):
            yield Damage(self._position, 0, "data after its end; files are put together by sonant join")
        elif self.index is None:
            yield Damage(self._position, 0, "the file ends without its index: it is cut off or unfinished")

    def _have(self, size: int) -> bool:
        while len(self._buffer) < size and not self._ended:
            part = self._stream.read(min(size - len(self._buffer), PIECE))
            self._ended = not part
            self._read += len(part)
            self._buffer += part
        return len(self._buffer) >= size

    def _chunk(self) -> Chunk | None:
        if self._buffer[:2] != CHUNK_SYNC or not self._have(CHUNK_FIXED):
            return None
        if not may_begin_chunk(self._buffer, self._header.hop_length):
            return None
        size = CHUNK_FIXED + payload_size(self._buffer)
        if not self._have(size):
            return None
        chunk = parse_chunk(bytes(self._buffer[:size]), self._header.hop_length)
        if chunk is None or chunk.start < self._position:
            return None
        del self._buffer[:size]
        return chunk

    def _index(self) -> bool:
        if self._buffer[:2] != INDEX_SYNC or not self._have(INDEX_HEAD.size):
            return False
        _, size = INDEX_HEAD.unpack_from(self._buffer)
        whole = INDEX_HEAD.size + size + INDEX_TAIL.size
        if size > MAX_INDEX or not self._have(whole):
            return False
        if INDEX_TAIL.unpack_from(self._buffer, whole - INDEX_TAIL.size)[1:] != (whole, INDEX_END):
            return False
        data = bytes(self._buffer[:whole])
        try:
            before = self._read - len(self._buffer)
            self.index = parse_index(data[: -INDEX_TAIL.size], data[-INDEX_TAIL.size :], before)
        except FormatError:
            del self._buffer[: whole - 1]  # no other index begins in it: trying each takes their square
            return False
        del self._buffer[:whole]
        return True

    def _skip(self) -> None:
        """Drop bytes up to the next that could begin a chunk or the index."""
        self._have(2 * CHUNK_FIXED)
        found = _SYNC.search(self._buffer, 1)
        keep_last = len(self._buffer) - 1 if self._buffer[-1] == CHUNK_SYNC[0] else len(self._buffer)
        del self._buffer[: found.start() if found else max(1, keep_last)]


def read_chunk_at(file: BinaryIO, index: Index, number: int, header: Header) -> Chunk | Damage:
    """One chunk of a file that can seek, by its number in the index, which has to agree with it."""
    (offset, start), size = index.places[number], index.sizes[number]
    samples = index.samples[number]
    damage = Damage(start, samples, "data that does not match its checksum")
    if size > MAX_CHUNK or offset > file.seek(0, 2):
        return damage
    file.seek(offset)
    data = read_up_to(file, size)
    if len(data) < CHUNK_FIXED or data[:2] != CHUNK_SYNC or len(data) != CHUNK_FIXED + payload_size(data):
        return damage
    chunk = parse_chunk(data, header.hop_length)
    return chunk if chunk and (chunk.start, chunk.samples) == (start, samples) else damage
