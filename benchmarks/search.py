"""What a wider search for codes gives at the same bitrate, and what it takes.

    python benchmarks/search.py ROOT [--beams 1 2 4 8] [--bitrates 3 6 24]

ROOT is the folder that the files of the evaluation set lie in. The error is that of the latents, relative
to the latents' variance; ViSQOL is in speech mode, and PESQ measured, for speech. Times are of the search
on one thread, for a second of audio.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
from rate_distortion import scores_of

import sonant
from sonant.codes import join
from sonant.evaluation.sets import bundled_set
from sonant.streams import finish_all, push_all


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("root", type=Path)
    parser.add_argument("--model", default="24khz")
    parser.add_argument("--set", default="validation24")
    parser.add_argument("--beams", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--bitrates", type=float, nargs="+", default=[6.0])
    options = parser.parse_args()
    codec = sonant.load(options.model)
    books, excerpts = codec.weights["codebooks"], bundled_set(options.set)
    clips = [excerpts.render(excerpt, options.root) for excerpt in excerpts.excerpts]
    print("| kbit/s | beam | category | error | SI-SNR | ViSQOL | PESQ | ms |")
    print("|--:|--:|---|--:|--:|--:|--:|--:|")
    for bitrate in options.bitrates:
        n_q = codec.config.check_bitrate(bitrate)
        for beam in options.beams:
            streams = [codec.encoder(bitrate, latents=True, beam=beam) for _ in clips]
            coded = [join(both) for both in zip(push_all(streams, clips), finish_all(streams), strict=True)]
            results: defaultdict[str, list[tuple[float, ...]]] = defaultdict(list)
            for excerpt, audio, codes in zip(excerpts.excerpts, clips, coded, strict=True):
                assert codes.latents is not None
                began = time.process_time()
                codec.engine.quantize(codes.latents[None], n_q, beam)
                taken = (time.process_time() - began) / (audio.shape[1] / codec.config.sample_rate)
                entries = books[np.arange(n_q)[:, None], codes.values].sum(axis=0)
                error = np.square(codes.latents - entries).mean() / codes.latents.var(axis=0).mean()
                scores = scores_of(excerpts, excerpt, audio, codec.decode(codes))
                results[excerpt.category].append((1000 * taken, error, *scores))
            for category, rows in results.items():
                taken, error, si_snr, visqol, *pesq = np.mean(rows, axis=0)
                heard = f"{pesq[0]:.2f}" if pesq else "–"
                quality = f"{error:.3f} | {si_snr:.2f} | {visqol:.2f} | {heard}"
                print(f"| {bitrate:g} | {beam} | {category} | {quality} | {taken:.1f} |", flush=True)


if __name__ == "__main__":
    main()
