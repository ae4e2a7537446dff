"""Excerpts to evaluate on: a manifest of places in files, or a folder with one subfolder per category.

A manifest is JSON: `name`, `sample_rate`, `channels`, `seconds` and `excerpts`. An excerpt has a
`name`, a `category`, whether it is `speech`, and `layers` that are summed. A layer lays `clips`
(`file`, `start`, `seconds`) end to end with pauses; one after the first may name its `snr` in dB,
the level of the first layer over it, and one may `repeat` to the end of the excerpt. Files are
relative to the root given by the user.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from sonant.audio import Audio, read_audio
from sonant.audio.convert import check_source_rate
from sonant.audio.folders import files_below
from sonant.errors import AudioError, ConfigError

PAUSE_SECONDS = 0.15
LEVEL_RMS = 0.07
PEAK_LIMIT = 0.98
FLOOR_SEED = 0
SILENCE_RMS = 10 ** (-70 / 20)
MIN_SECONDS = 1.0
SHORTEST_CLIP = 0.001
MIN_RATE = 16_000
UNSAID = (("start", 0.0), ("repeat", False))


@dataclass(frozen=True)
class Clip:
    """A part of a file: `seconds` from `start`; None is to the end."""

    file: str
    start: float = 0.0
    seconds: float | None = None


@dataclass(frozen=True)
class Layer:
    """Clips end to end; `snr` is the level of the excerpt's first layer over this one, in dB.

    One that is shorter than the excerpt is repeated if `repeat` says so, else followed by zeros.
    """

    clips: tuple[Clip, ...]
    snr: float | None = None
    repeat: bool = False


@dataclass(frozen=True)
class Excerpt:
    """A few seconds of audio made from layers."""

    name: str
    category: str
    speech: bool
    layers: tuple[Layer, ...]

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class EvaluationSet:
    """Excerpts at one rate; `seconds` is the length of each, None the length of its files.

    `level` says whether each excerpt is scaled to −23 dBFS; `floor` is the level in dBFS of a white
    noise added to it then, because pauses of digital silence mislead models of hearing.
    """

    name: str
    sample_rate: int
    channels: int
    excerpts: tuple[Excerpt, ...]
    seconds: float | None = None
    level: bool = False
    floor: float | None = None

    @property
    def categories(self) -> list[str]:
        """Categories in the order of their first excerpts."""
        return list(dict.fromkeys(excerpt.category for excerpt in self.excerpts))

    def first(self, count: int) -> EvaluationSet:
        """The same set with at most `count` excerpts per category."""
        kept = [
            excerpt
            for category in self.categories
            for excerpt in [e for e in self.excerpts if e.category == category][:count]
        ]
        return replace(self, excerpts=tuple(kept))

    def render(self, excerpt: Excerpt, root: Path) -> Audio:
        """The excerpt's audio `[channels, samples]`, float32; a sum of layers stays below full scale.

        Raises:
            AudioError: if a file cannot be read or has less than 16 kHz, or the result is silent or
                under a second.
        """
        length = None if self.seconds is None else round(self.seconds * self.sample_rate)
        total: Audio | None = None
        for layer in excerpt.layers:
            audio = self._layer(layer, root, length if total is None else total.shape[1])
            if total is None:
                total = audio
            else:
                total = total + (
                    audio if layer.snr is None else audio * _noise_gain(total, audio, layer.snr)
                )
        if total is None or total.shape[1] < MIN_SECONDS * self.sample_rate:
            raise AudioError(f"{excerpt.name}: is shorter than {MIN_SECONDS:g} s")
        rms = _rms(total)
        if rms < SILENCE_RMS:
            raise AudioError(f"{excerpt.name}: is silent")
        if self.level:
            total = total * min(LEVEL_RMS / rms, PEAK_LIMIT / float(np.abs(total).max()))
        elif len(excerpt.layers) > 1:
            total = total * min(1.0, PEAK_LIMIT / float(np.abs(total).max()))
        if self.floor is not None:
            noise = np.random.default_rng(FLOOR_SEED).standard_normal(total.shape, np.float32)
            total = total + 10 ** (self.floor / 20) * noise
        return np.asarray(total, np.float32)

    def _layer(self, layer: Layer, root: Path, length: int | None) -> Audio:
        pause = np.zeros((self.channels, round(PAUSE_SECONDS * self.sample_rate)), np.float32)
        parts: list[Audio] = []
        for clip in layer.clips:
            audio, native_rate = read_audio(root / clip.file, self.sample_rate, self.channels)
            if native_rate < MIN_RATE:
                raise AudioError(
                    f"{clip.file}: has only {native_rate} samples per second, of {MIN_RATE} needed"
                )
            start = round(clip.start * self.sample_rate)
            stop = None if clip.seconds is None else start + round(clip.seconds * self.sample_rate)
            parts += [audio[:, start:stop], pause]
        joined = np.concatenate(parts[:-1], axis=1)
        if length is None:
            return joined
        if layer.repeat and joined.shape[1]:
            joined = np.tile(joined, -(-length // joined.shape[1]))
        return np.pad(joined[:, :length], ((0, 0), (0, max(0, length - joined.shape[1]))))

    def to_json(self) -> str:
        """The manifest as JSON, one excerpt per line, without empty fields."""
        head = asdict(self)
        excerpts = head.pop("excerpts")
        lines = ",\n".join("  " + json.dumps(_compact(excerpt), ensure_ascii=False) for excerpt in excerpts)
        body = ",\n".join(f" {json.dumps(key)}: {json.dumps(value)}" for key, value in head.items())
        return "{\n" + body + ',\n "excerpts": [\n' + lines + "\n ]\n}\n"


def _rms(audio: Audio) -> float:
    return float(np.sqrt(np.mean(np.square(audio, dtype=np.float64))))


def _noise_gain(over: Audio, under: Audio, snr: float) -> float:
    return _rms(over) / max(_rms(under), 1e-9) * 10 ** (-snr / 20)


def _compact(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _compact(v) for key, v in value.items() if v is not None and (key, v) not in UNSAID}
    return [_compact(v) for v in value] if isinstance(value, (list, tuple)) else value


def _number(row: dict[str, Any], key: str, least: float = -math.inf) -> float | None:
    """What a row says under `key`, finite and at least so much; None where it says nothing."""
    if row.get(key) is None:
        return None
    number = float(row[key])
    if not math.isfinite(number) or number < least:
        raise ValueError(f"{key} is {number:g}")
    return number


def _layer(row: dict[str, Any]) -> Layer:
    clips = tuple(
        Clip(str(clip["file"]), _number(clip, "start", 0.0) or 0.0, _number(clip, "seconds", SHORTEST_CLIP))
        for clip in row["clips"]
    )
    if not clips:
        raise ValueError("a layer without clips")
    return Layer(clips, _number(row, "snr"), bool(row.get("repeat", False)))


def _parse(manifest: dict[str, Any]) -> EvaluationSet:
    excerpts = tuple(
        Excerpt(
            name=str(row["name"]),
            category=str(row["category"]),
            speech=bool(row.get("speech", False)),
            layers=tuple(_layer(layer) for layer in row["layers"]),
        )
        for row in manifest["excerpts"]
    )
    if not excerpts:
        raise ValueError("it has none")
    counts = Counter(excerpt.name for excerpt in excerpts)
    if several := [name for name, count in counts.items() if count > 1]:
        raise ValueError(f"{counts[several[0]]} excerpts are called {several[0]!r}")
    sample_rate, channels = int(manifest["sample_rate"]), int(manifest.get("channels", 1))
    check_source_rate(sample_rate)
    if channels < 1:
        raise ValueError(f"channels is {channels}")
    return EvaluationSet(
        name=str(manifest["name"]),
        sample_rate=sample_rate,
        channels=channels,
        excerpts=excerpts,
        seconds=_number(manifest, "seconds", MIN_SECONDS),
        level=bool(manifest.get("level", False)),
        floor=_number(manifest, "floor"),
    )


def read_manifest(path: Path) -> EvaluationSet:
    """Read a manifest.

    Raises:
        ConfigError: if it is missing, no JSON, lacks a field, has a number that cannot be, no excerpts, or
            two of one name.
    """
    try:
        return _parse(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise ConfigError(f"{path}: is not a list of excerpts ({error})") from None


def bundled_set(name: str) -> EvaluationSet:
    """One of the lists inside the package: `validation24` or `validation48`."""
    text = (resources.files("sonant.evaluation") / "lists" / f"{name}.json").read_text(encoding="utf-8")
    return _parse(json.loads(text))


def folder_set(root: Path, sample_rate: int, channels: int) -> EvaluationSet:
    """Every audio file under `root`, its category being its first subfolder.

    A category whose name contains `speech` or `voice` is speech.

    Raises:
        ConfigError: if there is no audio.
    """
    files = files_below(root)
    if not files:
        raise ConfigError(f"{root}: holds no audio files")
    excerpts = []
    for path in files:
        relative = path.relative_to(root)
        category = relative.parts[0] if len(relative.parts) > 1 else "all"
        speech = any(word in category.lower() for word in ("speech", "voice"))
        layers = (Layer((Clip(relative.as_posix()),)),)
        excerpts.append(Excerpt(relative.as_posix(), category, speech, layers))
    return EvaluationSet(root.resolve().name, sample_rate, channels, tuple(excerpts))


def with_noise(
    base: EvaluationSet, noises: Sequence[str], snrs: Sequence[float], seed: int
) -> EvaluationSet:
    """Add a `noisy speech` category: every speech excerpt again, with a noise file drawn by `seed`."""
    random = np.random.default_rng(seed)

    def noise() -> Layer:
        return Layer((Clip(str(random.choice(noises))),), float(random.choice(snrs)), repeat=True)

    noisy = [
        Excerpt(f"{excerpt.name}-noisy", "noisy speech", True, (*excerpt.layers, noise()))
        for excerpt in base.excerpts
        if excerpt.speech
    ]
    return replace(base, excerpts=(*base.excerpts, *noisy))
