"""Work on many inputs in processes: results in order, and no input stops the others."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import islice
from typing import Any, TypeVar

from sonant.ends import ENDS, ends_as_exceptions
from sonant.errors import SonantError

AHEAD = 4
STOPPED = 128 + signal.SIGTERM
UNHEARD = {signal.SIGINT, *ENDS} - {signal.SIGTERM}
"""What a terminal sends to all processes, of which this one then stops the others."""

Item = TypeVar("Item")
Result = TypeVar("Result")
Prepare = Callable[[], Callable[[Item], Result]]

_work: Callable[[Any], Any] | SonantError | None = None
"""In a process of a pool: what does the work, or why it could not be had."""


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def processes(jobs: int) -> int:
    """How many processes are asked for; 0 is one for each core.

    Raises:
        SonantError: below 0.
    """
    if jobs < 0:
        raise SonantError(f"jobs is 0 or more, not {jobs}")
    return jobs or cores()


def in_order(
    prepare: Prepare[Item, Result], items: Iterable[Item], jobs: int
) -> Iterator[tuple[Item, Result | SonantError]]:
    """Every item with its result, or with the error that it caused, in the order of the items.

    Args:
        prepare: called once in each process, it gives the function that does the work; picklable.
        items: picklable; their `str` names them in errors. Only a few are taken ahead of the results.
        jobs: processes; with 1 the work is done in this one.

    Raises:
        SonantError: if no process can begin to work.
    """
    if jobs == 1:
        work = prepare()
        yield from ((item, attempt(work, item)) for item in items)
        return
    waiting = iter(items)
    while first := list(islice(waiting, jobs * AHEAD)):
        lost = yield from _pool(prepare, first, waiting, jobs)
        while lost:
            lost = yield from _pool(prepare, lost, iter(()), 1)
            if lost:
                killer = lost.pop(0)
                yield killer, SonantError(f"{killer}: the process that worked on it died")


def attempt(work: Callable[[Item], Result], item: Item) -> Result | SonantError:
    """The result, or what went wrong as an error that names the item."""
    try:
        return work(item)
    except SonantError as error:
        return error
    except Exception as error:
        return SonantError(f"{item}: {type(error).__name__}: {error}")


def _pool(
    prepare: Prepare[Item, Result], first: list[Item], waiting: Iterator[Item], jobs: int
) -> Generator[tuple[Item, Result | SonantError], None, list[Item]]:
    """Work until all is done, or until a process dies: then the items without a result are returned.

    With one job the first of them is the one whose process died. Whatever else ends it early, an
    interruption among them, stops the processes at once: what they were writing goes.

    Raises:
        SonantError: if a process cannot begin to work, or dies before that and has been the only one.
    """
    unsent = deque(first)
    running: deque[tuple[Item, Future[Result | SonantError]]] = deque()
    with _interruptions_waiting():
        pool = _executor(prepare, jobs)
    with pool:
        try:
            with _interruptions_waiting():
                begun = pool.submit(_begin)
            while unsent or running:
                while unsent:
                    with _interruptions_waiting():
                        running.append((unsent[0], pool.submit(_call, unsent[0])))
                    unsent.popleft()
                item, future = running[0]
                result = future.result()
                running.popleft()
                yield item, result
                unsent.extend(islice(waiting, 1))
        except BrokenProcessPool:
            if jobs == 1 and begun.exception():
                raise SonantError(
                    "processes die before they begin to work; free some memory, or use one job"
                ) from None
            return [item for item, _ in running] + list(unsent)
        except BaseException:
            _stop(pool)
            raise
    return []


@contextmanager
def _interruptions_waiting() -> Iterator[None]:
    """Interruptions wait; processes that begin under it hear no terminal, even before they run our code."""
    if not hasattr(signal, "pthread_sigmask") or threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    handled = [number for number in (signal.SIGINT, *ENDS) if callable(signal.getsignal(number))]
    before = {number: signal.signal(number, lambda number, _: came.append(number)) for number in handled}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, UNHEARD)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for number, handler in before.items():
            signal.signal(number, handler)
    if came:
        signal.raise_signal(came[0])


def _stop(pool: ProcessPoolExecutor) -> None:
    """As Python 3.14 has it: what has begun, or waits in a pipe to the processes, cannot be cancelled."""
    for process in list(pool._processes.values()):
        process.terminate()


def _executor(prepare: Prepare[Item, Result], jobs: int) -> ProcessPoolExecutor:
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(jobs, context, initializer=_initialise, initargs=(pickle.dumps(prepare),))


def _initialise(prepare: bytes) -> None:
    """What goes wrong, from unpickling on, is kept for the calls to tell."""
    global _work
    threading.Thread(target=_end_with_parent, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, UNHEARD)
    try:
        _work = pickle.loads(prepare)()
    except SonantError as error:
        _work = error
    except Exception as error:
        _work = SonantError(f"a process cannot begin to work ({type(error).__name__}: {error})")


def _end_with_parent() -> None:
    """Stop when the process that asked for the work is gone; if it was killed, the queue stays open."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)


def _begin() -> None:
    """What a process does first: nothing."""


def _call(item: Any) -> Any:
    """Stopped, it ends the process: those of a pool go on with the next item whatever is raised.

    Raises:
        SonantError: if the process could not begin to work.
    """
    if isinstance(_work, SonantError):
        raise _work
    assert _work is not None
    try:
        with ends_as_exceptions():
            return attempt(_work, item)
    except SystemExit:
        os._exit(STOPPED)
