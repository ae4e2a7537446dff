"""Processes that cannot begin, that are stopped as they begin, and that lose their terminal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from sonant.ends import ends_as_exceptions
from sonant.errors import SonantError, WeightsError
from sonant.parallel import in_order

SLEEPERS = """
import time
from functools import partial
from sonant.ends import ends_as_exceptions
from sonant.parallel import in_order
with ends_as_exceptions():
    for _ in in_order(partial(partial, time.sleep), [0, 0, 600, 600], 2):
        print("one is done", flush=True)
"""


def has_no_weights() -> Callable[[int], int]:
    raise WeightsError("24khz.safetensors: no such file")


def has_no_memory() -> Callable[[int], int]:
    raise MemoryError("no room")


def is_killed() -> Callable[[int], int]:
    os._exit(1)


class NoCopy:
    """What cannot be had in another process, as networks for which there is no memory."""

    def __reduce__(self) -> tuple[object, ...]:
        return has_no_memory, ()


@pytest.mark.parametrize(
    ("prepare", "kind", "reason"),
    [
        (has_no_weights, WeightsError, "^24khz.safetensors: no such file$"),
        (has_no_memory, SonantError, r"^a process cannot begin to work \(MemoryError: no room\)$"),
        (partial(str, NoCopy()), SonantError, r"^a process cannot begin to work \(MemoryError: no room\)$"),
        (is_killed, SonantError, "^processes die before they begin to work; free some memory, or use one"),
    ],
)
def test_processes_that_cannot_begin_are_one_error(
    prepare: Callable[[], Callable[[int], int]],
    kind: type[SonantError],
    reason: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(kind, match=reason):
        next(in_order(prepare, range(9), 2))
    assert capfd.readouterr().err == ""


def one_begins(folder: Path) -> Callable[[int], None]:
    try:
        (folder / "first").touch(exist_ok=False)
    except FileExistsError:
        (folder / "second").touch()
        time.sleep(600)
    return print


def appears(file: Path) -> None:
    while not file.exists():
        time.sleep(0.01)


def test_a_process_that_is_stopped_as_it_begins_says_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    results = in_order(partial(one_begins, tmp_path), range(9), 2)
    next(results)
    appears(tmp_path / "second")
    results.close()
    assert capfd.readouterr().err == ""


def cleans_up_after(file: Path) -> None:
    try:
        written = file.with_suffix(".written")
        written.write_text(str(os.getpid()))
        written.rename(file)
        time.sleep(0 if file.name == "0" else 600)
    finally:
        file.unlink()


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="a system without SIGHUP")
def test_what_is_at_work_cleans_up_when_its_terminal_goes(tmp_path: Path) -> None:
    results = in_order(partial(partial, cleans_up_after), [tmp_path / str(n) for n in range(2)], 2)
    next(results)
    appears(tmp_path / "1")
    os.kill(int((tmp_path / "1").read_text()), signal.SIGHUP)
    results.close()
    assert not (tmp_path / "1").exists()


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="a system without SIGHUP")
def test_a_terminal_that_goes_ends_all_processes_without_a_word() -> None:
    run = subprocess.Popen(
        [sys.executable, "-c", SLEEPERS],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert run.stdout is not None
    run.stdout.readline()
    os.killpg(run.pid, signal.SIGHUP)
    _, said = run.communicate(timeout=60)
    assert (run.returncode, said) == (128 + signal.SIGHUP, "")


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="a system without groups of processes")
def test_the_processes_of_one_that_is_killed_end_too() -> None:
    run = subprocess.Popen(
        [sys.executable, "-c", SLEEPERS], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert run.stdout is not None
    run.stdout.readline()
    run.kill()
    try:
        run.communicate(timeout=30)  # they hold the other end of the pipe
    finally:
        with suppress(ProcessLookupError):
            os.killpg(run.pid, signal.SIGKILL)


def test_signals_after_the_first_do_not_end_the_cleaning_up() -> None:
    cleaned = False
    with pytest.raises(SystemExit) as end, ends_as_exceptions():
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            signal.raise_signal(signal.SIGTERM)
            cleaned = True
    assert cleaned and end.value.code == 128 + signal.SIGTERM


def test_what_an_import_makes_of_a_signal_ends_the_program_as_the_signal_does() -> None:
    with pytest.raises(SystemExit) as end, ends_as_exceptions():
        try:
            signal.raise_signal(signal.SIGTERM)
        except SystemExit as stopped:
            raise ImportError("initialization failed") from stopped
    assert end.value.code == 128 + signal.SIGTERM
