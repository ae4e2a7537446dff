"""Random access to samples in compressed and flat files, without decoding what lies before them."""

from __future__ import annotations

import io
import os
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from sonant.audio.libsndfile import AudioFile, file_name, reason_of
from sonant.errors import AudioError
from sonant.training.manifest import Recording

OPEN_FILES = 128
PREROLL = {"MP3": 16_384, "OGG": 4096}

Samples = NDArray[np.float32]


class TarMember(io.RawIOBase):
    """The bytes of one member of a tar, as a file of their own."""

    def __init__(self, path: str, offset: int, size: int) -> None:
        self._file = open(path, "rb")  # noqa: SIM115
        self._offset, self._size, self._place = offset, size, 0

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def seek(self, place: int, whence: int = io.SEEK_SET) -> int:
        """Move within the member."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._size}[whence]
        self._place = max(0, base + place)
        return self._place

    def tell(self) -> int:
        """The place within the member."""
        return self._place

    def readinto(self, buffer) -> int:  # type: ignore[no-untyped-def]
        """Read up to the end of the member."""
        self._file.seek(self._offset + self._place)
        count = min(len(buffer), max(0, self._size - self._place))
        data = self._file.read(count)
        buffer[: len(data)] = data
        self._place += len(data)
        return len(data)

    def close(self) -> None:
        """Close the tar."""
        self._file.close()
        super().close()


@contextmanager
def _silent_decoder() -> Iterator[None]:
    """The MP3 decoder writes to standard error when it starts inside a file, as it must here."""
    kept = os.dup(2)
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(null)


class SampleReader:
    """Reads pieces of recordings and keeps the files open that were read last.

    A process that forks from one which has read opens files of its own: both would move in those.
    """

    def __init__(self) -> None:
        self._process = os.getpid()
        self._open: OrderedDict[tuple[str, int], AudioFile] = OrderedDict()
        self._flat: dict[str, NDArray[np.int16]] = {}

    def __reduce__(self) -> tuple[object, ...]:
        """A copy, as in another process, opens files of its own."""
        return SampleReader, ()

    def read(self, recording: Recording, start: int, count: int) -> Samples:
        """Samples `[start, start + count)` of the file as `[T, channels]`, fewer at its end.

        Raises:
            AudioError: if the file cannot be read there.
        """
        if recording.file.endswith(".pcm"):
            return self._read_flat(recording, start, count)
        try:
            file = self._opened(recording)
            preroll = min(start, PREROLL.get(file.format, 0))
            with _silent_decoder() if file.format == "MP3" else nullcontext():
                file.seek(start - preroll)
                return file.read(count + preroll, dtype="float32", always_2d=True)[preroll:]
        except (soundfile.LibsndfileError, OSError, RuntimeError) as error:
            raise AudioError(f"{recording.name}: cannot be read ({reason_of(error)})") from None

    def _opened(self, recording: Recording) -> AudioFile:
        key = (recording.file, recording.offset)
        if self._process != os.getpid():
            self._process, self._open = os.getpid(), OrderedDict()
        if key not in self._open:
            self._open[key] = open_recording(recording)
            if len(self._open) > OPEN_FILES:
                self._open.popitem(last=False)[1].close()
        self._open.move_to_end(key)
        return self._open[key]

    def _read_flat(self, recording: Recording, start: int, count: int) -> Samples:
        if recording.file not in self._flat:
            try:
                mapped = np.memmap(recording.file, dtype="<i2", mode="r").reshape(-1, recording.channels)
            except (OSError, ValueError) as error:
                raise AudioError(f"{recording.file}: cannot be read ({reason_of(error)})") from None
            self._flat[recording.file] = mapped
        piece = self._flat[recording.file][start : start + count]
        return piece.astype(np.float32) / np.float32(32768)


def open_recording(recording: Recording) -> AudioFile:
    """Open a recording's file, or its member of a tar.

    Raises:
        AudioError: if there is no audio that libsndfile reads.
    """
    if not Path(recording.file).is_file():
        raise AudioError(f"{recording.file}: no such file")
    if recording.in_a_tar and not recording.size:
        raise AudioError(f"{recording.name}: is empty")
    try:
        if recording.in_a_tar:
            member = TarMember(recording.file, recording.offset, recording.size)
            return AudioFile(io.BufferedReader(member))
        return AudioFile(file_name(recording.file))
    except (soundfile.LibsndfileError, OSError) as error:
        raise AudioError(f"{recording.name}: is not audio that can be read ({reason_of(error)})") from None
