"""Random crops out of the recordings of one or more manifests."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import soxr
from numpy.typing import NDArray

from sonant.errors import AudioError, ConfigError
from sonant.training.access import SampleReader
from sonant.training.manifest import Recording, read_manifest

FULL_BAND_RATE = 40_000
MOST_IN_A_PASSAGE = 1000

Crop = NDArray[np.float32]


def neighbours_joined(recordings: Iterable[Recording]) -> list[Recording]:
    """Join recordings of one source and language that lie within 0.25 s of each other in one file.

    A crop that crosses from one short recording into the next still sounds like one speaker or one
    place. Rooms stay apart: each is an impulse response of its own.
    """
    joined: list[Recording] = []
    for recording in recordings:
        last = joined[-1] if joined else None
        if last is not None and recording.kind != "rir" and _key(last) == _key(recording):
            gap = recording.start - (last.start + last.length)
            if 0 <= gap <= recording.sample_rate // 4:
                joined[-1] = replace(last, length=recording.start + recording.length - last.start)
                continue
        joined.append(recording)
    return joined


def _key(recording: Recording) -> tuple[str | float, ...]:
    r = recording
    full_band = r.native_rate >= FULL_BAND_RATE
    return r.file, r.offset, r.split, r.kind, r.source, r.language, r.gain, full_band


def with_channels(audio: Crop, channels: int) -> Crop:
    """`[T, any]` to `[T, channels]`: averaged to mono, mono repeated, or the first ones."""
    if audio.shape[1] == channels:
        return audio
    if channels == 1:
        return audio.mean(1, keepdims=True, dtype=np.float32)
    return audio.repeat(channels, 1) if audio.shape[1] == 1 else audio[:, :channels]


class Corpus:
    """Recordings by kind; crops are drawn evenly over their time.

    Args:
        manifests: manifests, or folders that hold one.
        sample_rate, channels: of the crops.

    Raises:
        ConfigError: if a manifest is missing or empty.
    """

    def __init__(self, manifests: Sequence[Path], sample_rate: int, channels: int) -> None:
        self.sample_rate, self.channels = sample_rate, channels
        self._reader = SampleReader()
        self._kinds: dict[str, list[Recording]] = {}
        for path in manifests:
            recordings = read_manifest(path)
            if not any(recording.length for recording in recordings):
                raise ConfigError(f"{path}: lists no recordings that were measured; see `sonant data pack`")
            for recording in neighbours_joined(recordings):
                if recording.length:
                    self._kinds.setdefault(f"{recording.split}-{recording.kind}", []).append(recording)
        self._choices: dict[tuple[str, bool], tuple[list[Recording], list[float]]] = {}

    def has(self, kind: str) -> bool:
        """Whether there is anything of `<split>-<kind>`."""
        return kind in self._kinds

    def check_has(self, kind: str) -> None:
        """Raise ConfigError unless there is something of `<split>-<kind>`."""
        if not self.has(kind):
            raise ConfigError(f"the corpus has no {kind}")

    def recordings(self, kind: str) -> list[Recording]:
        """All of `<split>-<kind>`."""
        return self._kinds.get(kind, [])

    def crop(self, kind: str, length: int, random: np.random.Generator, full_band: bool = False) -> Crop:
        """`[length, channels]` from anywhere in `<split>-<kind>`, in [-1, 1]; short places end in zeros.

        Raises:
            ConfigError: if there is nothing of that kind.
            AudioError: if the file drawn cannot be read.
        """
        return self.read(*self._place(kind, length, random, full_band), length)

    def passage(self, kind: str, length: int, random: np.random.Generator) -> Crop:
        """`[length, channels]` as `crop`, but where a recording ends the next one is drawn.

        Raises:
            ConfigError, AudioError: as for `crop`.
        """
        out, done = np.zeros((length, self.channels), np.float32), 0
        for _ in range(MOST_IN_A_PASSAGE):
            audio = self._audio(*self._place(kind, length - done, random), length - done)
            out[done : done + len(audio)] = audio
            done += len(audio)
            if done == length:
                break
        return out

    def _place(
        self, kind: str, length: int, random: np.random.Generator, full_band: bool = False
    ) -> tuple[Recording, int]:
        """A recording and where in it a crop begins."""
        recording = self._draw(kind, random, full_band)
        latest = max(0, recording.length - self._in_file(recording, length))
        return recording, int(random.integers(latest + 1))

    def read(self, recording: Recording, start: int, length: int) -> Crop:
        """`[length, channels]` at the corpus's rate, from sample `start` of a recording on, and zeros."""
        out = np.zeros((length, self.channels), np.float32)
        audio = self._audio(recording, start, length)
        out[: len(audio)] = audio
        return out

    def _audio(self, recording: Recording, start: int, length: int) -> Crop:
        """What there is of that, at its level."""
        count = min(self._in_file(recording, length), recording.length - start)
        samples = self._reader.read(recording, recording.start + start, count)
        if not np.isfinite(samples).all():
            raise AudioError(f"{recording.name}: holds samples that are not finite")
        audio = with_channels(samples, self.channels)
        if recording.sample_rate != self.sample_rate:
            audio = soxr.resample(audio, recording.sample_rate, self.sample_rate)
        return audio[:length].astype(np.float32, copy=False) * np.float32(recording.gain)

    def _in_file(self, recording: Recording, length: int) -> int:
        return -(-length * recording.sample_rate // self.sample_rate)

    def _draw(self, kind: str, random: np.random.Generator, full_band: bool) -> Recording:
        if (kind, full_band) not in self._choices:
            self.check_has(kind)
            recordings = self.recordings(kind)
            if full_band:
                recordings = [r for r in recordings if r.native_rate >= FULL_BAND_RATE] or recordings
            ends = np.cumsum([recording.seconds for recording in recordings]).tolist()
            self._choices[kind, full_band] = recordings, ends
        recordings, ends = self._choices[kind, full_band]
        return recordings[min(bisect_right(ends, random.random() * ends[-1]), len(ends) - 1)]
