"""How much of a codec's treble repeats, where the original's does not.

python benchmarks/buzz.py CORPUS --codecs sonant:6,opus:6,lyra:6 --lyra LYRA_FOLDER [--model 24khz]

Autocorrelation of validation24 above 2, 4 and 8 kHz, the largest at lags of 1 to 16 frames of 13.3 ms:
noise has 0.05, what is repeated for as long 1, and is heard as a buzz, or from four frames on as a flutter.
Then the coherence from 4.5 to 10.8 kHz, in spectra over a second, with what lies 600 and 1,200 Hz above:
noise has 0.01, noise whose power is modulated at that rate half of the depth. All are means over excerpts,
by category.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import scipy.signal
from codec_arguments import add_codecs, chosen_codecs
from numpy.typing import NDArray

from sonant.audio import Audio
from sonant.evaluation.codecs.base import CodecUnderTest, round_trip
from sonant.evaluation.sets import bundled_set

HOP = 320
CUTOFFS = (2000, 4000, 8000)
LAGS = range(1, 17)
BURSTS = (600, 1200)
TREBLE = (4500, 10_800)


def repetition(signal: NDArray[np.float32], rate: int, cutoff: float) -> float:
    """Largest autocorrelation of `[T]` above a frequency, at lags of whole frames."""
    treble = scipy.signal.sosfilt(scipy.signal.butter(6, cutoff, "hp", fs=rate, output="sos"), signal)
    pairs = [(treble[: -lag * HOP], treble[lag * HOP :]) for lag in LAGS]
    return float(np.max([a @ b / np.sqrt(a @ a * (b @ b) + 1e-12) for a, b in pairs]))


def spectra_of_seconds(signal: NDArray[np.float32], rate: int) -> NDArray[np.complex128]:
    """`[seconds, hertz]`."""
    seconds = signal[: len(signal) // rate * rate].reshape(-1, rate) * np.hanning(rate)
    return np.fft.rfft(seconds)


def in_bursts(spectra: NDArray[np.complex128], bursts: int) -> float:
    """Coherence of the treble with what lies so many hertz above it."""
    low, high = spectra[:, TREBLE[0] : TREBLE[1] - bursts], spectra[:, TREBLE[0] + bursts : TREBLE[1]]
    shared = np.abs(np.sum(low * high.conj(), axis=1))
    powers = [np.sum(np.abs(part) ** 2, axis=1) for part in (low, high)]
    return float(np.mean(shared / np.sqrt(powers[0] * powers[1] + 1e-12)))


def through(codec: CodecUnderTest, rate: int, clip: Audio) -> Audio:
    """A clip through a codec."""
    return round_trip(codec, clip, rate)[0]


def main() -> None:
    """Print a row for the originals and for every codec, a block for each category."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--model", default="24khz")
    add_codecs(parser)
    options = parser.parse_args()
    chosen = bundled_set("validation24")
    rate = chosen.sample_rate
    coders: dict[str, Callable[[Audio], Audio]] = {"original": lambda clip: clip}
    for codec in chosen_codecs(options):
        coders[codec.name] = partial(through, codec, rate)
    heads = [f"> {cutoff / 1000:g} kHz" for cutoff in CUTOFFS]
    heads += [f"in {bursts} Hz" for bursts in BURSTS]
    print(f"{'':14s} {'':12s}" + "".join(f"{head:>11s}" for head in heads))
    for category in dict.fromkeys(e.category for e in chosen.excerpts):
        clips = [chosen.render(e, options.corpus) for e in chosen.excerpts if e.category == category]
        for name, coder in coders.items():
            outputs = [coder(clip)[0] for clip in clips]
            values = [np.mean([repetition(x, rate, cutoff) for x in outputs]) for cutoff in CUTOFFS]
            spectra = [spectra_of_seconds(x, rate) for x in outputs]
            values += [np.mean([in_bursts(x, bursts) for x in spectra]) for bursts in BURSTS]
            print(f"{category:14s} {name:12s}" + "".join(f"{value:11.2f}" for value in values), flush=True)


if __name__ == "__main__":
    main()
