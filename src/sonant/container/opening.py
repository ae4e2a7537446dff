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
    try:
        file = Path(source).open("rb")  # noqa: SIM115 - closed by the with below
    except IsADirectoryError:
        raise FormatError(f"{source}: is a directory; name the .ecdc files in it") from None
    except OSError as error:
        raise FormatError(f"{source}: cannot be read ({error.strerror})") from None
    with file:
        yield file
