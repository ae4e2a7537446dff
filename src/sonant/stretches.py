"""Which stretches of a recording have been seen."""

from __future__ import annotations

from bisect import bisect_left, bisect_right


class Stretches:
    """Stretches of a recording, joined where they touch."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._stops: list[int] = []

    def add(self, start: int, stop: int) -> bool:
        """Add one; returns whether any of it is new."""
        touching = slice(bisect_left(self._stops, start), bisect_right(self._starts, stop))
        starts, stops = self._starts[touching], self._stops[touching]
        self._starts[touching] = [min([start, *starts])]
        self._stops[touching] = [max([stop, *stops])]
        return len(starts) != 1 or start < starts[0] or stops[0] < stop
