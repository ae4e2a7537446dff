"""Metrics computed from the waveforms alone, on mono float arrays `[samples]` of one length.

Distances are 0 for identical audio and grow with damage; SI-SNR grows with quality.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.floating]

MAX_LAG_SECONDS = 0.010
SI_SNR_LIMIT = 100.0
SPECTRAL_WINDOWS = (512, 1024, 2048)
FLOOR = 1e-5


def best_lag(reference: Samples, degraded: Samples, sample_rate: int) -> int:
    """Samples by which `degraded` `[..., samples]` is late, within ±10 ms.

    The peak of the cross-correlation, summed over channels; 0 where nothing correlates.
    """
    size = 1 << (reference.shape[-1] + degraded.shape[-1] - 1).bit_length()
    spectrum = np.fft.rfft(degraded, size) * np.conj(np.fft.rfft(reference, size))
    correlation = np.fft.irfft(spectrum, size).reshape(-1, size).sum(axis=0)
    span = min(int(MAX_LAG_SECONDS * sample_rate), size // 2 - 1)
    lags = np.arange(-span, span + 1)
    peak = int(lags[np.argmax(correlation[lags])])
    return peak if correlation[peak] > 0 else 0


def shifted(reference: Samples, degraded: Samples, lag: int) -> tuple[Samples, Samples]:
    """The parts of `[..., samples]` that overlap once `degraded` is moved back by `lag`."""
    late, early = max(lag, 0), max(-lag, 0)
    length = min(reference.shape[-1] - early, degraded.shape[-1] - late)
    return reference[..., early : early + length], degraded[..., late : late + length]


def si_snr(reference: Samples, degraded: Samples) -> float:
    """Scale-invariant signal-to-noise ratio in dB (Luo and Mesgarani 2019), at most 100.

    Both are made zero-mean; the target is the projection of `degraded` on `reference`.
    """
    target = np.asarray(reference, np.float64) - np.mean(reference, dtype=np.float64)
    estimate = np.asarray(degraded, np.float64) - np.mean(degraded, dtype=np.float64)
    projection = target * (float(estimate @ target) / max(float(target @ target), 1e-20))
    noise = estimate - projection
    ratio = float(projection @ projection) / max(float(noise @ noise), 1e-20)
    return float(np.clip(10 * math.log10(max(ratio, 1e-20)), -SI_SNR_LIMIT, SI_SNR_LIMIT))


def magnitudes(audio: Samples, window: int) -> NDArray[np.float64]:
    """`[frames, window/2 + 1]` of a Hann STFT with hop window/4; a full-scale sine peaks at 1."""
    hop = window // 4
    padded = np.pad(np.asarray(audio, np.float64), window // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, window)[::hop]
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    return np.abs(np.fft.rfft(frames * hann, axis=1)) * (2 / hann.sum())


def mel_filters(sample_rate: int, window: int, bands: int) -> NDArray[np.float64]:
    """`[bands, window/2 + 1]` triangles, evenly spaced on the HTK mel scale from 0 to Nyquist."""
    top = 2595 * math.log10(1 + sample_rate / 2 / 700)
    edges = 700 * (10 ** (np.linspace(0, top, bands + 2) / 2595) - 1)
    frequencies = np.linspace(0, sample_rate / 2, window // 2 + 1)
    lower, centre, upper = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising = (frequencies - lower) / (centre - lower)
    falling = (upper - frequencies) / (upper - centre)
    return np.maximum(0, np.minimum(rising, falling))


def mel_distance(reference: Samples, degraded: Samples, sample_rate: int) -> float:
    """Mean absolute difference in dB of log-mel spectrograms, 64 bands, windows of 2^9 to 2^11."""
    distances = []
    for window in SPECTRAL_WINDOWS:
        filters = mel_filters(sample_rate, window, 64).T
        mels = [20 * np.log10(magnitudes(x, window) @ filters + FLOOR) for x in (reference, degraded)]
        distances.append(np.abs(mels[0] - mels[1]).mean())
    return float(np.mean(distances))


def stft_distance(reference: Samples, degraded: Samples, sample_rate: int) -> float:
    """Spectral convergence plus log-magnitude distance (Yamamoto et al. 2020), mean over windows."""
    distances = []
    for window in SPECTRAL_WINDOWS:
        wanted, got = magnitudes(reference, window), magnitudes(degraded, window)
        convergence = np.linalg.norm(wanted - got) / (np.linalg.norm(wanted) + 1e-20)
        logs = np.abs(np.log(wanted + FLOOR) - np.log(got + FLOOR)).mean()
        distances.append(convergence + logs)
    return float(np.mean(distances))


def log_spectral_distance(reference: Samples, degraded: Samples, sample_rate: int) -> float:
    """Root-mean-square over frequency of the level difference in dB, mean over time (Gray 1976)."""
    wanted, got = (20 * np.log10(magnitudes(x, 2048) + FLOOR) for x in (reference, degraded))
    return float(np.sqrt(np.square(wanted - got).mean(axis=1)).mean())


def bandwidth(audio: Samples, sample_rate: int) -> float:
    """Highest frequency in kHz where the mean spectrum is less than 60 dB under its peak.

    Windows that reach over the ends are left out.
    """
    power = np.square(magnitudes(audio, 1024)[2:-4]).mean(axis=0)
    loud = np.flatnonzero(power > power.max() * 10**-6)
    return float(loud[-1] * sample_rate / 1024 / 1000) if power.max() > 0 else 0.0
