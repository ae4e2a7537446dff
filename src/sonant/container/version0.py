"""Version 0 of .ecdc, bit for bit as the official tool reads and writes it.

After the header follow the segments of the recording (one for a model without segments): a float32
big-endian scale if the model normalises, then the codes, frame by frame, either packed or coded by
the official float language model, each segment ending on a byte.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sonant.codes import Codes, are_volumes, join
from sonant.config import CodecConfig
from sonant.container.streams import Reader, Writer, read_exactly
from sonant.entropy.arithmetic import ArithmeticDecoder, ArithmeticEncoder, Cumulative
from sonant.entropy.packing import pack_codes, packed_size, unpack_codes
from sonant.errors import ConfigError, FormatError

MAGIC = b"ECDC"
VERSION = 0
PREFIX = struct.Struct("!4sBI")
SCALE = struct.Struct("!f")
MAX_METADATA = 1 << 16
BLOCK_FRAMES = 1 << 9


class Run(Protocol):
    """A language model at work on one segment."""

    def ranges(self) -> Cumulative:
        """Ends of the shares of the next step's codes, `[n_q, bins]`."""

    def push(self, codes: NDArray[np.int16]) -> None:
        """The codes `[n_q]` that the step had."""


class StepModel(Protocol):
    """A language model that version 0 files can be coded with."""

    n_q: int

    def start(self, n_q: int) -> Run:
        """A fresh run with `n_q` codebooks."""


@dataclass(frozen=True)
class Header:
    """What a version 0 file says about itself.

    Attributes:
        model: name of the codec, `encodec_24khz` or `encodec_48khz` in official files.
        length: samples at the model's rate.
        n_q: codebooks in use.
        lm: whether the codes are coded with the language model.
    """

    model: str
    length: int
    n_q: int
    lm: bool

    def to_bytes(self) -> bytes:
        """The header as the official tool writes it."""
        metadata = json.dumps({"m": self.model, "al": self.length, "nc": self.n_q, "lm": self.lm}).encode()
        return PREFIX.pack(MAGIC, VERSION, len(metadata)) + metadata

    def check(self, config: CodecConfig) -> None:
        """Raise FormatError if a model with `config` cannot have made the file."""
        if not 1 <= self.n_q <= config.n_q:
            raise FormatError(f"the file has {self.n_q} codebooks, but {config.name} has {config.n_q}")


def parse_metadata(data: bytes) -> Header:
    """The JSON of a header.

    Raises:
        FormatError: if it lacks something or makes no sense.
    """
    try:
        metadata = json.loads(data.decode())
        model, length, n_q, lm = (metadata[key] for key in ("m", "al", "nc", "lm"))
    except (ValueError, KeyError, TypeError, RecursionError):
        raise FormatError("the file is damaged: its header cannot be read") from None
    if type(model) is not str or type(length) is not int or type(n_q) is not int or type(lm) is not bool:
        raise FormatError("the file is damaged: its header makes no sense")
    if not 0 <= length < 1 << 62 or not 1 <= n_q < 1 << 16:
        raise FormatError("the file is damaged: its header makes no sense")
    return Header(model, length, n_q, lm)


def write(
    stream: Writer, config: CodecConfig, codes: Codes, name: str, lm: StepModel | None = None
) -> None:
    """Write a whole file.

    Args:
        stream: where to.
        config: of the model that made the codes.
        codes: of the recording.
        name: of the model in the file, `encodec_24khz` for the official tool to read it.
        lm: the language model to code with; None packs the codes.

    Raises:
        ConfigError: if there are more codebooks than the language model has.
    """
    if lm is not None and lm.n_q < codes.n_q:
        raise ConfigError(f"the language model has {lm.n_q} codebooks, not {codes.n_q}; leave it out")
    stream.write(Header(name, codes.length, codes.n_q, lm is not None).to_bytes())
    first = 0
    for index, (_, samples) in enumerate(config.segments(codes.length)):
        if codes.scales is not None:
            stream.write(SCALE.pack(codes.scales[index]))
        frames = config.frames_for(samples)
        values = codes.values[:, first : first + frames]
        first += frames
        if lm is None:
            stream.write(pack_codes(values, config.bits_per_code))
        else:
            stream.write(_encode_segment(values.T, lm))


