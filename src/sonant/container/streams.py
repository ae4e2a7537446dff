"""Reading binary streams that give less than was asked for: pipes, sockets, cut files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from sonant.errors import FormatError

PIECE = 1 << 16


class Reader(Protocol):
    """Anything with `read(size)`; it may return less than `size`, and nothing only at the end."""

    def read(self, size: int, /) -> bytes:
        """Up to `size` bytes."""


class Writer(Protocol):
    """Anything with `write(bytes)`."""

    def write(self, data: bytes, /) -> object:
        """Take all of `data`."""


def read_up_to(stream: Reader, size: int) -> bytes:
    """`size` bytes, or all that are left; memory grows with what arrives, not with `size`."""
    parts: list[bytes] = []
    missing = size
    while missing > 0 and (part := stream.read(min(missing, PIECE))):
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)


def read_exactly(stream: Reader, size: int, what: str) -> bytes:
    """Exactly `size` bytes of `what`.

    Raises:
        FormatError: if the stream ends before.
    """
    data = read_up_to(stream, size)
    if len(data) < size:
        raise FormatError(f"the file is cut off in its {what}")
    return data


class Rewindable:
    """A stream whose last bytes can be put back."""

    def __init__(self, stream: Reader) -> None:
        self._stream, self._back = stream, b""

    def read(self, size: int, /) -> bytes:
        """Up to `size` bytes."""
        if self._back:
            data, self._back = self._back[:size], self._back[size:]
            return data
        return self._stream.read(size)

    def unread(self, data: bytes) -> None:
        """Put bytes back, to be read next."""
        self._back = data + self._back


@contextmanager
def reading() -> Iterator[None]:
    """Errors of the system, while something is read, as a sentence.

    Raises:
        FormatError: in their place.
    """
    try:
        yield
    except OSError as error:
        raise FormatError(f"cannot be read ({error.strerror or error})") from None
