"""Codes: what a codec makes of audio, and what files and language models carry."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sonant.config import CodecConfig
from sonant.errors import ConfigError, FormatError

LOUDEST_VOLUME = 1e13
"""Ten times the loudest samples that are coded (`audio.LOUDEST`)."""


@dataclass(frozen=True, eq=False)
class Codes:
    """The codes of one recording, or of a part of one.

    Attributes:
        values: int16 `[n_q, frames]`, each below the model's `bins`. A model with segments lays the
            frames of its segments end to end (`CodecConfig.segments`).
        length: samples at the model's rate that these codes add to the recording. A piece of a
            segmented stream that is followed by another one counts its segments up to where the
            next one starts.
        scales: float32 `[segments]`, the volume that each segment was divided by, for a model that
            normalises; else None.
        latents: float32 `[frames, D]`, what the encoder gave and the codes stand for, where a stream
            was asked to keep it; else None.
    """

    values: NDArray[np.int16]
    length: int
    scales: NDArray[np.float32] | None = None
    latents: NDArray[np.float32] | None = None

    def __repr__(self) -> str:
        return f"<Codes of {self.n_q} codebooks: {self.frames} frames, {self.length} samples>"

    @property
    def n_q(self) -> int:
        """Codebooks in use."""
        return int(self.values.shape[0])

    @property
    def frames(self) -> int:
        """Frames of all segments together."""
        return int(self.values.shape[1])

    def with_codebooks(self, n_q: int) -> Codes:
        """The same recording at a lower rate: only the first `n_q` codebooks.

        Nearest entries (a beam of 1) are those that coding at that rate gives; a wider search would then
        have found others.

        Raises:
            ConfigError: if there are not so many.
        """
        if not 1 <= n_q <= self.n_q:
            raise ConfigError(f"there are codes of {self.n_q} codebooks, not of {n_q}")
        return replace(self, values=self.values[:n_q])

    def part(self, first: int, stop: int, length: int, scales: NDArray[np.float32] | None = None) -> Codes:
        """Frames `first` to `stop`, which add `length` samples to the recording."""
        latents = None if self.latents is None else self.latents[first:stop]
        return Codes(self.values[:, first:stop], length, scales, latents)


def join(pieces: Sequence[Codes]) -> Codes:
    """Pieces of a stream, in order, as one.

    Raises:
        FormatError: if there are none, or they differ in their number of codebooks.
    """
    if len({piece.n_q for piece in pieces}) != 1:
        raise FormatError("only pieces of one number of codebooks, one at least, can be joined")
    scales = [piece.scales for piece in pieces if piece.scales is not None]
    latents = [piece.latents for piece in pieces if piece.latents is not None]
    return Codes(
        np.concatenate([piece.values for piece in pieces], axis=1),
        sum(piece.length for piece in pieces),
        np.concatenate(scales) if scales else None,
        np.concatenate(latents) if latents else None,
    )


def are_volumes(scales: NDArray[np.float32]) -> bool:
    """Whether segments may have been divided by these: numbers from 0 to 10^13."""
    return bool(((scales >= 0) & (scales <= LOUDEST_VOLUME)).all())


def split_segments(codes: Codes, config: CodecConfig) -> Iterator[tuple[NDArray[np.int16], int]]:
    """The values `[n_q, frames]` of every segment with its number of samples.

    Pieces of a stream hold whole segments only, all but the last piece.

    Raises:
        FormatError: if the number of frames does not fit the length.
    """
    assert config.segment_length is not None and config.segment_stride is not None
    whole = config.frames_for(config.segment_length)
    count = codes.frames // whole
    if codes.frames == count * whole and codes.length == count * config.segment_stride:
        sizes = [config.segment_length] * count
    else:
        sizes = [samples for _, samples in config.segments(codes.length)]
    if sum(map(config.frames_for, sizes)) != codes.frames:
        raise FormatError(f"{codes.frames} frames are not what {codes.length} samples give")
    start = 0
    for samples in sizes:
        stop = start + config.frames_for(samples)
        yield codes.values[:, start:stop], samples
        start = stop


def whole_segments(codes: Codes, config: CodecConfig) -> Iterator[Codes]:
    """Every complete segment, and those at the end that are not as one: pieces of a stream.

    Alone, the first of these would look like the end of a recording, which overlaps nothing.

    Raises:
        FormatError: as `split_segments`.
    """
    assert config.segment_stride is not None
    frames = samples = segments = stop = 0
    for number, (values, size) in enumerate(split_segments(codes, config), 1):
        stop += values.shape[1]
        if size == config.segment_length or stop == codes.frames:
            end = min(number * config.segment_stride, codes.length)
            scales = None if codes.scales is None else codes.scales[segments:number]
            yield codes.part(frames, stop, end - samples, scales)
            frames, samples, segments = stop, end, number


def pieces_of(codes: Codes, config: CodecConfig, frames: int) -> Iterator[Codes]:
    """Pieces for a stream of at most so many frames, or single segments of a model with segments.

    Raises:
        FormatError: if the number of frames does not fit the length.
    """
    if config.segment_stride is not None:
        yield from whole_segments(codes, config)
        return
    if codes.frames != config.frames_for(codes.length):
        raise FormatError(f"{codes.frames} frames are not what {codes.length} samples give")
    hop = config.hop_length
    for first in range(0, codes.frames, frames):
        stop = min(first + frames, codes.frames)
        yield codes.part(first, stop, min(stop * hop, codes.length) - first * hop)
