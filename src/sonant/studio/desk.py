"""Recordings that were handed in, and what models make of them at their bitrates."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree
from threading import Lock
from time import perf_counter
from typing import Any

import numpy as np
import soundfile

from sonant.audio import FileSink, model_blocks, open_source, read_audio
from sonant.codec import Codec
from sonant.container.version1 import MAGIC
from sonant.errors import AudioError, SonantError, WeightsError
from sonant.evaluation.metrics import METRICS
from sonant.files import compress, decompress
from sonant.information import describe
from sonant.loading import load, load_named

ORIGINAL = "original.flac"
MOST_CHANNELS = 8
"""Of FLAC."""

Facts = dict[str, Any]


@dataclass(frozen=True)
class Take:
    """A recording that was handed in, kept as `ORIGINAL` in a folder of its own.

    Attributes:
        seconds, sample_rate, channels: of what is kept.
        cut: whether it was longer.
        coded: what `describe` says, if an .ecdc file was handed in.
    """

    id: str
    seconds: float
    sample_rate: int
    channels: int
    cut: bool
    coded: Facts | None


@dataclass(frozen=True)
class Version:
    """A take through a model at a bitrate: `NAME.ecdc` and `NAME.flac` in the take's folder.

    Attributes:
        bytes, kbps: of the .ecdc file, with all that is in it.
        si_snr: in dB, at the model's rate; None of silence.
        encode_seconds, decode_seconds: by the clock, file to file.
    """

    name: str
    bytes: int
    kbps: float
    si_snr: float | None
    encode_seconds: float
    decode_seconds: float


class Desk:
    """Takes and their versions, as files in a folder.

    Args:
        folder: where the files go; who gives it removes it.
        models: names, files, folders or hub ids.
        seconds: how much of a recording is kept.

    Raises:
        WeightsError: if a model cannot be found.
    """

    def __init__(self, folder: Path, models: Sequence[str], seconds: float) -> None:
        self._folder, self._seconds = folder, seconds
        self._codecs = {model: load(model) for model in models}
        self._takes: dict[str, Take] = {}
        self._versions: dict[tuple[str, str, float], Version] = {}
        self._one_at_a_time = Lock()

    def models(self) -> list[Facts]:
        """Name, rate in Hz, channels and bitrates in kbit/s of every model."""
        configs = {name: codec.config for name, codec in self._codecs.items()}
        return [
            {
                "name": name,
                "sample_rate": config.sample_rate,
                "channels": config.channels,
                "bitrates": sorted(config.bandwidths),
            }
            for name, config in configs.items()
        ]

    def take(self, number: str) -> Take | None:
        """What was handed in under this number."""
        return self._takes.get(number)

    def file(self, take: Take, name: str) -> Path | None:
        """One of the files that the page may have: the original and those of versions."""
        versions = self._versions.copy()
        made = {v.name for (number, *_), v in versions.items() if number == take.id}
        known = {ORIGINAL} | {f"{stem}{ending}" for stem in made for ending in (".ecdc", ".flac")}
        return self._folder / take.id / name if name in known else None

    def hand_in(self, name: str, data: bytes) -> Take:
        """Keep a recording: audio of any kind that can be read, or an .ecdc file.

        Raises:
            SonantError: one sentence on what is wrong with the file of this name; nothing of it stays.
        """
        number, name = secrets.token_hex(8), Path(name).name or "recording"
        folder = self._folder / number
        folder.mkdir(parents=True)
        try:
            with _as_file(folder, name, data) as file, _errors_naming(str(folder / ORIGINAL), name):
                keep = self._decode if data.startswith(MAGIC) else self._copy
                seconds, coded = keep(file, folder / ORIGINAL)
                with closing(open_source(folder / ORIGINAL)) as source:
                    rate, channels = source.sample_rate, source.channels
        except BaseException:
            rmtree(folder)
            raise
        kept = min(seconds, self._seconds)
        self._takes[number] = Take(number, kept, rate, channels, seconds > kept, coded)
        return self._takes[number]

    def version(self, take: Take, model: str, bitrate: float) -> Version:
        """A take at a bitrate, coded when first asked for, one after the other.

        Raises:
            SonantError: if there is no such model or bitrate, or the take cannot be coded.
        """
        key = take.id, model, bitrate
        with self._one_at_a_time, _errors_naming(f"{self._folder / take.id}/", ""):
            if key not in self._versions:
                self._versions[key] = self._make(take, model, bitrate)
            return self._versions[key]

    def _copy(self, file: Path, original: Path) -> tuple[float, None]:
        """Keep the beginning; returns the seconds that there were, at least when it was cut."""
        done = 0
        with closing(open_source(file)) as source:
            rate = source.sample_rate
            limit = round(self._seconds * rate)
            channels = source.channels if source.channels <= MOST_CHANNELS else 2
            with closing(FileSink(original, original, rate, channels)) as sink:
                for block in model_blocks(source, str(file), rate, channels):
                    sink.write(block[:, : max(0, limit - done)])
                    done += block.shape[1]
                    if done > limit:
                        break
        if not done:
            raise AudioError(f"{file}: holds no samples")
        return done / rate, None

    def _decode(self, file: Path, original: Path) -> tuple[float, Facts]:
        decompress(file, original, duration=self._seconds, loader=self._named)
        kept, facts = soundfile.info(original).duration, describe(file)
        seconds = max(kept, facts.get("seconds", 0.0))
        return seconds, {"actual_kbps": facts["bytes"] * 8 / 1000 / seconds, **facts}

    def _named(self, model: str | Path) -> Codec:
        """One of the page's models by the name that its files have, or one that any file may name."""
        ours = (codec for codec in self._codecs.values() if codec.name == str(model))
        return next(ours, None) or load_named(model)

    def _make(self, take: Take, model: str, bitrate: float) -> Version:
        if model not in self._codecs:
            raise WeightsError(f"{model}: is not on this page")
        codec, folder = self._codecs[model], self._folder / take.id
        name = f"{list(self._codecs).index(model)}-{bitrate:g}"
        coded, audio = (folder / f"{name}{ending}" for ending in (".ecdc", ".flac"))
        encode_seconds = _timed(
            lambda: compress(folder / ORIGINAL, coded, model=codec, bitrate=bitrate, overwrite=True)
        )
        decode_seconds = _timed(lambda: decompress(coded, audio, model=codec, overwrite=True))
        rate, channels = codec.config.sample_rate, codec.config.channels
        wanted, got = (read_audio(path, rate, channels)[0] for path in (folder / ORIGINAL, audio))
        size = coded.stat().st_size
        return Version(
            name,
            size,
            size * 8 / 1000 / take.seconds,
            METRICS["si_snr"].measure(wanted, got, rate) if np.ptp(wanted, axis=1).any() else None,
            encode_seconds,
            decode_seconds,
        )


def _timed(work: Callable[[], object]) -> float:
    start = perf_counter()
    work()
    return perf_counter() - start


@contextmanager
def _as_file(folder: Path, name: str, data: bytes) -> Iterator[Path]:
    """A file of ours while it is read, with the ending by which some readers know what it is."""
    ending = re.search(r"\.[A-Za-z0-9]{1,8}\Z", name)
    file = folder / f"in{ending.group() if ending else ''}"
    try:
        file.write_bytes(data)
        with _errors_naming(str(file), name):
            yield file
    finally:
        file.unlink(missing_ok=True)


@contextmanager
def _errors_naming(ours: str, theirs: str) -> Iterator[None]:
    """Errors name files as the user does."""
    try:
        yield
    except SonantError as error:
        raise type(error)(str(error).replace(ours, theirs)) from None
