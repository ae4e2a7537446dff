"""Which bands ViSQOL's audio mode looks at, in what a codec makes of music.

python benchmarks/visqol_music.py CORPUS [--codec sonant:6] [--model 48khz] [--excerpts 12]

For the music of validation48: the similarity (NSIM) of every band of its gammatone spectrogram, and by
how much the score would rise for each 0.1 more of it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from visqol import VisqolApi

from sonant.evaluation.codecs import CodecSources, make_codec
from sonant.evaluation.codecs.base import round_trip
from sonant.evaluation.sets import bundled_set

STEP = 0.03


def main() -> None:
    """Print a row for each band."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--codec", default="sonant:6")
    parser.add_argument("--model", default="48khz")
    parser.add_argument("--excerpts", type=int, default=12)
    options = parser.parse_args()
    chosen = bundled_set("validation48").first(options.excerpts)
    codec = make_codec(options.codec, CodecSources(models={"sonant": options.model}))
    visqol = VisqolApi()
    visqol.create(mode="audio")
    mapped = visqol._manager.quality_mapper.predict_quality
    scores, similarity, rises = [], [], []
    for excerpt in chosen.excerpts:
        clip = chosen.render(excerpt, options.corpus)
        decoded, _ = round_trip(codec, clip, chosen.sample_rate)
        signals = [signal.mean(0).astype(float) for signal in (clip, decoded)]
        result = visqol.measure_from_arrays(*signals, sample_rate=chosen.sample_rate)
        bands = np.asarray(result.fvnsim)
        scores.append(result.moslqo)
        similarity.append(bands)
        now, raised = mapped(bands), bands + STEP * np.eye(len(bands))
        rises.append([(mapped(row) - now) * 0.1 / STEP for row in raised])
    print(f"{codec.name}: ViSQOL audio {np.mean(scores):.2f}")
    rows = zip(result.center_freq_bands, np.mean(similarity, axis=0), np.mean(rises, axis=0), strict=True)
    for hertz, mean, rise in rows:
        print(f"{hertz:8.0f} Hz  NSIM {mean:.2f}  {rise:+.3f} for 0.1 more")


if __name__ == "__main__":
    main()
