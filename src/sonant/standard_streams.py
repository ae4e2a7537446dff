"""Standard input and output for bytes, which a program may have been started without."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import BinaryIO, TextIO

from sonant.errors import SonantError

PIPE = "-"
"""What is named in place of a file."""


def standard_input() -> BinaryIO:
    """To read from; SonantError if it is closed."""
    return _for_bytes(sys.stdin, "standard input")


def standard_output() -> BinaryIO:
    """To write to; SonantError if it is closed."""
    return _for_bytes(sys.stdout, "standard output")


def _for_bytes(stream: TextIO | None, name: str) -> BinaryIO:
    """One that waits: programs leave pipes that do not, whose pauses would be taken for the end."""
    if stream is None:
        raise SonantError(f"{name}: is closed")
    with suppress(OSError, AttributeError):  # what is no file, or Windows before Python 3.12
        os.set_blocking(stream.fileno(), True)
    return stream.buffer
