"""The benchmark measures what it says; its figures are not tested."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from sonant.benchmark.processes import SONANT, peak_megabytes, wall_seconds
from sonant.benchmark.speed import codec_calls, frame_milliseconds, noise, percentiles, real_time_factors
from sonant.codec import Codec


def test_every_call_codes_all_of_the_audio(codec: Codec) -> None:
    calls = codec_calls(codec, 3.0, 0.2)
    codes = calls["encode"]()
    assert codes.length == 4800
    assert calls["decode"]().shape == (1, 4800)
    assert sum(part.length for part in calls["encode, batch of 8"]()) == 4800
    calls["stream, encode + decode"]()
    calls["8 streams, encode + decode"]()
    assert len(frame_milliseconds(codec, 3.0, 0.2)) == 8


def test_the_best_of_all_turns_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0, 9, 10, 12, 20, 21, 30, 34])
    monkeypatch.setattr(time, "process_time", lambda: next(clock))
    assert real_time_factors({"call": lambda: None}, 10, 3) == {"call": 10}


def test_percentiles() -> None:
    wanted = {"p50": 500, "p90": 900, "p99": 990, "p99.9": 999}
    assert percentiles(list(np.arange(1001))) == pytest.approx(wanted)


def test_processes_that_fail_are_no_figures() -> None:
    assert peak_megabytes([*SONANT, "--version"]) > 5
    for measure in (peak_megabytes, lambda command: wall_seconds(command, 1)):
        with pytest.raises(subprocess.CalledProcessError):
            measure([*SONANT, "encode", "no.wav"])


def test_the_command_writes_its_figures(tmp_path: Path) -> None:
    from sonant.cli import main

    arguments = ["bench", "--seconds", "1", "--rounds", "1", "--memory", "1", "-b", "3", "--json"]
    with pytest.raises(SystemExit) as end:
        main([*arguments, str(tmp_path / "bench.json")])
    assert end.value.code == 0
    results = json.loads((tmp_path / "bench.json").read_text())
    assert results["model"] == "24khz"
    assert all(factor > 0 for factor in results["x_real_time"].values())
    files = {name for name in results["x_real_time"] if ".ecdc" in name}
    assert files == {f"{way}{lm}" for way in ("wav to .ecdc", ".ecdc to wav") for lm in ("", ", --no-lm")}
    assert set(results["frame_milliseconds"]) == {"p50", "p90", "p99", "p99.9"}
    assert min(results["memory_megabytes"]["1 s"].values()) > 20


def test_noise_has_the_shape_of_the_model(codec: Codec) -> None:
    assert noise(codec, 0.5).shape == (1, 12_000)


@pytest.mark.parametrize(
    ("option", "seconds"),
    [("--seconds", "1e308"), ("--seconds", "nan"), ("--seconds", "0.5"), ("--memory", "1e308")],
)
def test_lengths_that_cannot_be_measured_are_a_sentence(
    option: str, seconds: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from sonant.cli import main

    with pytest.raises(SystemExit) as end:
        main(["bench", option, seconds])
    assert end.value.code == 2
    assert "seconds of audio" in capsys.readouterr().err
