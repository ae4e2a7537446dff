"""Pack a corpus: decode once, normalise by file, write few big shards that can be cropped anywhere.

A pack is a folder with shards, `manifest.jsonl`, which keeps place, source and licence of every
recording, and `validation.jsonl`, the fixed list that runs are compared on. Recordings of one source
and language lie side by side. Opus shards are compact; flat 16-bit samples are quickest to crop.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple, Protocol

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from sonant.audio import Source, open_source
from sonant.audio.libsndfile import UNKNOWN_LENGTH
from sonant.audio.sources import SoundfileSource, read_source
from sonant.errors import AudioError, ConfigError, SonantError
from sonant.parallel import in_order
from sonant.training.access import SampleReader, open_recording
from sonant.training.corpus import with_channels
from sonant.training.manifest import (
    MANIFEST_NAME,
    VALIDATION_NAME,
    Recording,
    validation_list,
    write_manifest,
)
from sonant.training.shard_notes import (
    Contents,
    key_of,
    noted,
    noted_shards,
    remove_note,
    write_note,
)

TARGET_RMS = 0.1
PEAK_LIMIT = 0.98
SILENT_PEAK = 1e-3
PAUSE_SECONDS = 0.1
SHARD_SECONDS = 1800.0
FILES_PER_PART = 500
PARTS_PER_PROCESS = 4
OPUS_KBPS = 96.0
OPUS_RATES = (8_000, 12_000, 16_000, 24_000, 48_000)

Samples = NDArray[np.float32]
Format = Literal["opus", "pcm", "index"]


def level_gain(audio: Samples) -> float | None:
    """Factor that brings `[T, channels]` to −20 dBFS, or just below clipping; None if silent."""
    peak = float(np.abs(audio).max(initial=0))
    if peak < SILENT_PEAK or not np.isfinite(peak):
        return None
    return min(TARGET_RMS / float(np.sqrt(np.mean(np.square(audio)))), PEAK_LIMIT / peak)


class _Job(NamedTuple):
    """What one process works on at a time: recordings, and the shard or the manifest they go into."""

    path: Path
    recordings: list[Recording]

    def __str__(self) -> str:
        return str(self.path)


class _Shard(Protocol):
    def write(self, audio: Samples) -> None:
        """Append `[T, channels]`."""

    def close(self) -> None:
        """Finish the file."""


class _FlatShard:
    def __init__(self, path: Path) -> None:
        self._file: BinaryIO = open(path, "wb")  # noqa: SIM115

    def write(self, audio: Samples) -> None:
        self._file.write(np.round(audio * 32767).astype("<i2").tobytes())

    def close(self) -> None:
        self._file.close()


class _OpusShard:
    def __init__(self, path: Path, sample_rate: int, channels: int, kbps: float) -> None:
        level = float(np.clip((256 - kbps) / 250, 0, 1))
        self._file = soundfile.SoundFile(
            path, "w", sample_rate, channels, format="OGG", subtype="OPUS", compression_level=level
        )
        self._block = sample_rate

    def write(self, audio: Samples) -> None:
        for start in range(0, len(audio), self._block):
            self._file.write(audio[start : start + self._block])

    def close(self) -> None:
        self._file.close()


def _decoded(recording: Recording, sample_rate: int, channels: int) -> tuple[Samples, int]:
    """`[T, channels]` at a rate, and the rate of the file, or of the original of a part of a shard."""
    if recording.length:
        part = SampleReader().read(recording, recording.start, recording.length)
        audio = soxr.resample(with_channels(part, channels), recording.sample_rate, sample_rate)
        return audio, recording.native_rate or recording.sample_rate
    if recording.in_a_tar:
        source: Source = SoundfileSource(open_recording(recording), recording.name)
    else:
        source = open_source(Path(recording.file))
    audio = read_source(source, recording.name, sample_rate, channels)
    return np.ascontiguousarray(audio.T), source.sample_rate


def _usable(recording: Recording, sample_rate: int, channels: int) -> tuple[Samples, int, float]:
    """Samples, rate of the file and gain to the normal level.

    Raises:
        SonantError: if the file cannot be read or holds nothing.
    """
    audio, native_rate = _decoded(recording, sample_rate, channels)
    if not np.isfinite(audio).all():
        raise AudioError(f"{recording.name}: holds samples that are not finite")
    gain = level_gain(audio)
    if gain is None:
        raise AudioError(f"{recording.name}: is silent")
    return audio, native_rate, gain


def _packer(sample_rate: int, channels: int, kbps: float) -> Callable[[_Job], Contents]:
    return partial(_finished_shard, sample_rate=sample_rate, channels=channels, kbps=kbps)


def _finished_shard(job: _Job, sample_rate: int, channels: int, kbps: float) -> Contents:
    """What a shard holds that an earlier run made of the same recordings, or this one now."""
    path, recordings = job
    key = key_of(recordings, (sample_rate, channels, kbps))
    contents = noted(path, key)
    if contents is None:
        contents = _write_shard(path, recordings, sample_rate, channels, kbps)
        write_note(path, key, contents)
    return contents


def _write_shard(
    path: Path, recordings: list[Recording], sample_rate: int, channels: int, kbps: float
) -> Contents:
    partial_path = path.with_name(path.name + ".partial")
    try:
        flat = path.suffix == ".pcm"
        shard: _Shard = (
            _FlatShard(partial_path) if flat else _OpusShard(partial_path, sample_rate, channels, kbps)
        )
        with closing(shard):
            packed, problems = _fill(shard, path.name, recordings, sample_rate, channels)
        if packed:
            os.replace(partial_path, path)
    finally:
        partial_path.unlink(missing_ok=True)
    return packed, problems


def _fill(
    shard: _Shard, name: str, recordings: list[Recording], sample_rate: int, channels: int
) -> Contents:
    """Write recordings into a shard that will have this name."""
    pause = np.zeros((int(PAUSE_SECONDS * sample_rate), channels), np.float32)
    packed, problems, place = [], [], 0
    for recording in recordings:
        try:
            audio, native_rate, gain = _usable(recording, sample_rate, channels)
        except SonantError as error:
            problems.append(str(error))
            continue
        shard.write(audio * np.float32(gain))
        shard.write(pause)
        packed.append(
            replace(
                recording,
                file=name,
                title=recording.title or Path(recording.file).name,
                start=place,
                length=len(audio),
                sample_rate=sample_rate,
                channels=channels,
                native_rate=native_rate,
                gain=1.0,
                offset=0,
                size=0,
            )
        )
        place += len(audio) + len(pause)
    return packed, problems


def _measurer() -> Callable[[_Job], Contents]:
    return lambda job: _measure(job.recordings)


def _measure(recordings: list[Recording]) -> Contents:
    """Length, rates and level of recordings that stay where they are."""
    measured, problems = [], []
    for recording in recordings:
        try:
            rate, channels = recording.sample_rate, recording.channels
            if not recording.length or not channels:
                with open_recording(recording) as file:
                    rate, channels = file.samplerate, file.channels
                    if not file.frames:
                        raise AudioError(f"{recording.name}: holds no samples, or does not say so")
            audio, native_rate, gain = _usable(recording, rate, channels)
        except SonantError as error:
            problems.append(str(error))
            continue
        measured.append(
            replace(
                recording,
                file=str(Path(recording.file).absolute()),
                length=len(audio),
                sample_rate=rate,
                channels=channels,
                native_rate=native_rate,
                gain=gain,
            )
        )
    return measured, problems


def _estimated_seconds(recording: Recording) -> float:
    """Where it was measured that, else from the header, else from the size as if it had 64 kbit/s."""
    if recording.length:
        return recording.seconds
    try:
        with open_recording(recording) as file:
            if file.frames < UNKNOWN_LENGTH:
                return file.frames / file.samplerate
    except AudioError:
        pass
    path = Path(recording.file)
    size = recording.size if recording.in_a_tar else path.stat().st_size if path.is_file() else 0
    return size / 8000


def _shard_jobs(recordings: Iterable[Recording], out: Path, ending: str) -> list[_Job]:
    groups: dict[str, list[Recording]] = {}
    for recording in recordings:
        groups.setdefault(f"{recording.split}-{recording.kind}", []).append(recording)
    jobs: list[_Job] = []
    for name, group in groups.items():
        number, seconds, batch = 0, 0.0, []
        for recording in group:
            batch.append(recording)
            seconds += _estimated_seconds(recording)
            if seconds >= SHARD_SECONDS:
                jobs.append(_Job(out / f"{name}-{number:04d}.{ending}", batch))
                number, seconds, batch = number + 1, 0.0, []
        if batch:
            jobs.append(_Job(out / f"{name}-{number:04d}.{ending}", batch))
    return jobs


def _parts(recordings: list[Recording], jobs: int) -> list[list[Recording]]:
    """The list cut for so many processes: a few parts for each, so that all of them end together."""
    size = min(FILES_PER_PART, math.ceil(len(recordings) / (PARTS_PER_PROCESS * jobs))) or 1
    return [recordings[i : i + size] for i in range(0, len(recordings), size)]


def _clear(out: Path, shards: set[Path], recordings: Iterable[Recording]) -> None:
    """Make room for these shards: what another run has left in the folder goes.

    Raises:
        ConfigError: if that, or a shard, is to be packed.
    """
    others = noted_shards(out) - shards
    overwritten = {path.resolve() for path in shards | others}
    if any(Path(recording.file).resolve() in overwritten for recording in recordings):
        raise ConfigError(f"{out}: holds what is to be packed; choose another folder")
    for path in (out / MANIFEST_NAME, out / VALIDATION_NAME, *others):
        path.unlink(missing_ok=True)
    for shard in others:
        remove_note(shard)


def _once_each(recordings: Iterable[Recording]) -> tuple[list[Recording], list[str]]:
    """Recordings without those that are there already by another path, and a sentence for each of these.

    Splits go by names within a source: one file in two would be trained on and validated with.
    """
    first: dict[tuple[str, int, int, int], Recording] = {}
    repeated = []
    for recording in recordings:
        key = (os.path.realpath(recording.file), recording.offset, recording.start, recording.length)
        if first.setdefault(key, recording) is not recording:
            repeated.append(f"{recording.name}: is listed before, as {first[key].name}")
    return list(first.values()), repeated


def pack_recordings(
    recordings: list[Recording],
    out: Path,
    sample_rate: int,
    channels: int,
    form: Format = "opus",
    kbps: float | None = None,
    jobs: int = 1,
) -> Iterator[str]:
    """Pack recordings into the folder `out`; yields a sentence for each one that was left out.

    Of files that are listed twice, in two sources or through links, the first place counts.
    A pack that was there is gone from the start: half of its shards would not be what its manifest says.
    Shards that an interrupted run of the same call has finished are kept, those of other calls go.

    Args:
        recordings: what to pack, in the order it shall lie in the shards.
        out: folder for the shards and manifests.
        sample_rate, channels: of the shards.
        form: Opus shards, flat samples, or only a manifest of files that stay where they are.
        kbps: bitrate of Opus, per channel; by default 96.
        jobs: processes.

    Raises:
        ConfigError: if nothing could be used, Opus does not know the rate, only it has a bitrate, or what
            is to be packed would be overwritten.
        SonantError: if a shard cannot be written.
    """
    if form != "opus" and kbps is not None:
        raise ConfigError(f"only Opus shards have a bitrate, not {form}")
    if form == "opus" and sample_rate not in OPUS_RATES:
        known = ", ".join(map(str, OPUS_RATES))
        raise ConfigError(f"Opus shards cannot have {sample_rate} Hz; choose one of {known}, or pcm")
    recordings, repeated = _once_each(recordings)
    yield from repeated
    work = [] if form == "index" else _shard_jobs(recordings, out, form)
    out.mkdir(parents=True, exist_ok=True)
    if work:
        _clear(out, {path for path, _ in work}, recordings)
    packed: list[Recording] = []
    last_problem = ""
    if form == "index":
        parts = [_Job(out / MANIFEST_NAME, part) for part in _parts(recordings, jobs)]
        results = in_order(_measurer, parts, jobs)
    else:
        packer = partial(_packer, sample_rate, channels, OPUS_KBPS if kbps is None else kbps)
        results = in_order(packer, work, jobs)
    for _, contents in results:
        if isinstance(contents, SonantError):
            raise contents
        packed += contents[0]
        for last_problem in contents[1]:
            yield last_problem
    if not packed:
        raise ConfigError(f"none of {len(recordings)} recordings can be used; the last: {last_problem}")
    write_manifest(out / MANIFEST_NAME, packed)
    write_manifest(out / VALIDATION_NAME, validation_list(packed))
    for path, _ in work:
        remove_note(path)
