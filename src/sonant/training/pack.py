"""Decode a corpus once into flat 16-bit samples, so that a training crop is one slice of a file.

A pack is a folder with one `<split>-<kind>.pcm` (int16, little endian, interleaved channels) per
split and kind of sound, and `pack.json` with the place, source and licence of every recording.
Recordings of one package and language lie side by side, so that a crop that crosses from one
short recording into the next still sounds like one speaker or one place.
"""

from __future__ import annotations

import csv
import json
import sys
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sonant.audio import read_audio
from sonant.errors import SonantError

TARGET_RMS = 0.1
PEAK_LIMIT = 0.98
PAUSE_SECONDS = 0.1

Entry = dict[str, Any]


def normalised(audio: NDArray[np.float32]) -> NDArray[np.float32] | None:
    """Scale `[T, channels]` to −20 dBFS, or to just below clipping if that is less; None if silent."""
    peak = float(np.abs(audio).max(initial=0))
    if peak < 1e-3 or not np.isfinite(peak):
        return None
    rms = float(np.sqrt(np.mean(np.square(audio))))
    return audio * min(TARGET_RMS / rms, PEAK_LIMIT / peak)


def _decode(entry: Entry, root: Path, sample_rate: int, channels: int) -> tuple[Entry, bytes | str]:
    """The recording as bytes, or why it was left out."""
    try:
        audio, native_rate = read_audio(root / entry["path"], sample_rate, channels)
    except SonantError as error:
        return entry, str(error)
    scaled = normalised(audio.T)
    if scaled is None:
        return entry, f"{entry['path']}: silent"
    entry["native_rate"] = native_rate
    return entry, np.round(scaled * 32767).astype("<i2").tobytes()


def corpus_entries(root: Path) -> list[Entry]:
    """The rows of a corpus's `index.tsv`, sorted so that what belongs together lies together."""
    with open(root / "index.tsv", newline="") as file:
        rows = [row for row in csv.DictReader(file, delimiter="\t") if row["split"] != "drop"]
    return sorted(rows, key=lambda r: (r["split"], r["kind"], r["package"], r["lang"], r["path"]))


def pack_corpus(
    root: Path, out: Path, sample_rate: int, channels: int, splits: set[str], jobs: int = 2
) -> Iterator[str]:
    """Pack the recordings under `root`; yields a sentence for each one that had to be left out."""
    entries = [entry for entry in corpus_entries(root) if entry["split"] in splits]
    by_file: defaultdict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        by_file[f"{entry['split']}-{entry['kind']}.pcm"].append(entry)
    out.mkdir(parents=True, exist_ok=True)
    pause = bytes(2 * channels * int(PAUSE_SECONDS * sample_rate))
    packed: list[Entry] = []
    decode = partial(_decode, root=root, sample_rate=sample_rate, channels=channels)
    with ProcessPoolExecutor(jobs) as pool:
        for name, group in by_file.items():
            with open(out / name, "wb") as file:
                for entry, data in pool.map(decode, group, chunksize=8):
                    if isinstance(data, str):
                        yield data
                        continue
                    start = file.tell() // (2 * channels)
                    file.write(data)
                    entry.update(file=name, start=start, length=len(data) // (2 * channels))
                    packed.append(entry)
                    file.write(pause)
    description = {"sample_rate": sample_rate, "channels": channels, "entries": packed}
    (out / "pack.json").write_text(json.dumps(description))


if __name__ == "__main__":
    for problem in pack_corpus(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), set(sys.argv[5].split(","))):
        print("left out:", problem, file=sys.stderr)
