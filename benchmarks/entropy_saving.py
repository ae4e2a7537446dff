"""What the language model saves, by category and bitrate, over packing codes without any overhead.

    python benchmarks/entropy_saving.py ROOT [--model 24khz] [--set validation24] [--json FILE]

ROOT is the folder that the files of the evaluation set lie in. Every excerpt is written as a version 1
file; the bytes of its chunks, with their heads and checksums, are set against 10 bits a code.
`bits_per_code` counts payloads alone; `overhead` is all of the file but its payloads, over the size of
the codes.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from pathlib import Path

import sonant
from sonant.codec import Codec
from sonant.codes import Codes
from sonant.container.version1 import CHUNK_FIXED
from sonant.entropy.integer_lm import IntegerLanguageModel
from sonant.evaluation.files_in_memory import written
from sonant.evaluation.sets import bundled_set
from sonant.language_models import language_model


def sizes(codec: Codec, lm: IntegerLanguageModel, codes: Codes) -> tuple[int, int, int, int]:
    """Codes, and bytes of payloads, of chunks and of the whole file."""
    file, index = written(codec, lm, codes)
    chunks = sum(index.sizes)
    return codes.values.size, chunks - CHUNK_FIXED * len(index.sizes), chunks, len(file)


def main() -> None:
    """Code the set and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("root", type=Path)
    parser.add_argument("--model", default="24khz")
    parser.add_argument("--set", default="validation24")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    codec = sonant.load(options.model, beam=1)
    lm = language_model(codec)
    if lm is None:
        sys.exit(f"{options.model} has no language model")
    totals: defaultdict[tuple[str, float], list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    excerpts = bundled_set(options.set)
    for excerpt in excerpts.excerpts:
        audio = excerpts.render(excerpt, options.root)
        codes = codec.encode(audio, excerpts.sample_rate, max(codec.config.bandwidths))
        for bitrate in codec.config.bandwidths:
            n_q = codec.config.codebooks_for(bitrate)
            part = codes.with_codebooks(n_q)
            for category in (excerpt.category, "all"):
                total = totals[category, bitrate]
                total[:] = [a + b for a, b in zip(total, sizes(codec, lm, part), strict=True)]
    rows = []
    for (category, bitrate), (count, payload, chunks, file) in sorted(totals.items()):
        packed = count * codec.config.bits_per_code / 8
        row = {
            "category": category,
            "kbps": bitrate,
            "bits_per_code": round(8 * payload / count, 3),
            "saving": round(1 - chunks / packed, 4),
            "coded_kbps": round(bitrate * chunks / packed, 3),
            "overhead": round((file - payload) / packed, 4),
        }
        rows.append(row)
        print(json.dumps(row))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
