from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from sonant.audio import Audio
from sonant.errors import AudioError
from sonant.evaluation.cache import audio_hash, content_hash
from sonant.evaluation.codecs import CodecUnderTest, Original
from sonant.evaluation.codecs.base import Payload
from sonant.evaluation.codecs.sonant import SonantCodec
from sonant.evaluation.metrics import METRICS as ALL_METRICS
from sonant.evaluation.report.markdown import cell
from sonant.evaluation.results import Results, Row
from sonant.evaluation.run import Plan, reason, run
from sonant.evaluation.sets import folder_set
from sonant.evaluation.statistics import Mean, bootstrap_mean

from .conftest import RATE, Halving

METRICS = ("si_snr", "mel", "stoi")


def plan(folder: Path, *codecs: CodecUnderTest, metrics: tuple[str, ...] = METRICS) -> Plan:
    return Plan(folder_set(folder, RATE, 1), folder, codecs, metrics, folder.parent / "cache")


def test_rows_hold_rates_and_scores(folder: Path) -> None:
    results = run(plan(folder, Original(), Halving()))
    assert [(row.category, row.codec) for row in results.rows] == [
        ("music", "reference"),
        ("music", "halving"),
        ("speech", "reference"),
        ("speech", "halving"),
    ]
    halved = results.rows[3]
    assert halved.kbps == 16 * RATE / 1000
    assert halved.scores["si_snr"] > 60
    assert 4 < halved.scores["mel"] < 6.03
    assert results.rows[2].scores == {"si_snr": 100.0, "mel": 0.0, "stoi": pytest.approx(1)}
    assert "stoi" not in results.rows[1].scores, "speech metrics are for speech only"


def test_a_second_run_codes_nothing_and_a_longer_one_only_what_is_new(folder: Path) -> None:
    codec = Halving()
    first = run(plan(folder, codec))
    assert codec.calls == 2
    assert run(plan(folder, codec)) == first
    assert codec.calls == 2
    soundfile.write(folder / "music" / "more.wav", 0.1 * np.sin(np.arange(2 * RATE) / 9), RATE)
    assert len(run(plan(folder, codec)).rows) == 3
    assert codec.calls == 3


