"""Seeking in a file of many hours: bytes read and time until the audio is there.

    OMP_NUM_THREADS=1 python benchmarks/entropy_seeking.py AUDIO [--model 24khz] [--hours 10]

The recording is coded at 6 kbit/s, with the language model if there is one, and its chunks are repeated
until the file is long enough. `find_ms` is from opening the file, whose model is loaded, to the chunk's
bytes being there and checked; `read_ms` to the first 0.1 s of audio, with decoding up to two chunks.
"""

from __future__ import annotations

import argparse
import io
import json
import tempfile
import time
from pathlib import Path

import numpy as np

import sonant
from sonant.audio import read_audio
from sonant.codec import Codec
from sonant.container import version1
from sonant.container.index import Index, find_index
from sonant.container.probe import probe
from sonant.container.reader import ChunkReader, read_chunk_at
from sonant.container.writer import CHUNK_SECONDS, FileWriter
from sonant.language_models import language_model
from sonant.origin import new_header
from sonant.recording import Recording


class Counting(io.FileIO):
    """A file that counts what is read; without a buffer, so that nothing is read ahead."""

    total = 0

    def read(self, size: int | None = -1, /) -> bytes:
        """As `FileIO.read`."""
        data = super().read(size) or b""
        self.total += len(data)
        return data


def write_long(path: Path, codec: Codec, options: argparse.Namespace) -> Index:
    """A file of `options.hours`."""
    config, lm, coded = codec.config, language_model(codec), io.BytesIO()
    audio, _ = read_audio(options.audio, config.sample_rate, config.channels)
    whole = audio.shape[1] // round(CHUNK_SECONDS * config.sample_rate) * round(CHUNK_SECONDS)
    codes = codec.encode(audio[:, : whole * config.sample_rate], bitrate=6.0)
    writer = FileWriter(coded, config, new_header(codec, lm), lm)
    writer.write(codes)
    writer.finish()
    coded.seek(0)
    header, stream, _ = probe(coded)
    assert isinstance(header, version1.Header)
    chunks = [item for item in ChunkReader(stream, header) if isinstance(item, version1.Chunk)]
    head, start = header.to_bytes(), 0
    sizes: list[int] = []
    samples: list[int] = []
    with path.open("wb") as file:
        file.write(head)
        while start < options.hours * 3600 * config.sample_rate:
            chunk = chunks[len(sizes) % len(chunks)]
            moved = version1.Chunk(
                start, chunk.frames, chunk.samples, chunk.n_q, chunk.coding, chunk.payload
            ).to_bytes(config.hop_length)
            file.write(moved)
            sizes.append(len(moved))
            samples.append(chunk.samples)
            start += chunk.samples
        index = Index(len(head), tuple(sizes), tuple(samples))
        file.write(index.to_bytes())
    return index


def main() -> None:
    """Seek to places all over the file; print the worst and the median."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("audio", type=Path)
    parser.add_argument("--model", default="24khz")
    parser.add_argument("--hours", type=float, default=10)
    parser.add_argument("--seeks", type=int, default=20)
    options = parser.parse_args()
    codec, random = sonant.load(options.model), np.random.default_rng(0)
    bytes_read, find, read = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "long.ecdc"
        seconds = write_long(path, codec, options).length / codec.config.sample_rate
        for place in random.uniform(0, seconds - 1, options.seeks).tolist():
            begun = time.perf_counter()
            with Counting(str(path)) as file:
                index = find_index(file)  # type: ignore[arg-type]
                file.seek(0)
                header = probe(file)[0]
                assert index and isinstance(header, version1.Header)
                number = index.chunk_at(round(place * codec.config.sample_rate))
                read_chunk_at(file, index, number, header)  # type: ignore[arg-type]
            find.append(1e3 * (time.perf_counter() - begun))
            begun = time.perf_counter()
            with Counting(str(path)) as file, Recording(file, codec) as recording:  # type: ignore[arg-type]
                recording.seek(place)
                assert recording.read(0.1).shape[1]
                bytes_read.append(file.total)
            read.append(1e3 * (time.perf_counter() - begun))
        size = path.stat().st_size
    result = {
        "hours": seconds / 3600,
        "megabytes": size / 1e6,
        "bytes_read_most": max(bytes_read),
        "find_ms_median": float(np.median(find)),
        "find_ms_most": max(find),
        "read_ms_median": float(np.median(read)),
        "read_ms_most": max(read),
    }
    print(json.dumps({name: round(value, 2) for name, value in result.items()}))


if __name__ == "__main__":
    main()
