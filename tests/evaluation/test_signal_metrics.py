from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import stft

from sonant.audio import Audio
from sonant.evaluation.metrics import METRICS, _mono
from sonant.evaluation.metrics.loudness import loudness
from sonant.evaluation.metrics.signal import (
    SI_SNR_LIMIT,
    bandwidth,
    best_lag,
    log_spectral_distance,
    magnitudes,
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


@pytest.mark.parametrize("samples", [1, 2, 100])
def test_the_shortest_recordings_can_be_aligned(samples: int) -> None:
    one = np.ones((1, samples), np.float32)
    assert best_lag(one, one, RATE) == 0


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


SINE = np.sin(2 * np.pi * 997 * np.arange(48_000 * 4) / 48_000)


def low_passed(edge: int) -> np.ndarray:
    spectrum = np.fft.rfft(noise())
    spectrum[np.fft.rfftfreq(2 * RATE, 1 / RATE) > edge] = 0
    return np.fft.irfft(spectrum)


@pytest.mark.parametrize(
    ("below", "expected"), [(15, -3.01), (8, -3.01 + 10 * np.log10((1 + 10**-0.8) / 2))]
)
def test_loudness_leaves_out_what_is_10_lu_below(below: float, expected: float) -> None:
    both = np.concatenate([SINE, SINE * 10 ** (-below / 20)])
    assert loudness(both[None], 48_000) == pytest.approx(expected, abs=0.25)


def test_the_absolute_gate_is_at_minus_70() -> None:
    assert loudness(SINE[None] * 10 ** (-66 / 20), 48_000) == pytest.approx(-69.01, abs=0.01)
    assert loudness(SINE[None] * 10 ** (-68 / 20), 48_000) == float("-inf")


def test_loudness_is_that_of_blocks_of_400_ms_every_100_ms() -> None:
    tone = np.pad(SINE[: int(0.4 * 48_000)], int(0.2 * 48_000))
    expected = -3.01 + 10 * np.log10((0.5 + 0.75 + 1 + 0.75 + 0.5) / 5)
    assert loudness(tone[None], 48_000) == pytest.approx(expected, abs=0.1)


def test_a_louder_version_has_a_loudness_difference_above_zero() -> None:
    x = noise()[None].astype(np.float32)
    assert METRICS["loudness"].measure(x, 2 * x, RATE) == pytest.approx(6.02, abs=0.05)


def test_the_bandwidth_of_stereo_is_that_of_its_wider_channel() -> None:
    for channels in ((3500, 8000), (8000, 3500)):
        audio = np.stack([low_passed(edge) for edge in channels])
        assert METRICS["bandwidth"].measure(audio, audio, RATE) == pytest.approx(8, abs=0.12)


def test_a_tone_that_begins_at_once_is_no_wider() -> None:
    tone = np.cos(2 * np.pi * 1000 * np.arange(RATE // 4) / RATE)
    assert bandwidth(tone, RATE) < 1.3


def test_si_snr_takes_all_channels_as_one_signal() -> None:
    loud, quiet = noise(), 0.01 * noise(seed=1)
    wanted = np.stack([loud, quiet]).astype(np.float32)
    got = wanted + np.stack([0.1 * noise(seed=2), 0.1 * noise(seed=3)]).astype(np.float32)
    score = METRICS["si_snr"].measure(wanted, got, RATE)
    assert score == pytest.approx(si_snr(wanted.ravel(), got.ravel()), abs=1e-3)
    assert score == pytest.approx(10 * np.log10(1 / 0.02), abs=0.2)


def test_the_log_spectral_distance_is_a_mean_over_time() -> None:
    """Half of the time 0 dB, half of it 6: a root of the mean over all would be 4.3."""
    x = noise(4.0)
    got = np.concatenate([x[: len(x) // 2], x[len(x) // 2 :] / 2])
    assert log_spectral_distance(x, got, RATE) == pytest.approx(10 * np.log10(2), rel=0.05)


def test_a_delay_beyond_ten_milliseconds_is_not_undone() -> None:
    whole = noise(0.3)
    assert abs(best_lag(whole[600:], whole[:-600], RATE)) <= 240


def test_a_full_scale_sine_peaks_at_one() -> None:
    sine = np.sin(2 * np.pi * 3000 * np.arange(RATE) / RATE)
    assert magnitudes(sine, 1024)[8:-8].max() == pytest.approx(1, abs=1e-3)


def test_the_stft_distance_is_convergence_and_logs() -> None:
    x = noise()
    assert stft_distance(x, x / 2, RATE) == pytest.approx(0.5 + np.log(2), rel=0.01)


def test_the_stft_distance_is_the_mean_over_windows_of_512_to_2048() -> None:

    x, y, distances = noise(), noise(seed=1), []
    for size in (512, 1024, 2048):
        padded = (np.pad(audio, size // 2) for audio in (x, y))
        a, b = (
            2
            * np.abs(
                stft(
                    audio, window="hann", nperseg=size, noverlap=3 * size // 4, boundary=None, padded=False
                )[2]
            )
            for audio in padded
        )
        logs = np.abs(np.log(a + 1e-5) - np.log(b + 1e-5)).mean()
        distances.append(np.linalg.norm(a - b) / np.linalg.norm(a) + logs)
    assert stft_distance(x, y, RATE) == pytest.approx(np.mean(distances), rel=1e-6)


def test_spectral_distances_are_means_over_channels_and_hearing_gets_their_mean() -> None:
    x = noise().astype(np.float32)
    score = METRICS["mel"].measure(np.stack([x, x]), np.stack([x / 2, x]), RATE)
    assert score == pytest.approx(mel_distance(x, x / 2, RATE) / 2)
    pair = np.array([[1.0], [3.0]]), np.array([[10.0], [30.0]])
    assert _mono(lambda reference, degraded, rate: float(reference[0] + degraded[0]))(*pair, RATE) == 22
