"""Audio written in blocks, to files by their ending and to pipes as WAV."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
import soundfile
from numpy.typing import NDArray

from sonant.audio.convert import Audio
from sonant.audio.libsndfile import reason_of
from sonant.audio.wav_pipe import wav_header
from sonant.errors import AudioError

FORMATS = {".wav": ("WAV", "PCM_16"), ".flac": ("FLAC", "PCM_16"), ".ogg": ("OGG", "VORBIS")}
VORBIS_HIGHEST = 200_000
"""Hz; libsndfile crashes beyond it."""


class Sink(Protocol):
    """Something that takes audio in blocks."""

    def write(self, audio: Audio) -> None:
        """Add `[channels, samples]`; what exceeds [-1, 1] is clipped."""

    def close(self) -> None:
        """Finish the file."""


class FileSink:
    """A file at `path`, of the kind that `name` ends in: wav and flac with 16 bits, or ogg (Vorbis).

    A `comment` is kept in it.

    Raises:
        AudioError: on another ending, or a rate or number of channels the format does not have.
    """

    def __init__(self, path: Path, name: Path, sample_rate: int, channels: int, comment: str = "") -> None:
        check_ending(name)
        kind, subtype = FORMATS[name.suffix.lower()]
        if subtype == "VORBIS" and sample_rate > VORBIS_HIGHEST:
            raise AudioError(f"{name}: .ogg has rates up to {VORBIS_HIGHEST} Hz, not {sample_rate}")
        self._bytes = _WatchedFile(path, "w+")
        try:
            self._file = soundfile.SoundFile(self._bytes, "w", sample_rate, channels, subtype, format=kind)
        except soundfile.LibsndfileError as error:
            self._bytes.close()
            raise AudioError(f"{name}: cannot be written ({reason_of(error)})") from None
        if comment:
            self._file.comment = comment
        self._name, self._whole_numbers = name, subtype == "PCM_16"

    def write(self, audio: Audio) -> None:
        """See `Sink.write`.

        Raises:
            AudioError: if there is no room for it.
        """
        samples = sixteen_bits(audio) if self._whole_numbers else np.clip(audio, -1, 1).T
        try:
            self._file.write(samples)
        except (soundfile.LibsndfileError, AssertionError) as error:  # soundfile asserts that all was taken
            self._check()
            raise AudioError(f"{self._name}: cannot be written ({reason_of(error)})") from None
        self._check()

    def close(self) -> None:
        """See `Sink.close`.

        Raises:
            AudioError: if there was no room for the end.
        """
        self._file.close()
        self._bytes.close()
        self._check()

    def _check(self) -> None:
        error = self._bytes.error
        if isinstance(error, OSError):
            raise AudioError(f"{self._name}: cannot be written ({error.strerror})")
        if error:
            raise error


class _WatchedFile(io.FileIO):
    """Keeps what ended a write: libsndfile tells not of all errors, and of no signal."""

    error: BaseException | None = None

    def write(self, data: Any) -> int:
        """All bytes, or 0 where there was an error."""
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[super().write(rest) :]
        except BaseException as error:
            self.error = error
            return 0
        return len(data)


class PipeSink:
    """WAV with 16 bits to a pipe, flushed after every block."""

    def __init__(self, pipe: BinaryIO, sample_rate: int, channels: int, samples: int | None) -> None:
        self._pipe = pipe
        pipe.write(wav_header(sample_rate, channels, samples))

    def write(self, audio: Audio) -> None:
        """See `Sink.write`."""
        self._pipe.write(sixteen_bits(audio).astype("<i2").tobytes())
        self._pipe.flush()

    def close(self) -> None:
        """The pipe is not ours to close."""
        self._pipe.flush()


def sixteen_bits(audio: Audio) -> NDArray[np.int16]:
    """`[channels, samples]` as `[samples, channels]` in units of 2⁻¹⁵, rounded and clipped."""
    return np.clip(np.rint(audio.T * 32768), -32768, 32767).astype(np.int16)


def check_ending(name: Path) -> None:
    """Raise AudioError unless audio can be written to a file of this name."""
    if name.suffix.lower() not in FORMATS:
        kinds = ", ".join(FORMATS)
        raise AudioError(f"{name}: audio is written as {kinds}; choose one of these endings")
