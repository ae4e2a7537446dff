"""Chunks of codes to payloads and back, under the integer language model.

Codebooks beyond those that the language model predicts are packed, ahead of what the range coder makes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sonant.entropy import range_coder
from sonant.entropy.integer_lm import IntegerLanguageModel
from sonant.entropy.packing import pack_codes, packed_size, unpack_codes


def encode_chunk(lm: IntegerLanguageModel, values: NDArray[np.int16]) -> bytes:
    """Code a chunk `[n_q, frames]`, all of its steps at once; at most `lm.max_frames` frames."""
    starts, widths = _intervals(lm, values[: lm.n_q])
    coded = range_coder.encode(starts.reshape(-1), widths.reshape(-1))
    return pack_codes(values[lm.n_q :], lm.config.bits_per_code) + coded


def bits_of_books(lm: IntegerLanguageModel, values: NDArray[np.int16]) -> NDArray[np.float64]:
    """Bits that each codebook of a chunk `[n_q, frames]` takes, `[n_q]`."""
    bits = np.full(len(values), float(values.shape[1] * lm.config.bits_per_code))
    _, widths = _intervals(lm, values[: lm.n_q])
    bits[: lm.n_q] = np.log2(range_coder.TOTAL / widths).sum(axis=0)
    return bits


def _intervals(
    lm: IntegerLanguageModel, values: NDArray[np.int16]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Start and width of every code of a chunk, `[frames, n_q]`, all of which the model predicts."""
    n_q, frames = values.shape
    codes = values.astype(np.int64)
    before = lm.before_steps(values)
    starts, widths = np.empty((frames, n_q), np.int64), np.empty((frames, n_q), np.int64)
    for k in range(n_q):
        starts[:, k], widths[:, k] = lm.intervals(before, k, codes[k])
        before = lm.with_code(before, k, codes[k])
    return starts, widths


def decode_chunks(
    lm: IntegerLanguageModel, payloads: Sequence[bytes], n_q: int, frames: int
) -> tuple[NDArray[np.int16], NDArray[np.bool_]]:
    """Decode chunks of one shape side by side.

    Returns:
        Codes `[chunks, n_q, frames]`, and for each chunk whether its payload was one of an encoder.
    """
    lanes, predicted = len(payloads), min(n_q, lm.n_q)
    ahead = packed_size((n_q - predicted) * frames, lm.config.bits_per_code)
    coder, state = range_coder.RangeDecoder([p[ahead:] for p in payloads]), lm.start(lanes, frames)
    values = np.empty((lanes, n_q, frames), np.int16)
    for lane, payload in enumerate(payloads):
        packed = payload[:ahead].ljust(ahead, b"\0")
        values[lane, predicted:] = unpack_codes(packed, n_q - predicted, frames, lm.config.bits_per_code)
    previous = np.zeros((lanes, predicted, 1), np.int64)
    for t in range(frames):
        before = lm.before_books(lm.forward(previous, state)[:, 0])
        for k in range(predicted):
            codes = coder.pull(lm.cumulative(before, k))
            before = lm.with_code(before, k, codes)
            values[:, k, t] = codes
        previous = values[:, :predicted, t : t + 1].astype(np.int64) + 1
    return values, coder.intact()
