from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sonant.audio import Audio
from sonant.errors import ConfigError, SonantError
from sonant.evaluation.sets import (
    Clip,
    EvaluationSet,
    Excerpt,
    Layer,
    bundled_set,
    folder_set,
    read_manifest,
    with_noise,
)

RATE = 24_000


def one(*layers: Layer, seconds: float | None = None, level: bool = False) -> EvaluationSet:
    return EvaluationSet("t", RATE, 1, (Excerpt("e", "c", True, layers),), seconds, level)


def test_a_folder_s_categories_are_its_subfolders(folder: Path) -> None:
    found = folder_set(folder, RATE, 1)
    assert [(e.category, e.name, e.speech) for e in found.excerpts] == [
        ("music", "music/good.wav", False),
        ("speech", "speech/good.wav", True),
    ]
    with pytest.raises(ConfigError, match="holds no audio"):
        folder_set(folder / "empty", RATE, 1)


def test_clips_are_laid_end_to_end_and_cut(folder: Path, speech_24: Audio) -> None:
    clips = (Clip("speech/good.wav", 0.5, 1.0), Clip("speech/good.wav", 0.0, 1.0))
    audio = one(Layer(clips), seconds=2.0).render(one(Layer(clips)).excerpts[0], folder)
    assert audio.shape == (1, 2 * RATE)
    assert audio[0, :RATE] == pytest.approx(speech_24[0, RATE // 2 : RATE * 3 // 2], abs=1e-4)
    assert not audio[0, RATE : RATE + 3600].any()
    assert audio[0, RATE + 3600 :] == pytest.approx(speech_24[0, : RATE - 3600], abs=1e-4)


@pytest.mark.parametrize("snr", [0.0, 10.0])
def test_noise_is_added_at_its_level(folder: Path, snr: float) -> None:
    speech, noise = Layer((Clip("speech/good.wav"),)), Layer((Clip("music/good.wav"),), snr)
    both, clean = one(speech, noise), one(speech)
    mixed = both.render(both.excerpts[0], folder)
    wanted = clean.render(clean.excerpts[0], folder)
    ratio = 10 * np.log10(np.mean(wanted**2) / np.mean((mixed - wanted) ** 2))
    assert ratio == pytest.approx(snr, abs=0.01)


def test_a_short_noise_is_repeated_to_the_end_at_its_level(folder: Path) -> None:
    burst = 0.1 * np.random.default_rng(0).standard_normal(RATE // 2)
    soundfile.write(folder / "burst.wav", burst, RATE, subtype="FLOAT")
    noisy = with_noise(folder_set(folder, RATE, 1), ["burst.wav"], [10.0], seed=1)
    clean, both = (noisy.render(excerpt, folder) for excerpt in noisy.excerpts if excerpt.speech)
    noise = (both - clean)[0]
    assert 10 * np.log10(np.mean(clean**2) / np.mean(noise**2)) == pytest.approx(10, abs=0.01)
    for start in range(0, len(noise), RATE // 2):
        repeated = noise[start : start + RATE // 2]
        assert repeated == pytest.approx(noise[: len(repeated)], abs=1e-6)


def test_a_sum_stays_below_full_scale_and_a_lone_file_as_it_is(tmp_path: Path) -> None:
    tone = np.sin(np.arange(2 * RATE) / 9)
    soundfile.write(tmp_path / "tone.wav", tone, RATE, subtype="FLOAT")
    alone, both = one(Layer((Clip("tone.wav"),))), one(*[Layer((Clip("tone.wav"),), 0.0)] * 2)
    assert alone.render(alone.excerpts[0], tmp_path)[0] == pytest.approx(tone, abs=1e-6)
    assert both.render(both.excerpts[0], tmp_path)[0] == pytest.approx(0.98 * tone, abs=1e-5)


def test_noise_is_drawn_by_seed(folder: Path) -> None:
    base = folder_set(folder, RATE, 1)
    noises = [f"n{i}.wav" for i in range(100)]
    drawn = [with_noise(base, noises, (5.0, 10.0), seed) for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert drawn[0].categories == ["music", "speech", "noisy speech"]


def test_a_level_is_minus_23_decibels(folder: Path) -> None:
    leveled = one(Layer((Clip("music/good.wav"),)), level=True)
    audio = leveled.render(leveled.excerpts[0], folder)
    assert 20 * np.log10(np.sqrt(np.mean(audio**2))) == pytest.approx(-23.1, abs=0.05)


def test_a_floor_fills_pauses(folder: Path) -> None:
    with_floor = replace(one(Layer((Clip("music/good.wav", 0, 0.5),)), seconds=2.0), floor=-80.0)
    pause = with_floor.render(with_floor.excerpts[0], folder)[0, RATE:]
    assert 20 * np.log10(np.std(pause)) == pytest.approx(-80, abs=0.2)


@pytest.mark.parametrize(
    ("audio", "rate", "reason"),
    [
        (np.zeros(2 * RATE), RATE, "is silent"),
        (np.ones(RATE // 2) * 0.1, RATE, "shorter than 1 s"),
        (np.sin(np.arange(16_000)) * 0.1, 8000, "has only 8000 samples per second"),
    ],
)
def test_what_cannot_be_judged_is_named(tmp_path: Path, audio: np.ndarray, rate: int, reason: str) -> None:
    soundfile.write(tmp_path / "bad.wav", audio, rate)
    bad = one(Layer((Clip("bad.wav"),)))
    with pytest.raises(SonantError, match=reason):
        bad.render(bad.excerpts[0], tmp_path)


def test_a_manifest_comes_back_as_it_was(tmp_path: Path) -> None:
    bundled = [bundled_set(name) for name in ("validation24", "validation48")]
    for manifest in (*bundled, with_noise(bundled[0], ["n.wav"], [5.0], seed=1)):
        path = tmp_path / "m.json"
        path.write_text(manifest.to_json(), encoding="utf-8")
        assert read_manifest(path) == manifest


def test_the_bundled_lists_hold_what_the_report_says() -> None:
    mono, stereo = bundled_set("validation24"), bundled_set("validation48")
    assert mono.categories == ["clean speech", "noisy speech", "music 1", "music 2"]
    assert [len([e for e in mono.excerpts if e.category == c]) for c in mono.categories] == [12] * 4
    assert (stereo.sample_rate, stereo.channels, len(stereo.excerpts)) == (48_000, 2, 12)
    noisy = [e for e in mono.excerpts if e.category == "noisy speech"]
    assert {e.layers[1].snr for e in noisy} == {5.0, 10.0, 15.0}
    songs = [e for e in mono.excerpts if e.category == "music 2"]
    assert all(len(e.layers) == 2 and e.layers[1].snr is None for e in songs)
    assert len(mono.first(2).excerpts) == 8
    assert replace(mono.first(2), excerpts=mono.excerpts) == mono


def manifest(*rows: dict[str, object]) -> str:
    excerpts = [
        {"name": "a", "category": "c", "layers": [{"clips": [{"file": "a.wav"}]}]} | r for r in rows
    ]
    return json.dumps({"name": "x", "sample_rate": RATE, "excerpts": excerpts})


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", ""),
        (json.dumps({"name": "x"}), "'excerpts'"),
        (json.dumps([1]), ""),
        (manifest({}, {"category": "d"}), "2 excerpts are called 'a'"),
        (manifest({"layers": [{"clips": []}]}), "a layer without clips"),
        (manifest({"layers": [{"clips": [{"file": "a", "start": "soon"}]}]}), "'soon'"),
        (manifest({"layers": [{"clips": [{"file": "a", "start": -1}]}]}), "start is -1"),
        (manifest({"layers": [{"clips": [{"file": "a", "seconds": -0.5}]}]}), "seconds is -0.5"),
        (manifest({"layers": [{"clips": [{"file": "a", "seconds": 0}]}]}), "seconds is 0"),
        (manifest({"layers": [{"clips": [{"file": "a"}], "snr": float("nan")}]}), "snr is nan"),
        (manifest({}).replace(str(RATE), "0"), "a sample rate is between 1 and"),
        (manifest({}).replace("{", '{"channels": 0, ', 1), "channels is 0"),
        (manifest({}).replace("{", '{"seconds": Infinity, ', 1), "seconds is inf"),
        (manifest({}).replace("{", '{"seconds": 0.5, ', 1), "seconds is 0.5"),
        (manifest({}).replace("{", '{"floor": NaN, ', 1), "floor is nan"),
    ],
)
def test_a_bad_manifest_is_a_sentence(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "m.json").write_text(text)
    with pytest.raises(ConfigError, match=rf"m\.json: is not a list of excerpts .*{reason}"):
        read_manifest(tmp_path / "m.json")


def test_a_set_of_the_folder_that_one_is_in_has_its_name(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    assert folder_set(Path(), RATE, 1).name == folder.name
