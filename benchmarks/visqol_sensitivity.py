"""How ViSQOL's speech mode rates known degradations: `python benchmarks/visqol_sensitivity.py AUDIO…`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import scipy.signal
from numpy.typing import NDArray

from sonant.audio import read_audio
from sonant.evaluation.metrics.perceptual import visqol_speech

RATE = 24_000
Signal = NDArray[np.float32]
Degradation = Callable[[Signal], Signal]


def low_pass(cutoff: float) -> Degradation:
    """Remove what lies above `cutoff` Hz."""
    filters = scipy.signal.butter(10, cutoff, fs=RATE, output="sos")
    return lambda x: scipy.signal.sosfiltfilt(filters, x).astype(np.float32)


def white_noise(snr: float) -> Degradation:
    """Add white noise `snr` dB below the signal."""
    random = np.random.default_rng(0)

    def degrade(x: Signal) -> Signal:
        noise = random.standard_normal(len(x)) * x.std() * 10 ** (-snr / 20)
        return (x + noise).astype(np.float32)

    return degrade


def random_phase(from_hertz: float, jitter: float) -> Degradation:
    """Replace the phase above a frequency, and scale bins by gains of `jitter` dB standard deviation."""
    random = np.random.default_rng(0)

    def degrade(x: Signal) -> Signal:
        frequencies, _, spectrum = scipy.signal.stft(x, RATE, nperseg=512, noverlap=384)
        gain = 10 ** (jitter / 20 * random.standard_normal(spectrum.shape))
        turned = spectrum * gain * np.exp(2j * np.pi * random.random(spectrum.shape))
        spectrum = np.where(frequencies[:, None] >= from_hertz, turned, spectrum)
        return scipy.signal.istft(spectrum, RATE, nperseg=512, noverlap=384)[1][: len(x)].astype(np.float32)

    return degrade


def degradations() -> Iterator[tuple[str, Degradation]]:
    """What is tried, by name."""
    yield "unchanged", lambda x: x
    for jitter in (0.0, 3.0, 6.0):
        yield f"random phase, gains ± {jitter:.0f} dB", random_phase(0, jitter)
    for cutoff in (2000, 4000):
        yield f"low-pass at {cutoff} Hz", low_pass(cutoff)
    for snr in (40, 30, 20, 10):
        yield f"white noise at {snr} dB SNR", white_noise(snr)


def main(paths: list[Path]) -> None:
    """Print the mean score of every degradation over the files."""
    signals = [read_audio(path, RATE, 1)[0][0] for path in paths]
    for name, degrade in degradations():
        print(f"{name:32s} {np.mean([visqol_speech(x, degrade(x), RATE) for x in signals]):.2f}")


if __name__ == "__main__":
    main([Path(argument) for argument in sys.argv[1:]])
