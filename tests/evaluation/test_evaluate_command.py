from __future__ import annotations

import json
from pathlib import Path

import pytest

from sonant.cli import main
from sonant.errors import ConfigError
from sonant.evaluation.codecs import CodecSources
from sonant.evaluation.command import Request, codec_sources, evaluate_set, evaluation_set, metric_keys

from .conftest import RATE, Halving


def call(*arguments: str | Path) -> int:
    with pytest.raises(SystemExit) as exit_:
        main(["evaluate", *map(str, arguments)])
    return int(exit_.value.code or 0)


def test_a_first_table_of_a_folder(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "speech" / "bad.wav").write_bytes(b"RIFF")
    out = tmp_path / "r.json"
    options = ["--codecs", "sonant:3,opus:12,evs:9.6", "--metrics", "si_snr,mel"]
    assert (
        call(folder, *options, "--cache", tmp_path / "c", "--json", out, "--noise", folder / "music") == 0
    )
    shown = capsys.readouterr().out
    assert "| Sonant 3 | 3.00 |" in shown
    assert "evs:9.6: EVS needs its reference programs" in shown
    assert "bad.wav" in shown
    rows = json.loads(out.read_text())["rows"]
    assert {row["category"] for row in rows} == {"music", "speech", "noisy speech"}


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["/no/such"], "no such folder or manifest"),
        ([".", "--codecs", "evs:9.6"], "holds no audio files"),
        ([".", "--metrics", "beauty"], "no metric"),
        (["validation24"], "validation24 lists parts of the corpus: --root CORPUS"),
        (
            ["validation24", "--root", ".", "--quick", "--codecs", "reference", "--cache", "c"],
            "nothing could be measured",
        ),
        (
            [".", "--metrics", "mel", "--codecs", "reference", "--cache", "a.wav/c"],
            "a.wav/c: Not a directory",
        ),
        ([".", "--metrics", "mel", "--codecs", "reference", "-o", "a.wav/r"], "a.wav/r: Not a directory"),
        (["a.wav", "--metrics", "mel"], "name the folder it is in"),
    ],
)
def test_mistakes_are_one_sentence(
    arguments: list[str],
    reason: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    if {"a.wav", "beauty", "a.wav/c", "a.wav/r"} & set(arguments):
        (tmp_path / "a.wav").write_bytes(b"")
    assert call(*arguments) == 2
    error = capsys.readouterr().err
    assert reason in error
    assert len(error.strip().split("\n")) == 1


def test_a_codec_whose_speed_cannot_be_measured_does_not_end_the_rest(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [Halving("crash", crash=True), Halving("good")]
    monkeypatch.setattr("sonant.evaluation.command.make_codecs", lambda *_: (made, {}))
    excerpts = evaluation_set(folder, RATE, None, 1)
    request = Request(excerpts, folder, (), CodecSources(), ("mel",), folder.parent / "c", speed=True)
    results, _ = evaluate_set(request)
    assert set(results.speed) == {"good"}
    assert results.missing == {"speed of crash": "the decoder fell over (RuntimeError in decode)"}


def test_names_of_models_and_sets() -> None:
    sources = codec_sources(2, ["MPD=a=b.safetensors"], None, None, ("x", "e", "d"))
    assert sources.models == {"sonant": "48khz", "MPD=a": "b.safetensors"}
    assert sources.external == {"x": ("e", "d")}
    assert evaluation_set(Path("validation48"), 24_000, None, 1).channels == 2
    with pytest.raises(ConfigError, match="validation48: is a list of excerpts; --noise adds to a folder"):
        evaluation_set(Path("validation48"), 24_000, Path("noises"), 1)
    assert len(metric_keys("")) == 13
    assert metric_keys("mel, si_snr,mel") == ("mel", "si_snr")
    with pytest.raises(ConfigError, match="NAME=MODEL"):
        codec_sources(1, ["x.safetensors"], None, None, None)
