"""Manifests: one line of JSON per recording, with its place, kind, licence and level."""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from sonant.errors import ConfigError
from sonant.whole_files import replacing

MANIFEST_NAME = "manifest.jsonl"
ANY_NAME = "surrogateescape"
"""How names of files that are not in UTF-8 are written and read: as the bytes that they are."""

VALIDATION_NAME = "validation.jsonl"
VALIDATION_SECONDS = 10.0
VALIDATION_PER_KIND = 50


@dataclass(frozen=True)
class Recording:
    """A run of samples in an audio file, or in a member of a tar.

    Attributes:
        file: path, relative to the manifest's folder where it lies below it.
        kind: speech, music, general, effects, noise, instrument or rir.
        split: train, validation or test.
        source: the dataset or package it comes from.
        licence, language, title: for credits; a title names the original file.
        start, length: in samples of the file.
        sample_rate, channels: those of the file; 0 where nobody has looked yet.
        native_rate: the rate of the original recording, an upper bound of its bandwidth.
        gain: factor that brings the file to its normal level.
        offset, size: bytes of a member within a tar; without an offset it is the whole file.
    """

    file: str
    kind: str
    split: str = "train"
    source: str = ""
    licence: str = ""
    language: str = ""
    title: str = ""
    start: int = 0
    length: int = 0
    sample_rate: int = 0
    channels: int = 0
    native_rate: int = 0
    gain: float = 1.0
    offset: int = 0
    size: int = 0

    @property
    def name(self) -> str:
        """What to call it in a message."""
        return f"{self.file} ({self.title})" if self.in_a_tar else self.file

    @property
    def in_a_tar(self) -> bool:
        """Whether it is a member of a tar, which begins after a header, and may be empty."""
        return self.offset > 0

    @property
    def seconds(self) -> float:
        """Its duration."""
        return self.length / self.sample_rate if self.sample_rate else 0.0


_DEFAULTS = {f.name: f.default for f in fields(Recording) if f.default is not MISSING}
_KINDS: dict[str, tuple[Any, str]] = {
    "str": (str, "text"),
    "int": (int, "a whole number"),
    "float": ((int, float), "a number"),
}


def write_manifest(path: Path, recordings: Iterable[Recording]) -> None:
    """Write recordings atomically; values that are the default are left out."""
    with replacing(path) as temporary, open(temporary, "w", encoding="utf-8", errors=ANY_NAME) as file:
        for recording in recordings:
            values = {k: v for k, v in asdict(recording).items() if v != _DEFAULTS.get(k)}
            file.write(json.dumps(values, ensure_ascii=False) + "\n")


def read_manifest(path: Path) -> list[Recording]:
    """Read a manifest, or the manifest of a folder; files become paths that can be opened.

    Raises:
        ConfigError: if it is missing or a line is no recording, or one whose values cannot be.
    """
    if path.is_dir():
        path = path / MANIFEST_NAME
    recordings = []
    try:
        with open(path, encoding="utf-8-sig", errors=ANY_NAME) as file:
            for number, line in enumerate(file, 1):
                try:
                    recording = Recording(**json.loads(line))
                    _check(recording)
                except (TypeError, ValueError) as error:
                    raise ConfigError(f"{path}, line {number}: is no recording ({error})") from None
                recordings.append(recording)
    except OSError as error:
        raise ConfigError(f"{path}: is not a manifest ({error.strerror})") from None
    return [_placed(recording, path.parent) for recording in recordings]


def _check(recording: Recording) -> None:
    """Raise TypeError or ValueError unless every value is of its type, and no number below 0."""
    for field in fields(Recording):
        value, (kind, words) = getattr(recording, field.name), _KINDS[str(field.type)]
        if not isinstance(value, kind):
            raise TypeError(f"{field.name} is {words}, not {json.dumps(value, ensure_ascii=False)}")
        if kind is not str and not 0 <= value < math.inf:
            raise ValueError(f"{field.name} is {value}")
    if recording.length and not recording.sample_rate:
        raise ValueError("it has a length, but no sample_rate")


def _placed(recording: Recording, folder: Path) -> Recording:
    return replace(recording, file=str(folder / recording.file))


def split_by_hash(key: str, shares: Mapping[str, float]) -> str:
    """The split that a name falls into, the same on every machine; `shares` add up to 1."""
    place, total = zlib.crc32(key.encode(errors=ANY_NAME)) / 2**32, 0.0
    for split, share in shares.items():
        total += share
        if place < total:
            return split
    return next(iter(shares))


def hours_by_kind(recordings: Iterable[Recording]) -> dict[str, float]:
    """Hours of every `<split>-<kind>`."""
    return _hours(recordings, lambda r: f"{r.split}-{r.kind}")


def hours_by_source(recordings: Iterable[Recording]) -> dict[str, float]:
    """Hours of every source and its licence."""
    return _hours(
        recordings, lambda r: f"{r.source or 'unknown source'}: {r.licence or 'no licence given'}"
    )


def _hours(recordings: Iterable[Recording], name: Callable[[Recording], str]) -> dict[str, float]:
    hours: dict[str, float] = {}
    for recording in recordings:
        hours[name(recording)] = hours.get(name(recording), 0.0) + recording.seconds / 3600
    return dict(sorted(hours.items()))


def validation_list(recordings: Iterable[Recording]) -> list[Recording]:
    """A fixed list: the middle 10 s of up to 50 recordings of each kind, evenly over their names."""
    kinds: dict[str, list[Recording]] = {}
    for recording in recordings:
        if recording.split == "validation" and recording.kind != "rir" and recording.seconds >= 1:
            kinds.setdefault(recording.kind, []).append(recording)
    chosen = []
    for _, candidates in sorted(kinds.items()):
        candidates.sort(key=lambda r: (r.title or r.file, r.start))
        count = min(VALIDATION_PER_KIND, len(candidates))
        for place in range(count):
            chosen.append(_middle(candidates[place * len(candidates) // count]))
    return chosen


def _middle(recording: Recording) -> Recording:
    length = min(recording.length, int(VALIDATION_SECONDS * recording.sample_rate))
    start = recording.start + (recording.length - length) // 2
    return replace(recording, start=start, length=length)
