"""Writing version 1 files as the codes come, to anything that takes bytes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

from sonant.codes import Codes, join, whole_segments
from sonant.config import CodecConfig
from sonant.container.average_rate import AverageRate
from sonant.container.index import Index
from sonant.container.streams import Writer
from sonant.container.version1 import LANGUAGE_MODEL, PACKED, Chunk, Header
from sonant.entropy.integer_lm import IntegerLanguageModel
from sonant.entropy.lm_coder import encode_chunk
from sonant.entropy.packing import pack_codes
from sonant.entropy.rate_distortion import RateDistortionSearch
from sonant.errors import ConfigError

CHUNK_SECONDS = 5.0
MAX_FRAMES = (1 << 16) - 1
ROOM_FOR_CODES = 63 << 10
"""Bytes of a payload of 64 KiB; the rest is for the volumes of segments, 4 bytes each."""


class FileWriter:
    """Takes codes in pieces of any size; every chunk is written when it is full.

    Args:
        stream: where to; it need not seek.
        config: of the codec.
        header: of the file.
        lm: the language model to code with, None to pack. A chunk that it would make bigger is packed.
        chunk_seconds: how much a chunk holds, as far as the language model reaches.
        search: chooses the codes of a chunk, which then come with their latents; None to write them
            as they are.
        average: chooses how many of the codebooks a chunk has; None for all. Its codes are then
            nearest entries.

    Raises:
        ConfigError: unless `chunk_seconds` is above 0 and finite.
    """

    def __init__(
        self,
        stream: Writer,
        config: CodecConfig,
        header: Header,
        lm: IntegerLanguageModel | None = None,
        chunk_seconds: float = CHUNK_SECONDS,
        search: RateDistortionSearch | None = None,
        average: AverageRate | None = None,
    ) -> None:
        if not 0 < chunk_seconds < math.inf:
            raise ConfigError(f"a chunk lasts some seconds, not {chunk_seconds}")
        self._stream, self._config, self._lm = stream, config, lm
        most = MAX_FRAMES if lm is None else lm.max_frames
        if config.segment_length is not None:
            most = min(most, _most_segments(config) * config.frames_for(config.segment_length))
        self._frames = max(1, round(min(most, chunk_seconds * config.frame_rate)))
        self._search, self._average = search, average
        self._waiting: list[Codes] = []
        self._waiting_frames = 0
        self._start = 0
        self._sizes: list[int] = []
        self._samples: list[int] = []
        head = header.to_bytes()
        self._first = len(head)
        stream.write(head)

    def write(self, codes: Codes) -> None:
        """Take a piece of a recording: of a model with segments, whole segments.

        The number of codebooks may change from piece to piece; a chunk ends where it does.

        Raises:
            FormatError: if a recording is longer than the format tells.
        """
        if not codes.frames:
            return
        for part in self._parts(codes):
            full = self._waiting_frames + part.frames > self._most(part.n_q)
            if self._waiting and (full or self._waiting[0].n_q != part.n_q):
                self._end_chunk()
            self._waiting.append(part)
            self._waiting_frames += part.frames
        if self._ends_a_recording(codes):
            self._end_chunk()

    def _ends_a_recording(self, codes: Codes) -> bool:
        """Whether a piece ends inside a frame or segment, as in joined files: its chunk ends, too."""
        config = self._config
        if config.segment_length is None or config.segment_stride is None:
            return codes.length != codes.frames * config.hop_length
        count, rest = divmod(codes.frames, config.frames_for(config.segment_length))
        return rest > 0 or codes.length != count * config.segment_stride

    def finish(self) -> None:
        """Write what is left, and the index."""
        if self._waiting:
            self._end_chunk()
        self._stream.write(Index(self._first, tuple(self._sizes), tuple(self._samples)).to_bytes())

    def _parts(self, codes: Codes) -> Iterator[Codes]:
        """What may not be cut: segments, or as many frames as make chunks of the right size."""
        if self._config.segment_stride is not None:
            yield from whole_segments(codes, self._config)
            return
        first = 0
        while first < codes.frames:
            waiting, most = self._waiting_frames, self._most(codes.n_q)
            room = most - waiting if waiting < most else most
            stop = min(first + room, codes.frames)
            hop = self._config.hop_length
            yield codes.part(first, stop, min(stop * hop, codes.length) - first * hop)
            first = stop

    def _most(self, n_q: int) -> int:
        """Frames of so many codebooks in a chunk, no more than its payload has room for."""
        return min(self._frames, 8 * ROOM_FOR_CODES // (n_q * self._config.bits_per_code))

    def _end_chunk(self) -> None:
        codes = join(self._waiting)
        self._waiting, self._waiting_frames = [], 0
        chunk = self._average(codes, self._coded) if self._average else self._coded(codes)
        self._stream.write(chunk.to_bytes(self._config.hop_length))
        self._start += codes.length
        self._sizes.append(chunk.size)
        self._samples.append(codes.length)

    def _coded(self, codes: Codes) -> Chunk:
        if self._search:
            assert codes.latents is not None
            codes = replace(codes, values=self._search(codes.values, codes.latents))
        coding, data = PACKED, pack_codes(codes.values, self._config.bits_per_code)
        if self._lm is not None and codes.frames <= self._lm.max_frames:
            coded = encode_chunk(self._lm, codes.values)
            if len(coded) < len(data):
                coding, data = LANGUAGE_MODEL, coded
        scales = b"" if codes.scales is None else codes.scales.astype(">f4").tobytes()
        return Chunk(self._start, codes.frames, codes.length, codes.n_q, coding, scales + data)


def _most_segments(config: CodecConfig) -> int:
    """Segments of a chunk that has room for their volumes and for what they overlap by in all."""
    assert config.segment_length is not None and config.segment_stride is not None
    frames = config.frames_for(config.segment_length)
    overlap = frames * config.hop_length - config.segment_stride
    volumes = ((64 << 10) - 1 - ROOM_FOR_CODES) // 4
    return min(volumes, ((1 << 16) - 1 - config.hop_length) // max(1, overlap))