@pytest.mark.parametrize("part", ["CHUNK_SECONDS", "code_identity"])
def test_entropy_coded_sizes_are_those_of_this_code(
    folder: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    sizes = iter(range(3000, 30_000, 3000))
    monkeypatch.setattr(SonantCodec, "language_model_hash", "x")
    monkeypatch.setattr(SonantCodec, "entropy_coded_bits", lambda *_: next(sizes))
    one = plan(folder, SonantCodec("24khz", 1.5), metrics=())
    assert [row.entropy_coded_kbps for row in run(one).rows] == [1, 2]
    assert [row.entropy_coded_kbps for row in run(one).rows] == [1, 2]
    monkeypatch.setattr(f"sonant.evaluation.run.{part}", lambda *_: "other code")
    assert [row.entropy_coded_kbps for row in run(one).rows] == [3, 4]


def test_two_processes_give_the_same(folder: Path) -> None:
    one = plan(folder, Original(), metrics=("si_snr", "lsd"))
    assert run(one, jobs=2).to_json() == run(replace(one, cache=folder / "other"), jobs=1).to_json()


class LongIsSlow(Halving):
    """Takes seconds for excerpts of more than two seconds, and tells so in a folder."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def encode(self, audio: Audio, sample_rate: int) -> Payload:
        if audio.shape[1] > 2 * RATE:
            (self.folder / "begun").touch()
            time.sleep(3)
            (self.folder / "ended").touch()
        return super().encode(audio, sample_rate)


def test_an_interruption_stops_what_other_processes_measure(folder: Path, tmp_path: Path) -> None:
    soundfile.write(folder / "music" / "good.wav", 0.1 * np.sin(np.arange(RATE) / 9), RATE)

    def interrupted(*_: object) -> None:
        while not (tmp_path / "begun").exists():
            time.sleep(0.01)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(plan(folder, LongIsSlow(tmp_path), metrics=()), jobs=2, progress=interrupted)
    assert not (tmp_path / "ended").exists()


class LongIsDeadly(Halving):
    """Ends the process of an excerpt of more than two seconds."""

    def encode(self, audio: Audio, sample_rate: int) -> Payload:
        return super().encode(audio, sample_rate) if audio.shape[1] <= 2 * RATE else os._exit(1)


def test_a_process_that_dies_costs_one_excerpt(folder: Path) -> None:
    soundfile.write(folder / "music" / "good.wav", 0.1 * np.sin(np.arange(RATE) / 9), RATE)
    music, speech = run(plan(folder, LongIsDeadly(), metrics=("mel",)), jobs=2).rows
    assert music.scores
    assert speech.skipped == {"process": "speech/good.wav: the process that worked on it died"}


def test_what_goes_wrong_is_a_named_row_and_the_rest_goes_on(folder: Path) -> None:
    soundfile.write(folder / "speech" / "telephone.wav", 0.1 * np.sin(np.arange(16_000)), 8000)
    soundfile.write(folder / "speech" / "silent.wav", np.zeros(2 * RATE), RATE)
    soundfile.write(folder / "speech" / "short.wav", 0.1 * np.ones(100), RATE)
    (folder / "speech" / "damaged.wav").write_bytes(b"RIFF no audio")
    one = plan(folder, Halving("crash", crash=True), Halving("long", cut=9000), Halving("good"))
    (folder / "music" / "good.wav").unlink()
    results = run(one)
    reasons = {(row.excerpt, row.codec): row.skipped for row in results.rows}
    assert "no such file" in reasons["music/good.wav", "good"]["audio"]
    assert "8000 samples per second" in reasons["speech/telephone.wav", "good"]["audio"]
    assert "is silent" in reasons["speech/silent.wav", "good"]["audio"]
    assert "shorter than" in reasons["speech/short.wav", "good"]["audio"]
    assert "damaged.wav" in reasons["speech/damaged.wav", "good"]["audio"]
    assert reasons["speech/good.wav", "crash"] == {
        "codec": "the decoder fell over (RuntimeError in decode)"
    }
    assert "gave 2.62 s for 3.00 s" in reasons["speech/good.wav", "long"]["codec"]
    assert reasons["speech/good.wav", "good"] == {}
    assert results.mean("good", "mel").count == 1
    assert results.mean("crash", "mel") is None


def fails_in_onnx_runtime(*_: object) -> float:
    onnxruntime.InferenceSession(b"no model")
    return 0.0


def asks_what_is_not_there(*_: object) -> float:
    return {}["score"]


@pytest.mark.parametrize(
    ("measure", "reason"),
    [(fails_in_onnx_runtime, "ONNXRuntimeError"), (asks_what_is_not_there, "'score' (KeyError in asks_")],
)
def test_any_error_of_a_metric_is_its_reason_and_the_rest_goes_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch, measure: Callable[..., float], reason: str
) -> None:
    monkeypatch.setitem(ALL_METRICS, "dnsmos", replace(ALL_METRICS["dnsmos"], measure=measure))
    results = run(plan(folder, Halving(), metrics=("dnsmos", "mel")))
    music, speech = results.rows
    assert speech.skipped["dnsmos"].startswith("DNSMOS: ") and reason in speech.skipped["dnsmos"]
    assert (set(music.scores), set(speech.scores)) == ({"mel"}, {"mel"})


def test_codes_that_cannot_be_entropy_coded_are_measured_without(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> int:
        raise ValueError("no such frequency")

    monkeypatch.setattr(SonantCodec, "language_model_hash", "x")
    monkeypatch.setattr(SonantCodec, "entropy_coded_bits", fails)
    for row in run(plan(folder, SonantCodec("24khz", 1.5), metrics=("mel",))).rows:
        assert row.scores and row.entropy_coded_kbps is None
        assert row.skipped == {"entropy coding": "no such frequency (ValueError in fails)"}


def test_the_json_of_results_holds_every_row(folder: Path) -> None:
    results = replace(
        run(plan(folder, Halving())), missing={"evs:9.6": "no"}, speed={"halving": (2.0, 3.0)}
    )
    found = json.loads(results.to_json())
    assert found["missing"] == {"evs:9.6": "no"}
    assert found["speed"] == {"halving": [2.0, 3.0]}
    assert [row["excerpt"] for row in found["rows"]] == [row.excerpt for row in results.rows]
    assert found["rows"][0]["scores"] == pytest.approx(results.rows[0].scores, abs=1e-5)


def test_means_over_categories_weigh_excerpts() -> None:
    scores = {"a": [1.0, 2.0], "b": [6.0]}
    rows = [
        Row("x", category, "c", "c", 6, 6.0, scores={"mel": value})
        for category, values in scores.items()
        for value in values
    ]
    results = Results("s", RATE, 1, ("mel",), tuple(rows))
    assert results.mean("c", "mel").value == 3.0
    assert results.mean("c", "mel", ["a"]).value == 1.5


@given(st.lists(st.floats(-100, 100), min_size=2, max_size=20))
def test_the_interval_holds_the_mean(values: list[float]) -> None:
    mean = bootstrap_mean(values)
    assert mean.low is not None and mean.high is not None
    assert mean.low <= mean.value + 1e-9
    assert mean.value - 1e-9 <= mean.high
    assert mean == bootstrap_mean(values)


@pytest.mark.parametrize("count", [3, 4, 12])
def test_95_of_100_intervals_of_a_few_values_hold_the_truth(count: int) -> None:
    random = np.random.default_rng(2)
    means = [bootstrap_mean(random.normal(1, 2, count).tolist()) for _ in range(400)]
    assert 0.92 < np.mean([mean.low < 1 < mean.high for mean in means]) < 0.98


def test_one_value_has_no_interval() -> None:
    assert bootstrap_mean([2.0]) == Mean(2.0, None, None, 1)
    assert cell(bootstrap_mean([2.0])) == "2.00"


def test_the_interval_is_as_wide_as_theory_says() -> None:
    values = np.random.default_rng(5).standard_normal(400)
    mean = bootstrap_mean(values.tolist())
    assert mean.high - mean.low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.06)
    with pytest.raises(ValueError, match="no values"):
        bootstrap_mean([])


def test_the_interval_of_two_values_is_as_wide_as_t_and_their_bias_make_it() -> None:
    mean = bootstrap_mean([0.0, 2.0])
    assert mean.high == pytest.approx(1 + 2**0.5 * 12.7062 / 1.95996, rel=1e-4)
    assert mean.low == pytest.approx(2 - mean.high)


def test_an_interval_ends_where_the_scale_does() -> None:
    rows = [
        Row("x", "a", "c", "c", 6, 6.0, scores={"visqol_audio": value, "si_snr": value})
        for value in (4.0, 4.6)
    ]
    results = Results("s", RATE, 1, ("visqol_audio", "si_snr"), tuple(rows))
    opinion, ratio = results.mean("c", "visqol_audio"), results.mean("c", "si_snr")
    assert (opinion.low, opinion.high) == (pytest.approx(ratio.low), 4.733)
    assert ratio.high > 5
    assert bootstrap_mean([5.2, 5.4], (1.0, 5.0)).high == pytest.approx(5.3), "not below the mean"


def test_a_reason_is_whole_though_a_name_in_it_has_lines() -> None:
    assert reason(AudioError("a\nb.wav: cannot be read")) == "a\nb.wav: cannot be read"


def test_hashes_tell_parts_shapes_and_rates_apart() -> None:
    assert content_hash("ab", "c") != content_hash("a", "bc")
    flat, square = np.zeros((1, 4), np.float32), np.zeros((2, 2), np.float32)
    assert len({audio_hash(flat, 24_000), audio_hash(square, 24_000), audio_hash(flat, 48_000)}) == 3
