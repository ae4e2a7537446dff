"""What a run found: rows, means with confidence intervals, and their JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

from sonant.evaluation.metrics import METRICS
from sonant.evaluation.statistics import NOT_NEGATIVE, Mean, bootstrap_mean

RATE = "kbps"
ENTROPY_CODED_RATE = "entropy_coded_kbps"
OF_EXCERPTS = ("audio", "process")
"""Keys of what is missing for the excerpt's sake, through whatever codec."""
_DIGITS = 6


@dataclass(frozen=True)
class Row:
    """One excerpt through one codec: its measured rate, its scores, and why others are missing.

    `kbps` counts the payload; `entropy_coded_kbps` is the rate with a language model, where there is one.
    """

    excerpt: str
    category: str
    codec: str
    family: str
    nominal_kbps: float
    kbps: float | None = None
    entropy_coded_kbps: float | None = None
    scores: dict[str, float] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    def value(self, quantity: str) -> float | None:
        """A score by its key, or one of the two rates."""
        if quantity == RATE:
            return self.kbps
        if quantity == ENTROPY_CODED_RATE:
            return self.entropy_coded_kbps
        return self.scores.get(quantity)


@dataclass(frozen=True)
class Results:
    """All rows of a run, in order, and what they were made from.

    `missing` maps codecs that could not be had to the reason; `speed` maps codecs to how many times
    faster than real time they encode and decode on one thread, and is empty unless asked for.
    """

    set_name: str
    sample_rate: int
    channels: int
    metrics: tuple[str, ...]
    rows: tuple[Row, ...]
    missing: dict[str, str] = field(default_factory=dict)
    speed: dict[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def categories(self) -> list[str]:
        """Categories, in the order of the set."""
        return list(dict.fromkeys(row.category for row in self.rows))

    @property
    def codecs(self) -> list[str]:
        """Names of the codecs, in the order they were asked for."""
        return list(dict.fromkeys(row.codec for row in self.rows))

    @cached_property
    def _values(self) -> dict[tuple[str, str, str], list[float]]:
        values: dict[tuple[str, str, str], list[float]] = {}
        for row in self.rows:
            for quantity in (RATE, ENTROPY_CODED_RATE, *self.metrics):
                value = row.value(quantity)
                if value is not None:
                    values.setdefault((row.codec, row.category, quantity), []).append(value)
        return values

    def mean(self, codec: str, quantity: str, categories: Sequence[str] | None = None) -> Mean | None:
        """Mean of a metric's key or a rate over the excerpts of some categories, by default of all."""
        wanted = self.categories if categories is None else categories
        values = [v for category in wanted for v in self._values.get((codec, category, quantity), [])]
        scale = METRICS[quantity].scale if quantity in METRICS else NOT_NEGATIVE
        return bootstrap_mean(values, scale) if values else None

    def family(self, codec: str) -> str:
        """The family of a codec."""
        return next(row.family for row in self.rows if row.codec == codec)

    def unread(self) -> list[str]:
        """The excerpts that no codec got, each once, with the reason, which may name them by their path."""
        reasons = {
            row.excerpt: reason
            for row in self.rows
            for key, reason in row.skipped.items()
            if key in OF_EXCERPTS
        }
        return [attributed(excerpt, why) for excerpt, why in reasons.items()]

    def skipped(self) -> dict[tuple[str, str], list[str]]:
        """For each codec and reason, the excerpts that it got and that could not be measured."""
        found: dict[tuple[str, str], list[str]] = {}
        for row in self.rows:
            for key, reason in row.skipped.items():
                if key not in OF_EXCERPTS:
                    found.setdefault((row.codec, reason), []).append(row.excerpt)
        return found

    def to_json(self) -> str:
        """Setup, means and rows; numbers to six decimals."""
        summary = [
            {"codec": codec, "category": category, "quantity": quantity, **asdict(mean)}
            for codec in self.codecs
            for category in self.categories
            for quantity in (RATE, ENTROPY_CODED_RATE, *self.metrics)
            if (mean := self.mean(codec, quantity, [category]))
        ]
        whole = {
            "set": self.set_name,
            "sample_rate": self.sample_rate,
            "channels": self.channels,
            "metrics": list(self.metrics),
            "missing": self.missing,
            "speed": {codec: list(pair) for codec, pair in self.speed.items()},
            "summary": summary,
            "rows": [asdict(row) for row in self.rows],
        }
        return json.dumps(_rounded(whole), indent=1, ensure_ascii=False) + "\n"


def attributed(name: str, reason: str) -> str:
    """A reason that begins with what it is of, unless it does already, or with the path of that."""
    return reason if f"/{name}: " in f"/{reason}" else f"{name}: {reason}"


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, _DIGITS)
    if isinstance(value, dict):
        return {key: _rounded(v) for key, v in value.items()}
    return [_rounded(v) for v in value] if isinstance(value, (list, tuple)) else value
