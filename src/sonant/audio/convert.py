"""Sample rates and channels of audio as float32 `[channels, samples]`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import soxr
from numpy.typing import NDArray

from sonant.errors import AudioError

Audio = NDArray[np.float32]

HIGHEST_SOURCE_RATE = 10_000_000
"""Hz; far beyond it the resampler does not come to an end."""

LOUDEST = 1e12
"""Sums of squares of samples, and what networks make of them, stay finite in float32 up to here."""


def floats(samples: Any) -> NDArray[np.floating]:
    """Samples as an array, if they are floats: whole numbers are of some other full scale than 1.

    Raises:
        AudioError: if they are not.
    """
    array = np.asarray(samples)
    if array.dtype.kind != "f":
        raise AudioError(f"samples are floats in [-1, 1], not {array.dtype}; divide by full scale first")
    return array


def mix_channels(audio: Audio, channels: int) -> Audio:
    """`[any, samples]` as `[channels, samples]`: the mean for mono, mono repeated, or the first of many."""
    if audio.shape[0] == channels:
        return audio
    if channels == 1:
        return audio.mean(axis=0, keepdims=True)
    if audio.shape[0] == 1:
        return np.repeat(audio, channels, axis=0)
    return audio[:channels]


def check_source_rate(rate: float) -> None:
    """Raise AudioError unless audio of this rate can be resampled: from 1 Hz to 10 MHz."""
    if not 1 <= rate <= HIGHEST_SOURCE_RATE:
        raise AudioError(f"a sample rate is between 1 and {HIGHEST_SOURCE_RATE} Hz, not {rate}")


def resampled(blocks: Iterator[Audio], source_rate: int, rate: int, channels: int) -> Iterator[Audio]:
    """Resample a stream with soxr's high-quality filter.

    Args:
        blocks: of the stream, `[channels, samples]` each.
        source_rate, rate: of what comes and of what it becomes, in Hz.
        channels: of every block.

    Returns:
        Blocks `[channels, samples]`, of which none is empty where the rates differ.

    Raises:
        AudioError: as `check_source_rate`.
    """
    check_source_rate(source_rate)
    if source_rate == rate:
        yield from blocks
        return
    stream = soxr.ResampleStream(source_rate, rate, channels, dtype="float32")
    for block in blocks:
        if len(out := stream.resample_chunk(block.T)):
            yield np.ascontiguousarray(out.T)
    if len(out := stream.resample_chunk(np.zeros((0, channels), np.float32), last=True)):
        yield np.ascontiguousarray(out.T)


def resample(audio: Audio, source_rate: int, rate: int) -> Audio:
    """A whole recording `[channels, samples]` at another rate in Hz.

    Raises:
        AudioError: as `check_source_rate`.
    """
    nothing = np.zeros((len(audio), 0), np.float32)
    return np.concatenate([nothing, *resampled(iter([audio]), source_rate, rate, len(audio))], axis=1)
