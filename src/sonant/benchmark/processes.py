"""Whole processes: what memory they take at most, and how long they run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from sonant.audio.wav_pipe import wav_header

SONANT = [sys.executable, "-m", "sonant"]
BLOCK_SECONDS = 10


def wall_seconds(command: Sequence[str], rounds: int) -> float:
    """The shortest time that a command takes from start to end, after one run to warm the disk."""
    times = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        times.append(time.perf_counter() - start)
    return min(times[1:])


def peak_megabytes(command: Sequence[str]) -> float:
    """The most memory that a command had resident."""
    return float(_from_a_small_process("_command_peak", list(command)))


def pipe_megabytes(
    model: str, rate: int, channels: int, seconds: float, bitrate: float = 6.0, options: Sequence[str] = ()
) -> tuple[float, float]:
    """The most memory of `encode - -` and of `decode - -` behind it, while noise goes through both.

    Args:
        model, rate, channels: the model, its samples per second and its channels.
        seconds: of noise.
        bitrate: kbit/s.
        options: of both commands, such as `--threads`.
    """
    encode, decode = _from_a_small_process(
        "_pipe_peaks", model, rate, channels, seconds, bitrate, list(options)
    )
    return encode, decode


def _from_a_small_process(function: str, *arguments: Any) -> Any:
    """Call a function of this module elsewhere: the peak of a process counts that of its parent too."""
    program = (
        "import json, sys; from sonant.benchmark import processes;"
        "print(json.dumps(getattr(processes, sys.argv[1])(*json.loads(sys.argv[2]))))"
    )
    command = [sys.executable, "-c", program, function, json.dumps(arguments)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def _command_peak(command: list[str]) -> float:
    return _peak(subprocess.Popen(command, stdout=subprocess.DEVNULL))


def _pipe_peaks(
    model: str, rate: int, channels: int, seconds: float, bitrate: float, options: list[str]
) -> tuple[float, float]:
    options = ["-m", model, *options]
    encode = subprocess.Popen(
        [*SONANT, "encode", "-", "-", "--no-lm", "-b", f"{bitrate:g}", *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert encode.stdin
    assert encode.stdout
    decode = subprocess.Popen(
        [*SONANT, "decode", "-", "-", *options], stdin=encode.stdout, stdout=subprocess.DEVNULL
    )
    encode.stdout.close()
    encode.stdin.write(wav_header(rate, channels, None))
    for block in _noise(rate, channels, seconds):
        encode.stdin.write(block)
    encode.stdin.close()
    return _peak(encode), _peak(decode)


def _peak(process: subprocess.Popen[bytes]) -> float:
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, process.args)
    return usage.ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def _noise(rate: int, channels: int, seconds: float) -> Iterator[bytes]:
    """16-bit noise; the same block again and again, so that making it takes no time."""
    samples = 3000 * np.random.default_rng(0).standard_normal((BLOCK_SECONDS * rate, channels))
    block = samples.astype("<i2").tobytes()
    left = round(seconds * rate) * 2 * channels
    while left > 0:
        yield block[:left]
        left -= len(block)
