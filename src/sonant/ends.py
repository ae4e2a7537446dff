"""Signals that end a program as exceptions, so that nothing half written stays."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

ENDS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]


@contextmanager
def ends_as_exceptions() -> Iterator[None]:
    """The first of these signals raises SystemExit with 128 and its number; those after it are too late.

    For the main thread. A signal that is ignored, as under nohup, stays so. An error that is made of
    SystemExit, as by the import of a module in C, becomes it again.
    """
    ending = 0

    def end(number: int, _: object) -> None:
        nonlocal ending
        if not ending:
            ending = 128 + number
            sys.exit(ending)

    heard = [number for number in ENDS if signal.getsignal(number) not in (None, signal.SIG_IGN)]
    before = {number: signal.signal(number, end) for number in heard}
    try:
        yield
    except Exception:
        if ending:
            sys.exit(ending)
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
