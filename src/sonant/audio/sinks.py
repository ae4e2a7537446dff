"""Audio written in blocks, to files by their ending and to pipes as WAV."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np
import soundfile

from sonant.audio.convert import Audio
from sonant.audio.wav_pipe import wav_header
from sonant.errors import AudioError

FORMATS = {".wav": ("WAV", "PCM_16"), ".flac": ("FLAC", "PCM_16"), ".ogg": ("OGG", "VORBIS")}


class Sink(Protocol):
    """Something that takes audio in blocks."""

    def write(self, audio: Audio) -> None:
        """Add `[channels, samples]`; what exceeds [-1, 1] is clipped."""

    def close(self) -> None:
        """Finish the file."""


class FileSink:
    """A file at `path`, of the kind that `name` ends in: wav and flac with 16 bits, or ogg (Vorbis).

    Raises:
        AudioError: on another ending, or a rate or number of channels the format does not have.
    """

    def __init__(self, path: Path, name: Path, sample_rate: int, channels: int) -> None:
        check_ending(name)
        kind, subtype = FORMATS[name.suffix.lower()]
        try:
            self._file = soundfile.SoundFile(path, "w", sample_rate, channels, subtype, format=kind)
        except soundfile.LibsndfileError as error:
            raise AudioError(f"{name}: cannot be written ({error.error_string})") from None

    def write(self, audio: Audio) -> None:
        """See `Sink.write`."""
        self._file.write(np.clip(audio, -1, 1).T)

    def close(self) -> None:
        """See `Sink.close`."""
        self._file.close()


class PipeSink:
    """WAV with 16 bits to a pipe, flushed after every block."""

    def __init__(self, pipe: BinaryIO, sample_rate: int, channels: int, samples: int | None) -> None:
        self._pipe = pipe
        pipe.write(wav_header(sample_rate, channels, samples))

    def write(self, audio: Audio) -> None:
        """See `Sink.write`."""
        scaled = np.rint(np.clip(audio.T, -1, 1) * 32767).astype("<i2")
        self._pipe.write(np.ascontiguousarray(scaled).tobytes())
        self._pipe.flush()

    def close(self) -> None:
        """The pipe is not ours to close."""
        self._pipe.flush()


def check_ending(name: Path) -> None:
    """Raise AudioError unless audio can be written to a file of this name."""
    if name.suffix.lower() not in FORMATS:
        kinds = ", ".join(FORMATS)
        raise AudioError(f"{name}: audio is written as {kinds}; choose one of these endings")
