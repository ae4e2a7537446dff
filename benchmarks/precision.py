"""What int8 costs in quality: both precisions over an evaluation set, metric by metric.

python benchmarks/precision.py --root CORPUS [--set validation24] [--bitrates 1.5 6 24]
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np

import sonant
from sonant.evaluation.metrics import METRICS
from sonant.evaluation.sets import bundled_set


def main() -> None:
    """Print a table: means of both, and mean, standard error and worst of the differences."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--set", default="validation24")
    parser.add_argument("--model", default="24khz")
    parser.add_argument("--bitrates", type=float, nargs="+", default=[1.5, 6.0, 24.0])
    parser.add_argument("--metrics", nargs="+", default=["si_snr", "visqol_audio"])
    options = parser.parse_args()
    reference = sonant.load(options.model)
    fast = sonant.load(options.model, precision="int8")
    rate = reference.config.sample_rate
    scores: defaultdict[tuple[float, str], list[tuple[float, float]]] = defaultdict(list)
    equal: defaultdict[float, list[float]] = defaultdict(list)
    excerpts = bundled_set(options.set)
    for excerpt in excerpts.excerpts:
        audio = excerpts.render(excerpt, options.root)
        for bitrate in options.bitrates:
            codes = [codec.encode(audio, bitrate=bitrate) for codec in (reference, fast)]
            equal[bitrate].append(float(np.mean(codes[0].values == codes[1].values)))
            decoded = [codec.decode(c) for codec, c in zip((reference, fast), codes, strict=True)]
            for name in options.metrics:
                measure = METRICS[name].measure
                before, after = (measure(audio, samples, rate) for samples in decoded)
                scores[bitrate, name].append((before, after))
    print("| kbit/s | metric | float32 | int8 | difference | worst | codes equal |")
    print("|--:|---|--:|--:|--:|--:|--:|")
    for (bitrate, name), pairs in scores.items():
        before, after = np.array(pairs).T
        change = after - before
        worst = METRICS[name].better * (METRICS[name].better * change).min()
        spread = change.std(ddof=1) / np.sqrt(len(change))
        print(
            f"| {bitrate:g} | {name} | {before.mean():.3f} | {after.mean():.3f} |"
            f" {change.mean():+.4f} ± {spread:.4f} | {worst:+.3f} | {np.mean(equal[bitrate]):.3f} |"
        )


if __name__ == "__main__":
    main()
