from __future__ import annotations

import numpy as np
import pytest

from sonant.audio import Audio
from sonant.errors import MissingDependencyError, SonantError
from sonant.evaluation.metrics import METRICS, opinion

RATE = 24_000
BEST = {"visqol_audio": 4.732, "pesq": 4.644, "stoi": 1.0}
COMPARING = ("visqol_audio", "visqol_speech", "pesq", "stoi")


def noisy(audio: Audio, snr: float) -> Audio:
    hiss = np.random.default_rng(0).standard_normal(audio.shape).astype(np.float32)
    gain = np.sqrt(np.mean(audio**2)) / np.sqrt(np.mean(hiss**2)) * 10 ** (-snr / 20)
    return audio + np.float32(gain) * hiss


@pytest.mark.parametrize("key", COMPARING)
def test_identical_is_best_and_noise_worsens_step_by_step(key: str, speech: Audio, music_24: Audio) -> None:
    audio = music_24 if key == "visqol_audio" else speech
    measure = METRICS[key].measure
    scores = [measure(audio, audio, RATE)]
    scores += [measure(audio, noisy(audio, snr), RATE) for snr in (40, 25, 10)]
    assert scores == sorted(scores, reverse=True)
    assert len(set(scores)) == len(scores)
    if key in BEST:
        assert scores[0] == pytest.approx(BEST[key], abs=2e-3)
        assert METRICS[key].scale[1] == pytest.approx(BEST[key], abs=2e-3)
    else:
        assert scores[0] > 4.3


def test_dnsmos_falls_with_noise(speech: Audio) -> None:
    pytest.importorskip("speechmos")
    measure = METRICS["dnsmos"].measure
    scores = [measure(speech, noisy(speech, snr), RATE) for snr in (40, 20, 5)]
    assert scores == sorted(scores, reverse=True)
    assert 1 <= scores[-1] < scores[0] <= 5


def test_plcmos_falls_with_lost_packets(speech: Audio) -> None:
    pytest.importorskip("speechmos")
    packet = RATE // 50
    scores = []
    for period in (1000, 10, 4):
        lossy = noisy(speech, 60)
        for start in range(packet, lossy.shape[1], period * packet):
            lossy[:, start : start + packet] = 0
        scores.append(METRICS["plcmos"].measure(speech, lossy, RATE))
    assert scores == sorted(scores, reverse=True)
    assert scores[0] > scores[-1] + 0.5


def test_plcmos_is_the_package_s_own_with_other_raters(speech_24: Audio) -> None:
    plcmos = pytest.importorskip("speechmos.plcmos")
    audio = np.asarray(speech_24[0, :16_001])
    theirs = plcmos.PLCMOS().stft_transform(audio)
    assert np.allclose(opinion._log_power(audio), theirs, atol=1e-5)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, speech_24: Audio) -> None:
    monkeypatch.setattr(opinion, "find_spec", lambda name: None)
    opinion._session.cache_clear()
    with pytest.raises(MissingDependencyError, match="pip install speechmos"):
        METRICS["dnsmos"].measure(speech_24, speech_24, RATE)


@pytest.mark.filterwarnings("ignore::RuntimeWarning:pesq")
def test_silence_has_no_score(speech_24: Audio) -> None:
    silence = np.zeros_like(speech_24)
    with pytest.raises(SonantError, match="no score"):
        METRICS["visqol_audio"].measure(silence, silence, RATE)
    with pytest.raises(SonantError, match="no score"):
        METRICS["pesq"].measure(silence, silence, RATE)


def test_a_word_alone_has_no_intelligibility(speech: Audio) -> None:
    word = np.where(np.arange(speech.shape[1]) // (RATE // 5) == 5, speech, 0)
    with pytest.raises(SonantError, match=r"STOI has no score for it \(less than 0\.4 s"):
        METRICS["stoi"].measure(word, word, RATE)
