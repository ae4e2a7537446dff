"""WAV files whose writer was stopped before it could put the size of the samples into the header."""

from __future__ import annotations

import os
import re
from pathlib import Path

from sonant.audio.wav_pipe import WavPipeSource

BEGINNING = re.compile(rb"R(?:IFF|F64).{4}WAVE", re.DOTALL)
CHUNK = re.compile(rb"([ -~]{4})(.{4})", re.DOTALL)
"""Name and size."""


class UnfinishedWavSource(WavPipeSource):
    """Such a file, read to its end.

    Raises:
        AudioError: if its samples are of a kind that no pipe has.
    """

    def __init__(self, path: Path) -> None:
        file = path.open("rb")
        try:
            super().__init__(file, str(path))
        except BaseException:
            file.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._pipe.close()


def lacks_its_size(path: Path) -> bool:
    """Whether a WAV says that it has no samples, but has something after that which is no chunks either."""
    end, empty = path.stat().st_size, False
    with path.open("rb") as file:
        if not BEGINNING.fullmatch(file.read(12)):
            return False
        while file.tell() < end:
            head = file.read(8)
            chunk = CHUNK.fullmatch(head)
            size = int.from_bytes(chunk[2], "little") if chunk else 0
            if not chunk or file.tell() + size > end:
                return empty and len(head) == 8
            empty = empty or (chunk[1] == b"data" and not size)
            file.seek(size + size % 2, os.SEEK_CUR)
    return False
