"""What a file says about itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sonant.config import CodecConfig
from sonant.container import version0, version1
from sonant.container.opening import open_ecdc
from sonant.container.probe import probe
from sonant.container.reader import ChunkReader, Damage
from sonant.container.streams import PIECE, Reader, Rewindable, reading
from sonant.errors import FormatError, WeightsError
from sonant.models.registry import known_config

Facts = dict[str, Any]


def describe(path: Path) -> Facts:
    """Model, duration, rate and size of an .ecdc file; all that could be found out without decoding.

    Raises:
        FormatError: if the file is none, or cannot be read.
    """
    with open_ecdc(path) as file:
        counted = _Counted(file)
        try:
            with reading():
                header, stream, mended = probe(counted)
                if isinstance(header, version0.Header):
                    while stream.read(PIECE):
                        pass
                    return _version0(header, counted.size)
                return _version1(header, stream, counted, mended)
        except FormatError as error:
            raise FormatError(f"{path}: {error}") from None


class _Counted:
    """A stream, and the number of bytes that were read from it."""

    def __init__(self, stream: Reader) -> None:
        self._stream, self.size = stream, 0

    def read(self, size: int, /) -> bytes:
        data = self._stream.read(size)
        self.size += len(data)
        return data


def _config(model: str) -> CodecConfig | None:
    """That of a model that is known by its name."""
    try:
        return known_config(model)
    except WeightsError:
        return None


def _version0(header: version0.Header, size: int) -> Facts:
    values: Facts = {
        "version": 0,
        "model": header.model,
        "samples": header.length,
        "codebooks": header.n_q,
        "language_model": header.lm,
        "bytes": size,
    }
    config = _config(header.model)
    if config is None:
        return values
    seconds = header.length / config.sample_rate
    return values | {
        "sample_rate": config.sample_rate,
        "channels": config.channels,
        "seconds": round(seconds, 3),
        "nominal_kbps": config.bitrate_of(header.n_q),
        "actual_kbps": round(size * 8 / 1000 / seconds, 3) if seconds else 0.0,
    }


def _version1(header: version1.Header, stream: Rewindable, counted: _Counted, mended: bool) -> Facts:
    """Reads all chunks, so that damage is seen."""
    reader = ChunkReader(stream, header)
    samples = frames = codes = payload = chunks = coded = 0
    codebooks: set[int] = set()
    damages = ["the header could be mended"] if mended else []
    for item in reader:
        if isinstance(item, Damage):
            damages.append(f"{item.start / header.sample_rate:.2f} s: {item.reason}")
            continue
        chunks, coded = chunks + 1, coded + item.coding
        samples, frames = item.start + item.samples, frames + item.frames
        codes, payload = codes + item.frames * item.n_q, payload + len(item.payload)
        codebooks.add(item.n_q)
    size, heard = counted.size, samples / header.sample_rate
    samples = max(samples, reader.index.length) if reader.index else samples
    seconds = samples / header.sample_rate
    values: Facts = {
        "version": 1,
        "model": header.model,
        "weights": header.weights,
        "samples": samples,
        "codebooks": codebooks.pop() if len(codebooks) == 1 else sorted(codebooks),
        "language_model": header.lm or False,
        "bytes": size,
        "sample_rate": header.sample_rate,
        "channels": header.channels,
        "seconds": round(seconds, 3),
        "actual_kbps": round(size * 8 / 1000 / seconds, 3) if seconds else 0.0,
        "chunks": chunks,
        "chunks_with_language_model": coded,
        "payload_bytes": payload,
        "index": reader.index is not None,
    }
    if (config := _config(header.model)) and heard:
        values["nominal_kbps"] = round(codes * config.bits_per_code / 1000 / heard, 3)
    if header.source_rate:
        values["original_sample_rate"] = header.source_rate
    return (
        values
        | {f"tag_{key}": value for key, value in header.tags.items()}
        | ({"damage": damages} if damages else {})
    )
