"""What a run over a corpus tells of itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass
class Summary:
    """What a run did: recordings done now and before, the seconds of those now, and those that failed."""

    coded: int = 0
    before: int = 0
    seconds: float = 0.0
    failures: tuple[str, ...] = ()


Progress = Callable[[int, int, Summary], None]
"""Called with the recordings done, their number, and the summary so far."""