def _encode_segment(values: NDArray[np.int16], lm: StepModel) -> bytes:
    """Code `[frames, n_q]` with the language model."""
    coder, run = ArithmeticEncoder(), lm.start(values.shape[1])
    for step in values:
        for code, ranges in zip(step.tolist(), run.ranges(), strict=True):
            coder.push(code, ranges)
        run.push(step)
    return coder.finish()


def read_blocks(
    stream: Reader, header: Header, config: CodecConfig, lm: StepModel | None = None
) -> Iterator[Codes]:
    """What follows the header: of a model without segments in blocks of up to `BLOCK_FRAMES` frames.

    With segments, every complete one is a block, and those at the end that are not are one together.
    The `length` of a block is what it adds to the recording (see `Codes`).

    Raises:
        FormatError: if the file is cut off or damaged, was made by another model, or needs `lm`.
    """
    header.check(config)
    if header.lm and lm is None:
        raise FormatError("the file needs the language model of its codec")
    if header.lm and lm is not None and lm.n_q < header.n_q:
        raise FormatError(f"the file has {header.n_q} codebooks, but its language model has {lm.n_q}")
    waiting: list[Codes] = []
    for start, samples in _segments(header, config):
        adds = min(config.segment_stride or samples, header.length - start)
        scale = None
        if config.normalize:
            scale = np.array(SCALE.unpack(read_exactly(stream, SCALE.size, "audio")), np.float32)
            if not are_volumes(scale):
                raise FormatError("the file is damaged: a volume is not a number from 0 to 10^13")
        if header.lm and lm is not None:
            blocks = _decoded(stream, header, config, samples, lm)
        else:
            blocks = _packed(stream, header, config, samples)
        done = 0
        for values in blocks:
            length = min(values.shape[1] * config.hop_length, adds - done)
            done += length
            waiting.append(Codes(values, length, scale))
            if config.segment_length in (None, samples) or start + done == header.length:
                yield join(waiting)
                waiting = []


def _segments(header: Header, config: CodecConfig) -> Iterator[tuple[int, int]]:
    """`config.segments`, one at a time: a damaged length must not become a list."""
    size, stride = config.segment_length or header.length, config.segment_stride or header.length
    start = 0
    while start < header.length:
        yield start, min(size, header.length - start)
        start += stride


def _block_frames(config: CodecConfig, samples: int) -> Iterator[int]:
    """Frames of each block, of a segment all; all but the last fill whole bytes."""
    left = config.frames_for(samples)
    size = BLOCK_FRAMES if config.segment_length is None else left
    while left:
        yield min(size, left)
        left -= min(size, left)


def _packed(
    stream: Reader, header: Header, config: CodecConfig, samples: int
) -> Iterator[NDArray[np.int16]]:
    bits = config.bits_per_code
    for frames in _block_frames(config, samples):
        data = read_exactly(stream, packed_size(frames * header.n_q, bits), "audio")
        yield unpack_codes(data, header.n_q, frames, bits)


def _decoded(
    stream: Reader, header: Header, config: CodecConfig, samples: int, lm: StepModel
) -> Iterator[NDArray[np.int16]]:
    coder = ArithmeticDecoder(lambda: read_exactly(stream, 1, "audio")[0])
    run = lm.start(header.n_q)
    for frames in _block_frames(config, samples):
        values = np.empty((header.n_q, frames), np.int16)
        for t in range(frames):
            for k, ranges in enumerate(run.ranges()):
                values[k, t] = coder.pull(ranges)
            run.push(values[:, t])
        yield values
