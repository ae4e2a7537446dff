"""Damage to real files: single wrong bytes and cuts, what is lost and whether it is told.

    python benchmarks/entropy_robustness.py AUDIO... [--model 24khz] [--corruptions 10000] [--cuts 1000]

Each recording is coded at 6 kbit/s, with the language model if the codec has one, and read after every
injury. A chunk that is read as it was written decodes as it did; so what is counted is which chunks come
through: injuries that crash the reader, that nobody is told of, that cost more than one chunk (of a cut
file: anything before the cut), and that let through a chunk that nobody wrote.
"""

from __future__ import annotations

import argparse
import io
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import sonant
from sonant.audio import read_audio
from sonant.codec import Codec
from sonant.codes import Codes
from sonant.container import version1
from sonant.container.decoding import decoded
from sonant.container.index import find_index
from sonant.container.probe import probe
from sonant.container.reader import ChunkReader, Damage
from sonant.container.writer import CHUNK_SECONDS, FileWriter
from sonant.entropy.integer_lm import IntegerLanguageModel
from sonant.errors import FormatError
from sonant.language_models import language_model
from sonant.origin import new_header

SECONDS = 12.0


@dataclass
class File:
    """A coded recording and what it holds."""

    codec: Codec
    lm: IntegerLanguageModel | None
    codes: Codes
    data: bytes

    def __post_init__(self) -> None:
        header, stream, _ = probe(io.BytesIO(self.data))
        assert isinstance(header, version1.Header)
        self.chunks = set(ChunkReader(stream, header))
        in_order = sorted(self.chunks, key=lambda chunk: chunk.start)  # type: ignore[union-attr]
        for start, codes in decoded(iter(in_order), self.codec.config, self.lm):  # type: ignore[misc]
            first = start // self.codec.config.hop_length
            assert (codes.values == self.codes.values[:, first : first + codes.frames]).all()

    def outcome(self, injured: bytes, before: int | None = None) -> str:
        """What reading gives: `fine`, or what is wrong with it; `before` is where the file was cut."""
        config = self.codec.config
        try:
            header, stream, told = probe(io.BytesIO(injured))
        except FormatError:
            first = len(new_header(self.codec, self.lm).to_bytes())
            return "fine" if before is not None and before < first else "refused"
        if not isinstance(header, version1.Header):
            return "taken for version 0"
        kept = 0
        for item in ChunkReader(stream, header):
            if isinstance(item, Damage):
                told = True
            elif item in self.chunks:
                kept += item.samples
            else:
                forged = list(decoded(iter([item]), config, self.lm))
                return f"{len(forged)} chunks that nobody wrote"
        if not told:
            return "not told"
        return "fine" if kept >= self._expected(before) else "more than a chunk lost"

    def _expected(self, before: int | None) -> int:
        if before is None:
            return self.codes.length - round(CHUNK_SECONDS * self.codec.config.sample_rate)
        index = find_index(io.BytesIO(self.data))
        assert index
        return sum(
            samples
            for (offset, _), size, samples in zip(index.places, index.sizes, index.samples, strict=True)
            if offset + size <= before
        )


def coded(codec: Codec, path: Path) -> File:
    """The first seconds of a recording as a file."""
    config = codec.config
    audio, _ = read_audio(path, config.sample_rate, config.channels)
    codes = codec.encode(audio[:, : round(SECONDS * config.sample_rate)], bitrate=6.0)
    lm, file = language_model(codec), io.BytesIO()
    writer = FileWriter(file, codec.config, new_header(codec, lm), lm)
    writer.write(codes)
    writer.finish()
    return File(codec, lm, codes, file.getvalue())


def main() -> None:
    """Injure files and count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("audio", nargs="+", type=Path)
    parser.add_argument("--model", default="24khz")
    parser.add_argument("--corruptions", type=int, default=10_000)
    parser.add_argument("--cuts", type=int, default=1_000)
    options = parser.parse_args()
    codec, random = sonant.load(options.model), np.random.default_rng(0)
    files = [coded(codec, path) for path in options.audio]
    corruptions: Counter[str] = Counter()
    for number in range(options.corruptions):
        file = files[number % len(files)]
        injured = bytearray(file.data)
        injured[random.integers(len(injured))] ^= int(random.integers(1, 256))
        corruptions[file.outcome(bytes(injured))] += 1
    cuts: Counter[str] = Counter()
    for number in range(options.cuts):
        file = files[number % len(files)]
        cut = int(random.integers(len(file.data)))
        cuts[file.outcome(file.data[:cut], cut)] += 1
    print(json.dumps({"files": len(files), "corruptions": corruptions, "cuts": cuts}))


if __name__ == "__main__":
    main()
