"""Standard input and output for bytes, which a program may have been started without."""

from __future__ import annotations

import sys
from typing import BinaryIO

from sonant.errors import SonantError


def standard_input() -> BinaryIO:
    """To read from.

    Raises:
        SonantError: if it is closed.
    """
    if sys.stdin is None:
        raise SonantError("standard input: is closed")
    return sys.stdin.buffer


def standard_output() -> BinaryIO:
    """To write to.

    Raises:
        SonantError: if it is closed.
    """
    if sys.stdout is None:
        raise SonantError("standard output: is closed")
    return sys.stdout.buffer
