"""Files that are written whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sonant.errors import SonantError

PARTIAL = ".partial"
NO_ROOM = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}
"""Errors that only writing has."""
LONGEST_NAME = 220
"""Bytes; what is added must not make it longer than file systems allow, which is 255."""


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """A name beside `target` to write to; what is there becomes `target` if all goes well, else it goes.

    Who may read a `target` that was there may read the new one; an error for want of room names it. Of
    several that write one target at a time, in threads or on machines, each has a name of its own, and the
    last to end stays.
    """
    own = f"{os.getpid()}.{os.urandom(4).hex()}"
    temporary = target.with_name(f"{_beginning(target)}{own}{PARTIAL}")
    try:
        yield temporary
        if target.exists():
            shutil.copymode(target, temporary)
        os.replace(temporary, target)
    except OSError as error:
        if error.filename is None and error.errno in NO_ROOM:
            error.filename = str(target)
        raise
    finally:
        temporary.unlink(missing_ok=True)


def remove_partials(target: Path) -> None:
    """Remove what killed processes left of `target`, where no other process can be writing it."""
    own = re.compile(rf"{re.escape(_beginning(target))}\d+(\.[0-9a-f]{{8}})?{re.escape(PARTIAL)}")
    for file in target.parent.iterdir():
        if own.fullmatch(file.name):
            file.unlink(missing_ok=True)


def _beginning(target: Path) -> str:
    """Of the temporary names of a target: its own, or what tells a long one from others."""
    name = os.fsencode(target.name)
    if len(name) <= LONGEST_NAME:
        return f".{target.name}."
    return f".{hashlib.sha256(name).hexdigest()}."


@contextmanager
def replacing_output(target: Path) -> Iterator[Path]:
    """As `replacing`, for a file that the user has named; a symbolic link stays, its file is replaced.

    Raises:
        SonantError: if it cannot be written.
    """
    try:
        with replacing(Path(os.path.realpath(target))) as temporary:
            yield temporary
    except OSError as error:
        raise SonantError(f"{target}: cannot be written ({error.strerror or error})") from None


def write_output(target: Path, text: str) -> None:
    """A file of text in UTF-8, as `replacing_output` has it.

    Raises:
        SonantError: if it cannot be written.
    """
    with replacing_output(target) as temporary:
        temporary.write_text(text, encoding="utf-8")
