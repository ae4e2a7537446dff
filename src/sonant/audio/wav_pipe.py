"""WAV through pipes, which cannot seek and whose header may not know the length."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from sonant.audio.convert import Audio
from sonant.errors import AudioError

PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE
UNKNOWN_SIZE = 0xFFFFFFFF
UNKNOWN_TO_OPUSDEC = 0x7FFFFFFF
UNKNOWN_TO_SOX = 0x7FFFF000  # cut to whole frames
BLOCK_SECONDS = 0.1
LARGEST_LAYOUT = PIECE = 1 << 16
LARGEST_BLOCK = 1 << 20


class WavPipeSource:
    """A WAV stream of 8 to 32 bit integers or 32 or 64 bit floats, read as it arrives.

    Args:
        pipe: what it comes from.
        name: of the pipe, in errors.

    Raises:
        AudioError: if it does not begin like one.
    """

    def __init__(self, pipe: BinaryIO, name: str = "standard input") -> None:
        self._pipe, self._name = pipe, name
        self._read_header()

    def _read_header(self) -> None:
        riff, _, wave = struct.unpack("<4sI4s", self._exactly(12))
        if riff not in (b"RIFF", b"RF64") or wave != b"WAVE":
            raise AudioError(f"{self._name}: is not WAV; pipe WAV, for example from `ffmpeg -f wav -`")
        layout, long_size = None, None
        while True:
            kind, size = struct.unpack("<4sI", self._exactly(8))
            if kind == b"data":
                break
            if kind == b"fmt " and 16 <= size <= LARGEST_LAYOUT:
                layout = self._exactly(size + size % 2)
            elif kind == b"ds64" and 24 <= size <= LARGEST_LAYOUT:
                (long_size,) = struct.unpack("<Q", self._exactly(size + size % 2)[8:16])
            else:
                self._skip(size + size % 2)
        if layout is None:
            raise AudioError(f"{self._name}: has a WAV header without a format")
        code, self.channels, self.sample_rate, _, _, bits = struct.unpack("<HHIIHH", layout[:16])
        if code == EXTENSIBLE and len(layout) >= 26:
            (code,) = struct.unpack("<H", layout[24:26])
        if (code, bits) not in _DECODERS or not self.channels or not self.sample_rate:
            raise AudioError(f"{self._name}: WAV of format {code} with {bits} bits is not supported")
        self._bytes, self._decode = _DECODERS[code, bits]
        of_sox = UNKNOWN_TO_SOX - UNKNOWN_TO_SOX % (self._bytes * self.channels)
        unknown = size in (0, UNKNOWN_SIZE, UNKNOWN_TO_OPUSDEC, of_sox)
        self._left = long_size or None if unknown else size

    def blocks(self) -> Iterator[Audio]:
        """Blocks of a tenth of a second or 1 MiB, or of what has arrived when the pipe ends."""
        frame = self._bytes * self.channels
        block_frames = max(1, min(int(self.sample_rate * BLOCK_SECONDS), LARGEST_BLOCK // frame))
        rest = b""
        while True:
            wanted = block_frames * frame - len(rest)
            if self._left is not None:
                wanted = min(wanted, self._left)
            data = self._read(wanted)
            if self._left is not None:
                self._left -= len(data)
            whole = (len(rest) + len(data)) // frame * frame
            block, rest = (rest + data)[:whole], (rest + data)[whole:]
            if block:
                yield self._decode(block).reshape(-1, self.channels).T.astype(np.float32)
            if len(data) < wanted or wanted == 0:
                return

    def close(self) -> None:
        """The pipe is not ours to close."""

    def _read(self, size: int) -> bytes:
        parts = []
        try:
            while size > 0 and (part := self._pipe.read(size)):
                parts.append(part)
                size -= len(part)
        except OSError as error:
            raise AudioError(f"{self._name}: cannot be read ({error.strerror or error})") from None
        return b"".join(parts)

    def _skip(self, size: int) -> None:
        for start in range(0, size, PIECE):
            self._exactly(min(PIECE, size - start))

    def _exactly(self, size: int) -> bytes:
        data = self._read(size)
        if len(data) < size:
            raise AudioError(f"{self._name}: ends before any audio")
        return data


def _from_24_bits(data: bytes) -> Audio:
    bytes_of_samples = np.frombuffer(data, np.uint8).reshape(-1, 3)
    padded = np.zeros((len(bytes_of_samples), 4), np.uint8)
    padded[:, 1:] = bytes_of_samples
    return np.divide(padded.view("<i4")[:, 0], 2**31, dtype=np.float32)


_DECODERS: dict[tuple[int, int], tuple[int, Callable[[bytes], NDArray[Any]]]] = {
    (PCM, 8): (1, lambda data: (np.frombuffer(data, np.uint8) - np.float32(128)) / np.float32(128)),
    (PCM, 16): (2, lambda data: np.frombuffer(data, "<i2") / np.float32(2**15)),
    (PCM, 24): (3, _from_24_bits),
    (PCM, 32): (4, lambda data: np.frombuffer(data, "<i4") / np.float32(2**31)),
    (FLOAT, 32): (4, lambda data: np.frombuffer(data, "<f4")),
    (FLOAT, 64): (8, lambda data: np.frombuffer(data, "<f8")),
}


def wav_header(sample_rate: int, channels: int, samples: int | None) -> bytes:
    """The 44 bytes before 16-bit samples; an unknown or too large length is marked as unknown."""
    size = UNKNOWN_SIZE if samples is None else 2 * channels * samples
    if size > UNKNOWN_SIZE - 36:
        size = UNKNOWN_SIZE
    riff = UNKNOWN_SIZE if size == UNKNOWN_SIZE else size + 36
    layout = struct.pack(
        "<HHIIHH", PCM, channels, sample_rate, 2 * channels * sample_rate, 2 * channels, 16
    )
    return (
        struct.pack("<4sI4s4sI", b"RIFF", riff, b"WAVE", b"fmt ", 16)
        + layout
        + struct.pack("<4sI", b"data", size)
    )
