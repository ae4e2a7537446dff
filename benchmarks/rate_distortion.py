"""What the search for codes saves, and what it costs in quality, by strength and category.

    python benchmarks/rate_distortion.py ROOT [--strengths 0 0.2 0.3] [--bitrates 3 6] [--beam 4]

ROOT is the folder that the files of the evaluation set lie in. Strength 0 stands for the nearest
entries, those of `Codec.encode`. Rates count chunks with their heads and checksums; ViSQOL is in
speech mode, and PESQ measured, for speech.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from entropy_saving import sizes

import sonant
from sonant.codec import Codec
from sonant.codes import Codes, join
from sonant.entropy.integer_lm import IntegerLanguageModel
from sonant.entropy.rate_distortion import BEAM, RateDistortionSearch
from sonant.evaluation.metrics import METRICS
from sonant.evaluation.sets import bundled_set
from sonant.language_models import language_model
from sonant.streams import finish_all, push_all


def chosen(
    codec: Codec,
    lm: IntegerLanguageModel,
    nearest: Sequence[Codes],
    bitrate: float,
    strength: float,
    beam: int,
) -> Iterator[Codes]:
    """The codes of excerpts no longer than a chunk."""
    n_q = codec.config.codebooks_for(bitrate)
    if not strength:
        yield from (codes.with_codebooks(n_q) for codes in nearest)
        return
    search = RateDistortionSearch(lm, codec.weights["codebooks"], n_q, strength, beam)
    for codes in nearest:
        assert codes.latents is not None
        yield replace(codes, values=search(codes.values[:n_q], codes.latents))


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("root", type=Path)
    parser.add_argument("--model", default="24khz")
    parser.add_argument("--set", default="validation24")
    parser.add_argument("--strengths", type=float, nargs="+", default=[0, 0.2, 0.3])
    parser.add_argument("--bitrates", type=float, nargs="+", default=[3.0, 6.0])
    parser.add_argument("--beam", type=int, default=BEAM)
    options = parser.parse_args()
    codec = sonant.load(options.model)
    lm = language_model(codec)
    assert lm is not None
    excerpts = bundled_set(options.set)
    clips = [excerpts.render(excerpt, options.root) for excerpt in excerpts.excerpts]
    streams = [codec.encoder(max(options.bitrates), latents=True) for _ in clips]
    pieces = zip(push_all(streams, clips), finish_all(streams), strict=True)
    nearest = [join(both) for both in pieces]
    print("| kbit/s | strength | category | coded kbit/s | saving | SI-SNR | ViSQOL | PESQ |")
    print("|--:|--:|---|--:|--:|--:|--:|--:|")
    for bitrate in options.bitrates:
        for strength in options.strengths:
            results: defaultdict[str, list[tuple[float, ...]]] = defaultdict(list)
            found = chosen(codec, lm, nearest, bitrate, strength, options.beam)
            for excerpt, audio, codes in zip(excerpts.excerpts, clips, found, strict=True):
                decoded = codec.decode(codes)
                names = ["si_snr", "visqol_audio"]
                if excerpt.speech:
                    names = ["si_snr", "visqol_speech", "pesq"]
                scores = [METRICS[name].measure(audio, decoded, excerpts.sample_rate) for name in names]
                count, _, chunks, _ = sizes(codec, lm, codes)
                share = 8 * chunks / (count * codec.config.bits_per_code)
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
