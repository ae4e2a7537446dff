"""A first look at a weights file: `python -m sonant.evaluation WEIGHTS CORPUS`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from sonant.evaluation.cache import default_cache
from sonant.evaluation.codecs.av_codecs import AvCodec
from sonant.evaluation.codecs.base import CodecUnderTest
from sonant.evaluation.codecs.sonant import SonantCodec
from sonant.evaluation.run import Plan, run
from sonant.evaluation.sets import bundled_set


def main() -> None:
    """Print SI-SNR, ViSQOL and mel distance per category."""
    parser = argparse.ArgumentParser()
    parser.add_argument("weights", type=Path)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--bitrates", default="3,6,12")
    parser.add_argument("--opus", default="6,12")
    parser.add_argument("--per-category", type=int, default=4)
    parser.add_argument("--metrics", default="si_snr,visqol_audio,visqol_speech,mel")
    options = parser.parse_args()
    codecs: list[CodecUnderTest] = [
        SonantCodec(str(options.weights), float(b)) for b in options.bitrates.split(",")
    ]
    codecs += [AvCodec("opus", float(b)) for b in options.opus.split(",") if b]
    evaluation_set = bundled_set("validation24").first(options.per_category)
    metrics = tuple(options.metrics.split(","))
    plan = Plan(evaluation_set, options.corpus, tuple(codecs), metrics, default_cache())
    results = run(plan, progress=lambda n, total, name: print(f"\r{n}/{total}", end="", file=sys.stderr))
    print(file=sys.stderr)
    for (codec, reason), excerpts in results.skipped().items():
        print(f"skipped {codec} on {len(excerpts)}: {reason}", file=sys.stderr)
    for name in ("kbps", *metrics):
        print(f"\n{name:<16}" + "".join(f"{category:>15}" for category in results.categories))
        for codec in results.codecs:
            means = [results.mean(codec, name, [category]) for category in results.categories]
            print(
                f"{codec:<16}" + "".join(f"{mean.value:>15.2f}" if mean else f"{'':>15}" for mean in means)
            )


if __name__ == "__main__":
    main()
