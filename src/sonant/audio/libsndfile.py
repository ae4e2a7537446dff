"""What libsndfile needs to be told."""

from __future__ import annotations

import os
from pathlib import Path

import soundfile

UNKNOWN_LENGTH = 2**63 - 1
"""Frames of a file, such as a FLAC that was written to a pipe, that does not say how many it has."""


def file_name(path: str | Path) -> str | bytes:
    """A path as its bytes, of which some are no UTF-8; on Windows, where all are text, as text."""
    return os.fspath(path) if os.name == "nt" else os.fsencode(path)


def reason_of(error: Exception) -> str:
    """What is wrong, without the name that libsndfile has for the file: it may be bytes or an object."""
    return error.error_string if isinstance(error, soundfile.LibsndfileError) else str(error)


class AudioFile(soundfile.SoundFile):  # type: ignore[misc]
    """A file that is read without seeking where libsndfile does not know the length, and so cannot."""

    def seekable(self) -> bool:
        """Whether soundfile may seek, as it does after every read, and cuts reads to what is left."""
        return self.frames < UNKNOWN_LENGTH and bool(super().seekable())
