"""`sonant encode - -` and `decode - -` on a pipe that does not end: what goes in comes out soon."""

from __future__ import annotations

import subprocess
import sys
import threading

import numpy as np
import pytest

from sonant.audio.wav_pipe import wav_header

LIMIT = 120


def start(*arguments: str, stdin: int) -> subprocess.Popen[bytes]:
    program = [sys.executable, "-m", "sonant", *arguments]
    return subprocess.Popen(program, stdin=stdin, stdout=subprocess.PIPE)


@pytest.mark.parametrize(("chunk", "ready"), [("0.5", 2.5), ("5", 0.0)])
def test_audio_comes_out_while_it_still_goes_in(chunk: str, ready: float) -> None:
    """Of 3 s, all whole chunks are played before the pipe is closed."""
    encode = start("encode", "-", "-", "--chunk", chunk, stdin=subprocess.PIPE)
    assert encode.stdout
    assert encode.stdin
    decode = start("decode", "-", "-", stdin=encode.stdout.fileno())
    encode.stdout.close()
    assert decode.stdout
    samples = (3000 * np.random.default_rng(0).standard_normal(3 * 24_000)).astype("<i2")
    encode.stdin.write(wav_header(24_000, 1, None) + samples.tobytes())
    encode.stdin.flush()

    heard: list[bytes] = []
    early = 44 + 2 * int(24_000 * ready)
    reading = threading.Thread(target=lambda: heard.append(decode.stdout.read(early)), daemon=True)
    if ready:
        reading.start()
        reading.join(LIMIT)
        assert heard, "nothing came out while the pipe was open"
        assert len(heard[0]) == early
    encode.stdin.close()
    rest = decode.stdout.read()
    assert (encode.wait(LIMIT), decode.wait(LIMIT)) == (0, 0)
    assert len(b"".join(heard)) + len(rest) == 44 + 2 * 3 * 24_000
