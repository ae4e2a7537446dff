"""What the search for codes saves, and what it costs in quality, by strength and category.

    python benchmarks/rate_distortion.py ROOT [--strengths 0 0.1] [--bitrates 3 6] [--beam 3]

ROOT is the folder that the files of the evaluation set lie in. Strength 0 stands for the nearest
entries of each codebook in turn. Rates count chunks with their heads and checksums; ViSQOL is in
speech mode, and PESQ measured, for speech.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np

import sonant
from sonant.audio import Audio
from sonant.codec import Codec
from sonant.codes import Codes, join
from sonant.entropy.integer_lm import IntegerLanguageModel
from sonant.entropy.rate_distortion import BEAM, STRENGTH, RateDistortionSearch
from sonant.evaluation.files_in_memory import played, written
from sonant.evaluation.metrics import METRICS
from sonant.evaluation.sets import EvaluationSet, Excerpt, bundled_set
from sonant.language_models import language_model
from sonant.streams import finish_all, push_all


def coded(
    codec: Codec, lm: IntegerLanguageModel, codes: Codes, search: RateDistortionSearch | None
) -> tuple[int, Audio]:
    """Bytes of the chunks of a version 1 file of these codes, and its audio."""
    file, index = written(codec, lm, codes, search)
    return sum(index.sizes), played(codec, file)


def scores_of(excerpts: EvaluationSet, excerpt: Excerpt, audio: Audio, decoded: Audio) -> list[float]:
    """SI-SNR and ViSQOL, in speech mode and with PESQ for speech."""
    names = ["si_snr", "visqol_speech", "pesq"] if excerpt.speech else ["si_snr", "visqol_audio"]
    return [METRICS[name].measure(audio, decoded, excerpts.sample_rate) for name in names]


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("root", type=Path)
    parser.add_argument("--model", default="24khz")
    parser.add_argument("--set", default="validation24")
    parser.add_argument("--strengths", type=float, nargs="+", default=[0, STRENGTH])
    parser.add_argument("--bitrates", type=float, nargs="+", default=[3.0, 6.0])
    parser.add_argument("--beam", type=int, default=BEAM)
    options = parser.parse_args()
    codec = sonant.load(options.model, beam=1)
    lm = language_model(codec)
    assert lm is not None
    excerpts = bundled_set(options.set)
    clips = [excerpts.render(excerpt, options.root) for excerpt in excerpts.excerpts]
    streams = [codec.encoder(max(options.bitrates), latents=True) for _ in clips]
    pieces = zip(push_all(streams, clips), finish_all(streams), strict=True)
    nearest = [join(both) for both in pieces]
    books = codec.weights["codebooks"]
    print("| kbit/s | strength | category | coded kbit/s | saving | SI-SNR | ViSQOL | PESQ |")
    print("|--:|--:|---|--:|--:|--:|--:|--:|")
    for bitrate in options.bitrates:
        n_q = codec.config.codebooks_for(bitrate)
        for strength in options.strengths:
            search = RateDistortionSearch(lm, books, strength, options.beam) if strength else None
            results: defaultdict[str, list[tuple[float, ...]]] = defaultdict(list)
            for excerpt, audio, codes in zip(excerpts.excerpts, clips, nearest, strict=True):
                part = codes.with_codebooks(n_q)
                size, decoded = coded(codec, lm, part, search)
                scores = scores_of(excerpts, excerpt, audio, decoded)
                share = 8 * size / (part.values.size * codec.config.bits_per_code)
                results[excerpt.category].append((bitrate * share, 1 - share, *scores))
            for category, rows in results.items():
                rate, saving, si_snr, visqol, *pesq = np.mean(rows, axis=0)
                heard = f"{pesq[0]:.2f}" if pesq else "–"
                print(
                    f"| {bitrate:g} | {strength:g} | {category} | {rate:.2f} | {saving:.1%} |"
                    f" {si_snr:.2f} | {visqol:.2f} | {heard} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
