"""Audio files and pipes in blocks of float32 `[channels, samples]`, resampled and mixed as asked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from sonant.errors import AudioError, MissingDependencyError

Audio = NDArray[np.float32]

BLOCK_SECONDS = 1.0


class Source(Protocol):
    """Something that gives audio in blocks at its own rate."""

    sample_rate: int
    channels: int

    def blocks(self) -> Iterator[Audio]:
        """Blocks of `[channels, samples]` until the end."""

    def close(self) -> None:
        """Release the file."""


class SoundfileSource:
    """What libsndfile reads: wav, flac, ogg, opus, mp3, aiff and more."""

    def __init__(self, file: str | Path | BinaryIO) -> None:
        self._file = soundfile.SoundFile(file)
        self.sample_rate: int = self._file.samplerate
        self.channels: int = self._file.channels

    def blocks(self) -> Iterator[Audio]:
        """Blocks of about a second."""
        size = max(1, int(self.sample_rate * BLOCK_SECONDS))
        while len(block := self._file.read(size, dtype="float32", always_2d=True)):
            yield np.ascontiguousarray(block.T)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class PyAVSource:
    """What FFmpeg reads beyond libsndfile: m4a, aac, webm, g722, … through PyAV."""

    def __init__(self, file: str | Path | BinaryIO) -> None:
        import av

        self._container = av.open(str(file) if isinstance(file, Path) else file)
        if not self._container.streams.audio:
            self._container.close()
            raise AudioError(f"{file}: has no audio track")
        self._stream = self._container.streams.audio[0]
        self.sample_rate: int = self._stream.rate
        self.channels: int = self._stream.channels

    def blocks(self) -> Iterator[Audio]:
        """One block per decoded packet."""
        from av.audio.resampler import AudioResampler

        planar = AudioResampler(format="fltp")
        for frame in self._container.decode(self._stream):
            for part in planar.resample(frame):
                yield part.to_ndarray()
        for part in planar.resample(None):
            yield part.to_ndarray()

    def close(self) -> None:
        """Close the file."""
        self._container.close()


def open_source(path: Path) -> Source:
    """Open an audio file of any kind that is installed.

    Raises:
        AudioError: if it is missing, empty, a directory or no audio.
        MissingDependencyError: if only PyAV could read it and PyAV is not installed.
    """
    if path.is_dir():
        raise AudioError(f"{path}: is a directory; name the audio files in it")
    if not path.exists():
        raise AudioError(f"{path}: no such file")
    if path.stat().st_size == 0:
        raise AudioError(f"{path}: is empty")
    try:
        return SoundfileSource(path)
    except soundfile.LibsndfileError as error:
        reason = str(error)
    try:
        return PyAVSource(path)
    except ImportError:
        raise MissingDependencyError(
            f"{path}: {reason}; formats such as m4a, aac and webm need PyAV: pip install av"
        ) from None
    except (OSError, ValueError) as error:
        if isinstance(error, AudioError):
            raise
        raise AudioError(f"{path}: is not audio that can be read ({reason})") from None


def mix_channels(audio: Audio, channels: int) -> Audio:
    """Average down to mono, repeat mono to more channels, or take the first ones of many."""
    if audio.shape[0] == channels:
        return audio
    if channels == 1:
        return audio.mean(axis=0, keepdims=True)
    if audio.shape[0] == 1:
        return np.repeat(audio, channels, axis=0)
    return audio[:channels]


def resampled(blocks: Iterator[Audio], source_rate: int, rate: int, channels: int) -> Iterator[Audio]:
    """Resample a stream of blocks with soxr's high-quality filter; no block is empty."""
    if source_rate == rate:
        yield from blocks
        return
    stream = soxr.ResampleStream(source_rate, rate, channels, dtype="float32")
    for block in blocks:
        if len(out := stream.resample_chunk(block.T)):
            yield np.ascontiguousarray(out.T)
    if len(out := stream.resample_chunk(np.zeros((0, channels), np.float32), last=True)):
        yield np.ascontiguousarray(out.T)


def resample(audio: Audio, source_rate: int, rate: int) -> Audio:
    """A whole recording `[channels, samples]` at another rate."""
    return np.concatenate(list(resampled(iter([audio]), source_rate, rate, len(audio))), axis=1)


def read_audio(path: Path, sample_rate: int, channels: int) -> tuple[Audio, int]:
    """A whole file as `[channels, samples]` at a rate, and the rate that it had.

    Raises:
        AudioError: if it cannot be read or holds no samples.
    """
    source = open_source(path)
    try:
        mixed = (mix_channels(block, channels) for block in source.blocks())
        parts = list(resampled(mixed, source.sample_rate, sample_rate, channels))
    except (soundfile.LibsndfileError, OSError, ValueError) as error:
        raise AudioError(f"{path}: is damaged ({error})") from None
    finally:
        source.close()
    if not parts:
        raise AudioError(f"{path}: holds no samples")
    return np.concatenate(parts, axis=1), source.sample_rate
