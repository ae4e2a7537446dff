"""SIGTERM and SIGINT as a wish that a run looks at between steps."""

from __future__ import annotations

import signal
from typing import Any

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopRequest:
    """Whether one of the signals has come since this context was entered, in the main thread."""

    def __init__(self) -> None:
        self.made = False
        self._handlers: list[Any] = []

    def __enter__(self) -> StopRequest:
        self._handlers = [signal.signal(number, self._make) for number in SIGNALS]
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in zip(SIGNALS, self._handlers, strict=True):
            signal.signal(number, handler)

    def _make(self, *_: object) -> None:
        self.made = True


def leave_signals_to_the_parent(_: int) -> None:
    """What a worker process of a run begins with."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
