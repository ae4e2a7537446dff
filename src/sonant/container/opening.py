"""Where .ecdc files are read from: a path, or standard input."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from sonant.errors import FormatError
from sonant.standard_streams import PIPE, standard_input


@contextmanager
def open_ecdc(source: str | Path) -> Iterator[BinaryIO]:
    """An .ecdc file or standard input, for reading.

    Raises:
        FormatError: if it cannot be opened.
    """
    if str(source) == PIPE:
        yield standard_input()
        return
    with open_path(source) as file:
        yield file


def open_path(path: str | Path) -> BinaryIO:
    """An .ecdc file, for reading.

    Raises:
        FormatError: if it cannot be opened.
    """
    try:
        return Path(path).open("rb")
    except IsADirectoryError:
        raise FormatError(f"{path}: is a directory; name the .ecdc files in it") from None
    except OSError as error:
        raise FormatError(f"{path}: cannot be read ({error.strerror})") from None
