"""The beginning of an .ecdc file of any version, mended if a single byte of it is wrong."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from sonant.container import version0, version1
from sonant.container.streams import Reader, Rewindable, read_exactly, read_up_to
from sonant.errors import FormatError

MENDABLE = 1 << 12
MENDABLE_BY_TRIAL = 1 << 10

AnyHeader = version0.Header | version1.Header


def probe(stream: Reader) -> tuple[AnyHeader, Rewindable, bool]:
    """Read the header of a file.

    Returns:
        The header, the stream that the rest is to be read from, and whether the header was damaged and
        could be mended.

    Raises:
        FormatError: if it is no .ecdc file, of a later version, or damaged beyond that.
    """
    source = _Recorder(stream)
    try:
        return _header(source), Rewindable(stream), False
    except FormatError as error:
        data = bytes(source.seen) + read_up_to(stream, MENDABLE - len(source.seen))
        mended = mended_header(data)
        if mended is None:
            raise error
        header, size = mended
        rest = Rewindable(stream)
        rest.unread(data[size:])
        return header, rest, True


class _Recorder:
    """Passes bytes on and remembers them."""

    def __init__(self, stream: Reader) -> None:
        self._stream, self.seen = stream, bytearray()

    def read(self, size: int, /) -> bytes:
        data = self._stream.read(size)
        self.seen += data
        return data


def _header(source: Reader) -> AnyHeader:
    prefix = read_up_to(source, version0.PREFIX.size)
    if not prefix:
        raise FormatError("is empty")
    if not version0.MAGIC.startswith(prefix[: len(version0.MAGIC)]):
        raise FormatError("the file is not .ecdc")
    if len(prefix) < version0.PREFIX.size:
        raise FormatError("the file is cut off in its header")
    _, version, size = version0.PREFIX.unpack(prefix)
    if version not in (version0.VERSION, version1.VERSION):
        raise FormatError(f"the file is .ecdc of version {version}, which is newer than this program")
    if size > (version1.MAX_METADATA if version else version0.MAX_METADATA):
        raise FormatError("the file is damaged: its header claims to be too long")
    if version == version0.VERSION:
        return version0.parse_metadata(read_exactly(source, size, "header"))
    return version1.parse_rest(prefix, read_exactly(source, size + version1.CRC.size, "header"))


def mended_header(data: bytes) -> tuple[version1.Header, int] | None:
    """A version 1 header in which one byte is wrong, and its size; None if there is no such.

    The checksum, 32 bits for some hundred bytes, tells which byte it is.
    """
    for candidate in _candidates(data):
        body, crc = candidate[: -version1.CRC.size], candidate[-version1.CRC.size :]
        prefix = version1.PREFIX.size
        try:
            header = version1.parse_rest(body[:prefix], body[prefix:] + crc)
        except FormatError:
            continue
        return header, len(candidate)
    return None


def _candidates(data: bytes) -> Iterator[bytes]:
    """Whole headers that match their checksum and differ from `data` in one byte."""
    prefix, crc = version1.PREFIX, version1.CRC
    for size in range(2, len(data) - prefix.size - crc.size + 1):
        head = prefix.pack(version1.MAGIC, version1.VERSION, size)
        if sum(a != b for a, b in zip(head, data, strict=False)) > 1:
            continue
        end = prefix.size + size
        body, stored = head + data[prefix.size : end], data[end : end + crc.size]
        actual = crc.pack(zlib.crc32(body))
        if sum(a != b for a, b in zip(actual, stored, strict=True)) <= 1:
            yield body + actual
        elif head == data[: prefix.size] and size <= MENDABLE_BY_TRIAL:
            yield from _with_one_byte_changed(body, crc.unpack(stored)[0])


def _with_one_byte_changed(body: bytes, wanted: int) -> Iterator[bytes]:
    changed = bytearray(body)
    for place in range(version1.PREFIX.size, len(body)):
        for value in range(256):
            changed[place] = value
            if zlib.crc32(changed) == wanted:
                yield bytes(changed) + version1.CRC.pack(wanted)
        changed[place] = body[place]
