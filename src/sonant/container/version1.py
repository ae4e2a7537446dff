"""Version 1 of .ecdc: a header, chunks that stand alone, an index. `docs/format.md` specifies it."""

from __future__ import annotations

import json
import struct
import zlib
from dataclasses import dataclass, field
from typing import Any

from sonant.errors import ConfigError, FormatError

MAGIC = b"ECDC"
VERSION = 1
PREFIX = struct.Struct(">4sBI")
CRC = struct.Struct(">I")
MAX_METADATA = 1 << 20

CHUNK_SYNC = b"\xec\xc1"
CHUNK_HEAD = struct.Struct(">2sBBHIHHH")
CHUNK_FIXED = CHUNK_HEAD.size + CRC.size
MAX_CHUNK = CHUNK_FIXED + (1 << 16) - 1
PACKED, LANGUAGE_MODEL = 0, 1

INDEX_SYNC = b"\xec\xe1"
INDEX_HEAD = struct.Struct(">2sI")
INDEX_TAIL = struct.Struct(">II4s")
INDEX_END = b"ECIX"
MAX_INDEX = 1 << 26

HASH_DIGITS = 16


@dataclass(frozen=True)
class Header:
    """What a version 1 file says about itself.

    Attributes:
        model: name of the codec.
        weights: first 16 hexadecimal digits of the SHA-256 of its weights file.
        sample_rate, channels: of the codec.
        hop_length: samples per frame.
        lm: first 16 digits of the SHA-256 of the language model's file, None if none is used.
        source_rate: of the recording before it was resampled, if known.
        tags: title, artist, …: text by name.
    """

    model: str
    weights: str
    sample_rate: int
    channels: int
    hop_length: int
    lm: str | None = None
    source_rate: int | None = None
    tags: dict[str, str] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """The header as it stands in a file.

        Raises:
            ConfigError: if tags are not text, or more than a file may have.
        """
        if not all(isinstance(text, str) for tag in self.tags.items() for text in tag):
            raise ConfigError("tags are text by name")
        values: dict[str, Any] = {
            "m": self.model,
            "w": self.weights,
            "sr": self.sample_rate,
            "ch": self.channels,
            "hop": self.hop_length,
        }
        optional = {"lm": self.lm, "or": self.source_rate, "tags": self.tags}
        values |= {key: value for key, value in optional.items() if value}
        try:
            metadata = json.dumps(values, separators=(",", ":"), ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise ConfigError("tags are text, and these hold bytes that are none") from None
        if len(metadata) > MAX_METADATA:
            raise ConfigError(
                f"tags of {len(metadata) >> 10} kB are more than the {MAX_METADATA >> 10} of a file"
            )
        head = PREFIX.pack(MAGIC, VERSION, len(metadata)) + metadata
        return head + CRC.pack(zlib.crc32(head))


def parse_rest(prefix: bytes, rest: bytes) -> Header:
    """The header from its first 9 bytes and all that follow.

    Raises:
        FormatError: if it is damaged.
    """
    metadata, (crc,) = rest[: -CRC.size], CRC.unpack(rest[-CRC.size :])
    if zlib.crc32(prefix + metadata) != crc:
        raise FormatError("the file is damaged: its header does not match its checksum")
    try:
        values = json.loads(metadata.decode())
        header = Header(
            model=_of(str, values["m"]),
            weights=_of(str, values["w"]),
            sample_rate=_of(int, values["sr"]),
            channels=_of(int, values["ch"]),
            hop_length=_of(int, values["hop"]),
            lm=_of(str, values["lm"]) if "lm" in values else None,
            source_rate=_of(int, values["or"]) if "or" in values else None,
            tags={_of(str, key): _of(str, v) for key, v in _of(dict, values.get("tags", {})).items()},
        )
    except (ValueError, KeyError, TypeError, RecursionError):
        raise FormatError("the file is damaged: its header cannot be read") from None
    if not 1 <= header.sample_rate < 1 << 31 or not 1 <= header.hop_length < 1 << 20 or header.channels < 1:
        raise FormatError("the file is damaged: its header makes no sense")
    return header


def _of(kind: type[Any], value: Any) -> Any:
    if type(value) is not kind:
        raise TypeError
    if kind is str:
        value.encode()  # half a surrogate pair can be written in JSON, but not on a screen
    return value


@dataclass(frozen=True)
class Chunk:
    """A run of frames that is coded on its own.

    Attributes:
        start: sample of the recording that it begins at.
        frames: how many, over all of its segments.
        samples: of the recording that it covers.
        n_q: codebooks in use.
        coding: `PACKED` or `LANGUAGE_MODEL`.
        payload: scales and codes.
    """

    start: int
    frames: int
    samples: int
    n_q: int
    coding: int
    payload: bytes

    @property
    def size(self) -> int:
        """Bytes in a file."""
        return CHUNK_FIXED + len(self.payload)

    def to_bytes(self, hop_length: int) -> bytes:
        """The chunk as it stands in a file.

        Raises:
            FormatError: if it is too big; chunks of a few seconds never are.
        """
        missing = self.frames * hop_length - self.samples
        too_big = max(self.frames, missing, len(self.payload)) >= 1 << 16
        if too_big or self.start >= 1 << 48 or self.n_q >= 1 << 8:
            raise FormatError("a chunk is too big for the file format; use shorter ones")
        head = CHUNK_HEAD.pack(
            CHUNK_SYNC,
            self.n_q,
            self.coding,
            self.start >> 32,
            self.start & 0xFFFFFFFF,
            self.frames,
            missing,
            len(self.payload),
        )
        body = head + self.payload
        return head + CRC.pack(zlib.crc32(body)) + self.payload


def payload_size(head: bytes | bytearray) -> int:
    """Bytes of payload after the `CHUNK_FIXED` bytes that a chunk begins with."""
    return int(CHUNK_HEAD.unpack_from(head)[-1])


def may_begin_chunk(head: bytes | bytearray, hop_length: int) -> bool:
    """Whether the fields of a chunk make sense, which takes less time to see than its checksum."""
    sync, n_q, coding, _, _, frames, missing, _ = CHUNK_HEAD.unpack_from(head)
    return sync == CHUNK_SYNC and n_q > 0 and coding <= LANGUAGE_MODEL and frames * hop_length > missing


def parse_chunk(data: bytes, hop_length: int) -> Chunk | None:
    """A chunk from exactly its bytes, None if they are damaged."""
    head, (crc,), payload = (
        data[: CHUNK_HEAD.size],
        CRC.unpack_from(data, CHUNK_HEAD.size),
        data[CHUNK_FIXED:],
    )
    if not may_begin_chunk(head, hop_length) or zlib.crc32(payload, zlib.crc32(head)) != crc:
        return None
    _, n_q, coding, high, low, frames, missing, _ = CHUNK_HEAD.unpack(head)
    return Chunk(high << 32 | low, frames, frames * hop_length - missing, n_q, coding, payload)
