"""Audio files and pipes as blocks of float32 `[channels, samples]` in [-1, 1]."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain, groupby
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np
import soundfile

from sonant.audio.convert import LOUDEST, Audio, check_source_rate, mix_channels, resampled
from sonant.audio.libsndfile import AudioFile, file_name, reason_of
from sonant.audio.wav_file import UnfinishedWavSource, lacks_its_size
from sonant.errors import AudioError, MissingDependencyError

BLOCK_SECONDS = 8.0
AUDIO_ENDINGS = frozenset(
    {".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aiff", ".aif", ".au", ".caf"}
    | {".m4a", ".aac", ".mp4", ".webm", ".mka"}
)
"""What files of a folder are taken for recordings."""


class Source(Protocol):
    """Something that gives audio in blocks.

    Attributes:
        sample_rate, channels: its own, the rate in Hz.
    """

    sample_rate: int
    channels: int

    def blocks(self) -> Iterator[Audio]:
        """Blocks of `[channels, samples]` until the end."""

    def close(self) -> None:
        """Release the file."""


class SoundfileSource:
    """What libsndfile reads: wav, flac, ogg, opus, mp3, aiff and more; `name` is for errors."""

    def __init__(self, file: AudioFile, name: str) -> None:
        self._file, self._name = file, name
        self.sample_rate: int = file.samplerate
        self.channels: int = file.channels
        self.frames: int = file.frames

    def blocks(self) -> Iterator[Audio]:
        """Blocks of a few seconds.

        Raises:
            AudioError: if the file turns out to be damaged.
        """
        size = max(1, min(int(self.sample_rate * BLOCK_SECONDS), self.frames))
        while len(block := self._read(size)):
            yield np.ascontiguousarray(block.T)

    def _read(self, size: int) -> Audio:
        try:
            return self._file.read(size, dtype="float32", always_2d=True)
        except (soundfile.LibsndfileError, OSError) as error:
            raise AudioError(f"{self._name}: is damaged ({reason_of(error)})") from None

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class PyAVSource:
    """What FFmpeg reads beyond libsndfile: m4a, aac, webm, g722, … through PyAV.

    Raises:
        AudioError: if FFmpeg cannot open it, or finds no audio in it.
    """

    def __init__(self, file: str | Path | BinaryIO) -> None:
        import av

        self._file = file
        with _errors_of_ffmpeg(f"{file}: is not audio that can be read"):
            self._container = av.open(f"file:{file}" if isinstance(file, Path) else file)
        tracks = [track for track in self._container.streams.audio if track.codec_context and track.rate]
        if not tracks:
            self._container.close()
            raise AudioError(f"{file}: has no audio track that can be read")
        self._stream = tracks[0]
        self.sample_rate: int = self._stream.rate
        self.channels: int = self._stream.channels

    def blocks(self) -> Iterator[Audio]:
        """One block per decoded packet, at the first one's rate where it changes.

        Raises:
            AudioError: if the file turns out to be damaged.
        """
        from av.audio.resampler import AudioResampler

        with _errors_of_ffmpeg(f"{self._file}: is damaged"):
            frames = self._container.decode(self._stream)
            for _, alike in groupby(frames, lambda f: (f.sample_rate, f.layout.name, f.format.name)):
                planar = AudioResampler(format="fltp", rate=self.sample_rate)
                for frame in chain(alike, [None]):
                    for part in planar.resample(frame):
                        yield np.asarray(part.to_ndarray(), np.float32)

    def close(self) -> None:
        """Close the file."""
        self._container.close()


@contextmanager
def _errors_of_ffmpeg(sentence: str) -> Iterator[None]:
    """As an AudioError; of Python's errors some are a ValueError, some an OSError, some neither."""
    import av

    try:
        yield
    except av.error.FFmpegError as error:
        raise AudioError(f"{sentence} ({error.strerror})") from None


def open_source(path: Path) -> Source:
    """Open an audio file of any kind that is installed.

    Raises:
        AudioError: if it is missing, empty, a directory, raw samples, no audio or not for us to read.
        MissingDependencyError: if only PyAV could read it and PyAV is not installed.
    """
    try:
        _check(path)
        return _opened(path)
    except OSError as error:
        raise AudioError(f"{path}: cannot be read ({error.strerror or error})") from None


def _opened(path: Path) -> Source:
    try:
        source = _read_by_libsndfile(path)
    except soundfile.LibsndfileError as error:
        reason = reason_of(error)
    else:
        if source.frames:
            return source
        source.close()
        return UnfinishedWavSource(path) if lacks_its_size(path) else _read_by_libsndfile(path)
    try:
        return PyAVSource(path)
    except ImportError:
        raise MissingDependencyError(
            f"{path}: {reason}; formats such as m4a, aac and webm need PyAV: pip install av"
        ) from None


def _read_by_libsndfile(path: Path) -> SoundfileSource:
    return SoundfileSource(AudioFile(file_name(path)), str(path))


def _check(path: Path) -> None:
    if path.is_dir():
        raise AudioError(f"{path}: is a directory; name the audio files in it")
    if not path.exists():
        raise AudioError(f"{path}: no such file")
    if path.is_fifo():
        raise AudioError(f"{path}: is a pipe; give WAV from one as - on standard input")
    if path.stat().st_size == 0:
        raise AudioError(f"{path}: is empty")
    if path.suffix.lower() == ".raw":
        raise AudioError(f"{path}: raw samples do not say their rate; convert them to WAV first")
    with path.open("rb"):
        pass


def model_blocks(source: Source, name: str, sample_rate: int, channels: int) -> Iterator[Audio]:
    """All of a source, and then close it.

    Args:
        source: of any rate and number of channels.
        name: of the source, in errors.
        sample_rate, channels: of the blocks `[channels, samples]`, the rate in Hz.

    Raises:
        AudioError: if the file turns out to be damaged, or holds NaN or infinity, or if its rate is not
            from 1 Hz to 10 MHz.
    """
    try:
        check_source_rate(source.sample_rate)
    except AudioError as error:
        source.close()
        raise AudioError(f"{name}: {error}") from None
    try:
        mixed = (mix_channels(_checked(block, name), channels) for block in source.blocks())
        yield from resampled(mixed, source.sample_rate, sample_rate, channels)
    except OSError as error:
        raise AudioError(f"{name}: is damaged ({reason_of(error)})") from None
    finally:
        source.close()


def _checked(block: Audio, name: str) -> Audio:
    if not float(np.abs(block).max(initial=0)) <= LOUDEST:
        raise AudioError(f"{name}: holds NaN, infinity or more than {LOUDEST:g}; repair it first")
    return block


def read_audio(path: str | Path, sample_rate: int, channels: int) -> tuple[Audio, int]:
    """A whole file as `[channels, samples]` at a rate in Hz, and the rate that it had.

    Raises:
        AudioError: if it cannot be read or holds no samples.
    """
    source = open_source(Path(path))
    return read_source(source, str(path), sample_rate, channels), source.sample_rate


def read_source(source: Source, name: str, sample_rate: int, channels: int) -> Audio:
    """All of a source as `[channels, samples]` at a rate in Hz; closes it.

    Raises:
        AudioError: as `model_blocks`, or if it holds no samples.
    """
    parts = list(model_blocks(source, name, sample_rate, channels))
    if not parts:
        raise AudioError(f"{name}: holds no samples")
    return np.concatenate(parts, axis=1)
