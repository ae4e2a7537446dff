"""The codes of version 1 chunks, of which several of one shape are decoded side by side."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from sonant.codes import Codes, are_volumes, split_segments
from sonant.config import CodecConfig
from sonant.container.reader import Damage
from sonant.container.version1 import LANGUAGE_MODEL, Chunk
from sonant.entropy.integer_lm import IntegerLanguageModel
from sonant.entropy.lm_coder import decode_chunks
from sonant.entropy.packing import packed_size, unpack_codes
from sonant.errors import FormatError

LANES = 8


def decoded(
    chunks: Iterator[Chunk | Damage],
    config: CodecConfig,
    lm: IntegerLanguageModel | None = None,
    lanes: int = LANES,
    first: int = LANES,
) -> Iterator[tuple[int, Codes] | Damage]:
    """The codes of chunks with the sample where they start.

    Chunks are decoded together, which is faster: `first` of them, then twice as many each time, up to
    `lanes`. A chunk that matches its checksum but makes no sense becomes a `Damage`.

    Raises:
        FormatError: if a chunk needs a language model and there is none, or has more codebooks than
            the codec.
    """
    together = min(first, lanes)
    while batch := list(islice(chunks, together)):
        yield from _decode_batch(batch, config, lm)
        together = min(2 * together, lanes)


def _decode_batch(
    batch: list[Chunk | Damage], config: CodecConfig, lm: IntegerLanguageModel | None
) -> Iterator[tuple[int, Codes] | Damage]:
    groups: dict[tuple[int, int], list[Chunk]] = {}
    values: dict[int, NDArray[np.int16] | None] = {}
    for item in batch:
        if isinstance(item, Damage):
            continue
        if item.n_q > config.n_q:
            raise FormatError(f"the file has {item.n_q} codebooks, but {config.name} has {config.n_q}")
        if item.coding == LANGUAGE_MODEL:
            groups.setdefault((item.n_q, item.frames), []).append(item)
        else:
            values[item.start] = _unpacked(item, config)
    for (n_q, frames), group in groups.items():
        if lm is None:
            raise FormatError("the file needs the language model of its codec")
        if frames > lm.max_frames:
            values |= {chunk.start: None for chunk in group}
            continue
        codes, intact = decode_chunks(lm, [_scales_and_data(c, config)[1] for c in group], n_q, frames)
        for chunk, chunk_codes, whole in zip(group, codes, intact.tolist(), strict=True):
            values[chunk.start] = chunk_codes if whole else None
    for item in batch:
        if isinstance(item, Damage):
            yield item
        elif (codes_of := _codes(item, values[item.start], config)) is None:
            yield Damage(item.start, item.samples, "codes that make no sense")
        else:
            yield item.start, codes_of


def _codes(chunk: Chunk, values: NDArray[np.int16] | None, config: CodecConfig) -> Codes | None:
    """A chunk's codes, None where they do not fit its length."""
    if values is None:
        return None
    scales = _scales_and_data(chunk, config)[0]
    codes = Codes(values, chunk.samples, scales)
    if scales is not None and not are_volumes(scales):
        return None
    if config.segment_length is None:
        return codes if chunk.frames == config.frames_for(chunk.samples) else None
    try:
        segments = sum(1 for _ in split_segments(codes, config))
    except FormatError:
        return None
    return codes if scales is None or segments == len(scales) else None


def _scales_and_data(chunk: Chunk, config: CodecConfig) -> tuple[NDArray[np.float32] | None, bytes]:
    if not config.normalize or config.segment_length is None:
        return None, chunk.payload
    count = -(-chunk.frames // config.frames_for(config.segment_length))
    if config.segment_stride is not None:
        count = max(count, -(-chunk.samples // config.segment_stride))
    data = chunk.payload[: 4 * count].ljust(4 * count, b"\0")
    return np.frombuffer(data, ">f4").astype(np.float32), chunk.payload[4 * count :]


def _unpacked(chunk: Chunk, config: CodecConfig) -> NDArray[np.int16] | None:
    data, bits = _scales_and_data(chunk, config)[1], config.bits_per_code
    if len(data) != packed_size(chunk.frames * chunk.n_q, bits):
        return None
    return unpack_codes(data, chunk.n_q, chunk.frames, bits)
