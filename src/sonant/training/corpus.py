"""Random crops out of a packed corpus (see `training.pack`)."""

from __future__ import annotations

import json
from bisect import bisect_right
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sonant.errors import ConfigError

FULL_BAND_RATE = 40_000


@dataclass(frozen=True)
class Region:
    """A run of neighbouring recordings of one package and language: samples `[start, stop)`."""

    file: str
    start: int
    stop: int
    full_band: bool


class PackedCorpus:
    """The samples of a pack, mapped into memory; crops are drawn evenly over time.

    Raises:
        ConfigError: if there is no pack at `root`.
    """

    def __init__(self, root: Path) -> None:
        try:
            description = json.loads((root / "pack.json").read_text())
        except (OSError, ValueError) as error:
            raise ConfigError(f"{root}: is not a packed corpus ({error})") from None
        self.sample_rate: int = description["sample_rate"]
        self.channels: int = description["channels"]
        self.entries: list[dict[str, Any]] = description["entries"]
        self._samples = {
            name: np.memmap(root / name, dtype="<i2", mode="r").reshape(-1, self.channels)
            for name in {entry["file"] for entry in self.entries}
        }
        self._regions: dict[str, list[Region]] = {}
        for entry in self.entries:
            self._add(entry)
        self._ends: dict[tuple[str, bool], tuple[list[Region], list[int]]] = {}

    def _add(self, entry: dict[str, Any]) -> None:
        kind = f"{entry['split']}-{entry['kind']}"
        regions = self._regions.setdefault(kind, [])
        full_band = int(entry["native_rate"]) >= FULL_BAND_RATE
        stop = entry["start"] + entry["length"]
        key = (entry["package"], entry["lang"], full_band)
        if regions and getattr(self, "_last_key", None) == key:
            regions[-1] = Region(entry["file"], regions[-1].start, stop, full_band)
        else:
            regions.append(Region(entry["file"], entry["start"], stop, full_band))
        self._last_key = key

    def hours(self, kind: str) -> float:
        """Hours of audio of `<split>-<kind>`."""
        total = sum(region.stop - region.start for region in self._regions.get(kind, []))
        return total / self.sample_rate / 3600

    def crop(
        self, kind: str, length: int, random: np.random.Generator, full_band: bool = False
    ) -> NDArray[np.float32]:
        """`[length, channels]` from anywhere in `<split>-<kind>`, in [-1, 1]; short places end in zeros."""
        regions, ends = self._choices(kind, full_band)
        place = int(random.integers(ends[-1]))
        region = regions[bisect_right(ends, place)]
        start = int(random.integers(region.start, max(region.start, region.stop - length) + 1))
        samples = self._samples[region.file][start : min(start + length, region.stop)]
        out = np.zeros((length, self.channels), np.float32)
        out[: len(samples)] = samples
        return out / 32768

    def _choices(self, kind: str, full_band: bool) -> tuple[list[Region], list[int]]:
        if (kind, full_band) not in self._ends:
            regions = [r for r in self._regions.get(kind, []) if r.full_band or not full_band]
            if not regions:
                raise ConfigError(f"the pack has no {kind}")
            ends = np.cumsum([region.stop - region.start for region in regions]).tolist()
            self._ends[kind, full_band] = regions, ends
        return self._ends[kind, full_band]
