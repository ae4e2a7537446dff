"""What is fuzzed: readers of .ecdc, to which any bytes must be codes, damage, or a sentence.

Each target takes bytes, and raises only where Sonant has a defect.
"""

from __future__ import annotations

import io
import json
import zlib
from functools import cache
from pathlib import Path

from sonant.config import CodecConfig
from sonant.container import version0, version1
from sonant.container.decoding import decoded
from sonant.container.index import find_index
from sonant.container.probe import probe
from sonant.container.reader import ChunkReader, Damage, read_chunk_at
from sonant.entropy.integer_lm import IntegerLanguageModel
from sonant.entropy.lm_store import load_language_model
from sonant.errors import FormatError

MONO = CodecConfig("mono", 24_000, n_q=4, bandwidths=(1.5, 3.0))
STEREO = CodecConfig(
    "stereo",
    48_000,
    channels=2,
    causal=False,
    norm="time_group_norm",
    n_q=4,
    bandwidths=(3.0, 6.0),
    normalize=True,
    segment=1.0,
)
LANGUAGE_MODEL = Path(__file__).parents[1] / "tests" / "data" / "lm" / "small.lm.safetensors"
FIELDS = version1.CHUNK_HEAD.size - len(version1.CHUNK_SYNC) - 2 + 1
MAX_FRAMES = 200


@cache
def small_lm() -> IntegerLanguageModel:
    """A model of 4 codebooks and 96 frames a chunk."""
    return load_language_model(LANGUAGE_MODEL)


def any_bytes(data: bytes) -> None:
    """A whole file, as it is."""
    for config in (MONO, STEREO):
        try:
            header, stream, _ = probe(io.BytesIO(data))
            if isinstance(header, version0.Header):
                for codes in version0.read_blocks(stream, header, config):
                    assert codes.values.size <= 8 * len(data)
            else:
                _read_in_order(stream, header, config)
                _read_by_index(data, header, config)
        except FormatError as error:
            assert str(error)


def _read_in_order(stream: version1.Reader, header: version1.Header, config: CodecConfig) -> None:
    position = 0
    for item in decoded(iter(ChunkReader(stream, header)), config, small_lm()):
        if isinstance(item, Damage):
            assert item.samples >= 0 and item.reason
            continue
        start, codes = item
        assert start >= position and codes.length > 0
        assert codes.values.shape[0] <= config.n_q and 0 <= codes.values.min() <= codes.values.max() < 1024
        position = start + codes.length


def _read_by_index(data: bytes, header: version1.Header, config: CodecConfig) -> None:
    file = io.BytesIO(data)
    index = find_index(file)
    for number in range(min(3, len(index.sizes)) if index else 0):
        assert index
        chunk = read_chunk_at(file, index, number, header)
        list(decoded(iter([chunk]), config, small_lm()))


def good_checksums(data: bytes) -> None:
    """Fields and payloads of chunks at will, with the checksums that belong to them.

    `data` is cut into chunks: 12 bytes of fields, a byte that says how long the payload is, the payload.
    """
    head = version1.Header("mono", "0" * 16, 24_000, 1, 320, lm="0" * 16).to_bytes()
    file, rest = [head], data
    while len(rest) >= FIELDS:
        fields, rest = rest[:FIELDS], rest[FIELDS:]
        size = min(len(rest), fields[-1])
        payload, rest = rest[:size], rest[size:]
        frames = int.from_bytes(fields[8:10], "big") % MAX_FRAMES
        fields = fields[:8] + frames.to_bytes(2, "big") + fields[10:]
        body = version1.CHUNK_SYNC + fields[:12] + size.to_bytes(2, "big")
        file.append(body + version1.CRC.pack(zlib.crc32(body + payload)) + payload)
    any_bytes(b"".join(file))


def header_values(data: bytes) -> None:
    """A header whose checksum is right; its metadata is `data`, alone and as the value of every key."""
    text = data.decode("utf-8", "replace")
    values = {"m": "mono", "w": "0", "sr": 24_000, "ch": 1, "hop": 320, "lm": "0", "or": 1, "tags": {}}
    attempts = [data, *(json.dumps(values | {key: text}).encode() for key in values)]
    for metadata in attempts:
        prefix = version1.PREFIX.pack(version1.MAGIC, version1.VERSION, len(metadata))
        any_bytes(prefix + metadata + version1.CRC.pack(zlib.crc32(prefix + metadata)))


TARGETS = {"bytes": any_bytes, "checksums": good_checksums, "header": header_values}
