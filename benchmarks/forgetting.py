"""How soon a decoder that begins in the middle of a recording gives what it gives for the whole of it.

python benchmarks/forgetting.py CORPUS --models 24khz,24khz_large [--bitrate 6]

For excerpts of validation24, begun 1 to 4 s after their start, 0 to 3 frames after a multiple of four: the
energy of the difference to the whole, relative to that of the whole, over what remains of the excerpt 0.25
and 0.5 s after the beginning. In dB: the mean over excerpts and beginnings, and the worst of 20.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import sonant
from sonant.codec import Codec
from sonant.codes import Codes
from sonant.evaluation.sets import bundled_set

SECONDS_BEFORE = (1, 2, 3, 4)
GRACES = (0.25, 0.5)


def differences(codec: Codec, codes: Codes) -> NDArray[np.float64]:
    """`[beginnings, graces]`, relative energies."""
    whole = codec.decode(codes)
    hop, rate = codec.config.hop_length, codec.config.sample_rate
    rows = []
    for remainder, seconds in enumerate(SECONDS_BEFORE):
        first = round(seconds * codec.config.frame_rate) // 4 * 4 + remainder
        rest = codec.decode(codes.part(first, codes.frames, codes.length - first * hop))
        expected = whole[:, first * hop :]
        after = [round(grace * rate) for grace in GRACES]
        rows.append([energy((rest - expected)[:, n:]) / energy(expected[:, n:]) for n in after])
    return np.array(rows)


def energy(audio: NDArray[np.float32]) -> float:
    """Sum of squares."""
    return float(np.square(audio, dtype=np.float64).sum())


def main() -> None:
    """Print a line per model."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--models", default="24khz")
    parser.add_argument("--bitrate", type=float, default=6.0)
    options = parser.parse_args()
    chosen = bundled_set("validation24")
    clips = [chosen.render(excerpt, options.corpus) for excerpt in chosen.excerpts]
    print(f"{'after':24s}" + "".join(f"{grace:8g} s  worst of 20" for grace in GRACES))
    for name in options.models.split(","):
        codec = sonant.load(name)
        codes = [codec.encode(clip, chosen.sample_rate, options.bitrate) for clip in clips]
        found = np.concatenate([differences(codec, each) for each in codes])
        levels = 10 * np.log10([found.mean(0), np.quantile(found, 0.95, axis=0)])
        print(f"{name[-24:]:24s}" + "".join(f"{mean:10.1f}{worst:13.1f}" for mean, worst in levels.T))


if __name__ == "__main__":
    main()
