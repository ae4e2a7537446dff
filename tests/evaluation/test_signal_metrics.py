from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonant.audio import Audio
from sonant.evaluation.metrics import METRICS
from sonant.evaluation.metrics.loudness import loudness
from sonant.evaluation.metrics.signal import (
    SI_SNR_LIMIT,
    bandwidth,
    best_lag,
    log_spectral_distance,
    mel_distance,
    mel_filters,
    si_snr,
    stft_distance,
)

RATE = 24_000


def noise(seconds: float = 2.0, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(int(seconds * RATE)) * 0.1


def orthogonal(to: np.ndarray, seed: int = 1) -> np.ndarray:
    """Zero-mean noise with no component along `to`, of the same power."""
    wanted, other = to - to.mean(), noise(len(to) / RATE, seed)
    other -= other.mean()
    other -= wanted * (other @ wanted) / (wanted @ wanted)
    return other * np.linalg.norm(wanted) / np.linalg.norm(other)


@given(st.floats(-20, 60), st.floats(0.01, 10), st.floats(-0.5, 0.5))
def test_si_snr_is_the_ratio_at_any_scale_and_offset(ratio: float, gain: float, offset: float) -> None:
    reference = noise(0.1)
    degraded = gain * (reference + orthogonal(reference) * 10 ** (-ratio / 20)) + offset
    assert si_snr(reference, degraded) == pytest.approx(ratio, abs=1e-6)


def test_si_snr_at_its_ends() -> None:
    x = noise()
    assert si_snr(x, x) == SI_SNR_LIMIT
    assert si_snr(x, orthogonal(x)) == -SI_SNR_LIMIT
    assert si_snr(x, np.zeros_like(x)) == -SI_SNR_LIMIT


@given(st.integers(-240, 240))
def test_a_delay_within_ten_milliseconds_is_found_and_undone(delay: int) -> None:
    whole = noise(0.3)
    reference, degraded = whole[300:-300], whole[300 - delay : len(whole) - 300 - delay]
    assert best_lag(reference, degraded, RATE) == delay
    score = METRICS["si_snr"].measure(reference[None].astype("f4"), degraded[None].astype("f4"), RATE)
    assert score == SI_SNR_LIMIT


def test_channels_in_opposition_are_aligned_too() -> None:
    one = np.random.default_rng(0).standard_normal(RATE).astype(np.float32)
    reference, late = np.stack([one, -one]), np.roll(np.stack([one, -one]), 30, axis=1)
    assert best_lag(reference, reference, RATE) == 0
    assert best_lag(reference, late, RATE) == 30
    assert METRICS["si_snr"].measure(reference, reference, RATE) == 100


def test_silence_is_not_moved() -> None:
    one = np.random.default_rng(0).standard_normal(RATE).astype(np.float32)
    assert best_lag(one, np.zeros_like(one), RATE) == 0


def test_half_the_level_is_six_decibels() -> None:
    x = noise()
    six = 20 * np.log10(2)
    assert mel_distance(x, x / 2, RATE) == pytest.approx(six, rel=1e-2)
    assert log_spectral_distance(x, x / 2, RATE) == pytest.approx(six, rel=2e-2)
    assert stft_distance(x, x / 2, RATE) == pytest.approx(0.5 + np.log(2), rel=1e-2)


def test_mel_filters_cover_the_spectrum_evenly() -> None:
    filters = mel_filters(RATE, 2048, 64)
    centres = filters.argmax(axis=1) * RATE / 2048
    mels = 2595 * np.log10(1 + centres / 700)
    assert np.allclose(np.diff(mels[10:]), np.diff(mels[10:]).mean(), rtol=0.35)
    assert filters[:, 40:900].sum(axis=0) == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("edge", [3500, 8000])
def test_bandwidth_is_where_the_spectrum_ends(edge: int) -> None:
    spectrum = np.fft.rfft(noise())
    spectrum[np.fft.rfftfreq(2 * RATE, 1 / RATE) > edge] = 0
    assert bandwidth(np.fft.irfft(spectrum), RATE) == pytest.approx(edge / 1000, abs=0.12)
    assert bandwidth(np.zeros(RATE), RATE) == 0


def test_loudness_of_the_standard_sine() -> None:
    """BS.1770: a full-scale sine of 997 Hz in one channel reads −3.01 LKFS."""
    sine = np.sin(2 * np.pi * 997 * np.arange(48_000 * 4) / 48_000)
    assert loudness(sine[None], 48_000) == pytest.approx(-3.01, abs=0.01)
    assert loudness(sine[None] / 10, 48_000) == pytest.approx(-23.01, abs=0.01)
    assert loudness(np.stack([sine, sine]), 48_000) == pytest.approx(0.0, abs=0.01)
    assert loudness(np.zeros((1, 48_000)), 48_000) == float("-inf")


def test_loudness_gates_pauses() -> None:
    sine = np.sin(2 * np.pi * 997 * np.arange(48_000 * 4) / 48_000)
    with_pause = np.concatenate([sine, np.zeros(48_000 * 4)])
    assert loudness(with_pause[None], 48_000) == pytest.approx(-3.01, abs=0.3)


WAVEFORM = [key for key in ("si_snr", "mel", "stft", "lsd") if METRICS[key].better]


@pytest.mark.parametrize("key", WAVEFORM)
def test_identical_is_best_and_noise_worsens_step_by_step(key: str, music_24: Audio) -> None:
    metric = METRICS[key]
    hiss = noise(3.0).astype(np.float32)[None]
    levels = (0.0, 0.001, 0.01, 0.1, 1.0)
    scores = [metric.better * metric.measure(music_24, music_24 + level * hiss, RATE) for level in levels]
    assert scores == sorted(scores, reverse=True)
    assert len(set(scores)) == len(levels)
