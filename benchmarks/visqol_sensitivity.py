"""How ViSQOL rates known degradations: `python benchmarks/visqol_sensitivity.py [--mode audio] AUDIO…`."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import scipy.signal
from numpy.typing import NDArray

from sonant.audio import read_audio
from sonant.evaluation.metrics.perceptual import visqol_audio, visqol_speech

RATE = 48_000
WINDOW, OVERLAP = 1024, 768
EVERYWHERE = (0.0, np.inf)
MODES = {"speech": visqol_speech, "audio": visqol_audio}
Signal = NDArray[np.float32]
Degradation = Callable[[Signal], Signal]


def only(side: str, cutoff: float) -> Degradation:
    """A "lowpass" or "highpass" at `cutoff` Hz."""
    filters = scipy.signal.butter(10, cutoff, side, fs=RATE, output="sos")
    return lambda x: scipy.signal.sosfiltfilt(filters, x).astype(np.float32)


def white_noise(snr: float) -> Degradation:
    """Add white noise `snr` dB below the signal."""
    random = np.random.default_rng(0)

    def degrade(x: Signal) -> Signal:
        noise = random.standard_normal(len(x)) * x.std() * 10 ** (-snr / 20)
        return (x + noise).astype(np.float32)

    return degrade


def random_phase(band: tuple[float, float], jitter: float) -> Degradation:
    """Replace the phase in a band of Hz, and scale its bins by gains of `jitter` dB standard deviation."""
    random = np.random.default_rng(0)

    def degrade(x: Signal) -> Signal:
        frequencies, _, spectrum = scipy.signal.stft(x, RATE, nperseg=WINDOW, noverlap=OVERLAP)
        gain = 10 ** (jitter / 20 * random.standard_normal(spectrum.shape))
        turned = spectrum * gain * np.exp(2j * np.pi * random.random(spectrum.shape))
        inside = (frequencies >= band[0]) & (frequencies < band[1])
        spectrum = np.where(inside[:, None], turned, spectrum)
        degraded = scipy.signal.istft(spectrum, RATE, nperseg=WINDOW, noverlap=OVERLAP)[1]
        return degraded[: len(x)].astype(np.float32)

    return degrade


def degradations() -> Iterator[tuple[str, Degradation]]:
    """What is tried, by name."""
    yield "unchanged", lambda x: x
    for jitter in (0.0, 3.0, 6.0):
        yield f"random phase, gains ± {jitter:.0f} dB", random_phase(EVERYWHERE, jitter)
    for band in ((0, 2000), (2000, 8000), (8000, np.inf)):
        yield f"… from {band[0]} to {band[1]} Hz", random_phase(band, 6.0)
    for cutoff in (2000, 4000, 8000, 16000):
        yield f"low-pass at {cutoff} Hz", only("lowpass", cutoff)
    for cutoff in (2000, 8000):
        yield f"high-pass at {cutoff} Hz", only("highpass", cutoff)
    for snr in (40, 30, 20, 10):
        yield f"white noise at {snr} dB SNR", white_noise(snr)


def main() -> None:
    """Print the mean score of every degradation over the files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("audio", type=Path, nargs="+")
    parser.add_argument("--mode", choices=MODES, default="speech")
    options = parser.parse_args()
    measure = MODES[options.mode]
    signals = [read_audio(path, RATE, 1)[0][0] for path in options.audio]
    for name, degrade in degradations():
        print(f"{name:32s} {np.mean([measure(x, degrade(x), RATE) for x in signals]):.2f}", flush=True)


if __name__ == "__main__":
    main()
