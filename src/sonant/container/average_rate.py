"""An average bitrate: as many codebooks, chunk after chunk, as a file may have bytes for."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from sonant.codes import Codes
from sonant.container.version1 import CHUNK_FIXED, Chunk
from sonant.entropy.integer_lm import IntegerLanguageModel
from sonant.entropy.lm_coder import bits_of_books

SHARE_OF_SAVINGS = 1 / 4
"""Of what earlier chunks left over, what one chunk may take, so that quality changes slowly."""

EXPECTED = 0.9
"""A chunk's size over that of the nearest entries, before any is known."""


class AverageRate:
    """Chooses how many codebooks the chunks of one file have.

    A chunk gets its share of the average, and a quarter of what earlier chunks left over. So the chunks
    of a file, with their heads and checksums, never come to more than the average, unless a single
    codebook takes more; then later chunks make up for it.

    Args:
        kbps: the average, in kbit/s.
        sample_rate: of the codec.
        lm: the language model that codes the chunks.
    """

    def __init__(self, kbps: float, sample_rate: int, lm: IntegerLanguageModel) -> None:
        self._bytes_per_sample, self._lm = kbps * 125 / sample_rate, lm
        self._saved, self._ratio = 0.0, EXPECTED

    def __call__(self, codes: Codes, coded: Callable[[Codes], Chunk]) -> Chunk:
        """The chunk of as many codebooks as there are bytes for.

        Args:
            codes: nearest entries, of as many codebooks as may be in use.
            coded: makes the chunk of the codes that it is given.
        """
        share = codes.length * self._bytes_per_sample
        budget = share + self._saved * (SHARE_OF_SAVINGS if self._saved > 0 else 1)
        scales = 0 if codes.scales is None else 4 * len(codes.scales)
        estimates = CHUNK_FIXED + scales + np.cumsum(bits_of_books(self._lm, codes.values)) / 8
        n_q = max(1, int(np.searchsorted(estimates * self._ratio, budget, side="right")))
        chunk = coded(codes.with_codebooks(n_q))
        while chunk.size > budget and chunk.n_q > 1:
            chunk = coded(codes.with_codebooks(chunk.n_q - 1))
        while n_q <= chunk.n_q < codes.n_q and self._expected(chunk, estimates) <= budget:
            larger = coded(codes.with_codebooks(chunk.n_q + 1))
            if larger.size > budget:
                break
            chunk = larger
        self._ratio = chunk.size / estimates[chunk.n_q - 1]
        self._saved += share - chunk.size
        return chunk

    @staticmethod
    def _expected(chunk: Chunk, estimates: NDArray[np.float64]) -> float:
        """Bytes with one codebook more."""
        return float(chunk.size * estimates[chunk.n_q] / estimates[chunk.n_q - 1])
