"""How much of a codec's treble repeats from frame to frame, where the original's does not.

python benchmarks/buzz.py CORPUS --codecs sonant:6,opus:6,lyra:6 --lyra LYRA_FOLDER [--model 24khz]

Autocorrelation of validation24 above 2, 4 and 8 kHz at lags of one and two frames of 13.3 ms: mean over
excerpts, by category. Noise has 0, a buzz at the frame rate 1.
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


def repetition(signal: NDArray[np.float32], rate: int, cutoff: float) -> float:
    """Mean autocorrelation of `[T]` above a frequency, at lags of one and two frames."""
    treble = scipy.signal.sosfilt(scipy.signal.butter(6, cutoff, "hp", fs=rate, output="sos"), signal)
    pairs = [(treble[:-lag], treble[lag:]) for lag in (HOP, 2 * HOP)]
    return float(np.mean([a @ b / np.sqrt(a @ a * (b @ b) + 1e-12) for a, b in pairs]))


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
    print(f"{'':14s} {'':12s}" + "".join(f"{f'> {cutoff / 1000:g} kHz':>9s}" for cutoff in CUTOFFS))
    for category in dict.fromkeys(e.category for e in chosen.excerpts):
        clips = [chosen.render(e, options.corpus) for e in chosen.excerpts if e.category == category]
        for name, coder in coders.items():
            outputs = [coder(clip)[0] for clip in clips]
            values = [np.mean([repetition(x, rate, cutoff) for x in outputs]) for cutoff in CUTOFFS]
            print(f"{category:14s} {name:12s}" + "".join(f"{value:9.2f}" for value in values), flush=True)


if __name__ == "__main__":
    main()
