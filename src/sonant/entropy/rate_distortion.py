"""Codes that cost fewer bits for the same error, or make a smaller error for the same bits.

Of a step's codes c the search takes those that minimise

    ‖x − Σₖ e(k, cₖ)‖² + λ · bits(c),

x being what all codebooks together make of the latent, e the entries, and bits what the language
model asks for c after the steps before. It keeps the best few beginnings from codebook to codebook,
where the nearest entry of each stage in turn is only the first guess.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sonant.entropy.integer_lm import IntegerLanguageModel

Array = NDArray[np.float32]
Values = NDArray[np.int16]

BEAM = 4


class RateDistortionSearch:
    """Chooses codes under a language model; files made of them are files like any other.

    λ is `strength` times the error of the nearest entries in a step, for the bits of one code: at 1 a
    code may cost as much error as there is, where it saves all of its bits.

    Args:
        lm: predicts codes, and begins anew with every chunk.
        codebooks: `[stages, bins, D]`, of the codec.
        n_q: codebooks of the codes to choose, as many as `lm` has at most.
        strength: 0 minimises the error alone, 1 saves half of the bits.
        beam: beginnings kept from codebook to codebook.
    """

    def __init__(
        self,
        lm: IntegerLanguageModel,
        codebooks: Array,
        n_q: int,
        strength: float,
        beam: int = BEAM,
    ) -> None:
        self.n_q = n_q
        self._lm, self._books, self._beam = lm, codebooks, beam
        self._columns = np.concatenate(
            [
                -2 * codebooks.transpose(0, 2, 1),
                np.square(codebooks).sum(axis=2)[:, None],
                np.ones_like(codebooks[:, None, :, 0]),
            ],
            axis=1,
        )
        self._strength = np.float32(strength / np.log2(codebooks.shape[1]))

    def __call__(self, chunks: Sequence[Values]) -> list[Values]:
        """Codes `[n_q, frames]` for chunks `[stages, frames]` of nearest entries, side by side.

        The more stages there are, the better is the latent known; at least `n_q`. Each result is that
        for the chunk alone.
        """
        frames = max(chunk.shape[1] for chunk in chunks)
        targets = np.zeros((len(chunks), frames, self._books.shape[2]), np.float32)
        errors = np.zeros((len(chunks), frames), np.float32)
        for lane, chunk in enumerate(chunks):
            entries = self._books[np.arange(len(chunk))[:, None], chunk]
            targets[lane, : chunk.shape[1]] = entries.sum(axis=0)
            errors[lane, : chunk.shape[1]] = np.square(entries[self.n_q :].sum(axis=0)).sum(axis=1)
        values = self._search(targets, self._strength * errors)
        return [values[lane, :, : chunk.shape[1]] for lane, chunk in enumerate(chunks)]

    def _search(self, targets: Array, prices: Array) -> Values:
        lanes, frames, _ = targets.shape
        values = np.empty((lanes, self.n_q, frames), np.int16)
        state = self._lm.start(lanes, frames)
        previous = np.zeros((lanes, self.n_q, 1), np.int64)
        for t in range(frames):
            outputs = self._lm.before_books(self._lm.forward(previous, state)[:, 0])
            values[:, :, t] = self._step(targets[:, t], prices[:, t], outputs)
            previous = values[:, :, t : t + 1].astype(np.int64) + 1
        return values

    def _step(self, target: Array, price: Array, before: Array) -> Values:
        """Codes `[lanes, n_q]` of one step.

        A beginning has its residual, its bits times their price, what the language model predicts the
        next codebook from, and its codes. The columns of a codebook make ‖r‖² − 2 r·e + ‖e‖² one product.
        """
        lanes = len(target)
        residuals, spent = target[:, None], np.zeros((lanes, 1), np.float32)
        codes = np.zeros((lanes, 1, self.n_q), np.int16)
        rows = np.arange(lanes)[:, None]
        for k in range(self.n_q):
            kept = residuals.shape[1]
            errors = np.square(residuals).sum(axis=2)
            known = np.stack([np.ones_like(errors), spent + errors], axis=2)
            totals = np.concatenate([residuals, known], axis=2) @ self._columns[k]
            costs = self._lm.bits(before, k).reshape(totals.shape)
            costs *= price[:, None, None]
            totals += costs
            best = _smallest(totals.reshape(lanes, -1), self._beam if k + 1 < self.n_q else 1)
            parent, code = np.divmod(best, totals.shape[2])
            spent = spent[rows, parent] + costs.reshape(lanes, -1)[rows, best]
            residuals = residuals[rows, parent] - self._books[k][code]
            codes = codes[rows, parent]
            codes[:, :, k] = code
            parents = (parent + rows * kept).reshape(-1)
            before = self._lm.with_code(before[parents], k, code.reshape(-1))
        return codes[:, 0]


def _smallest(values: Array, count: int) -> NDArray[np.int64]:
    """Where the `count` smallest values of each row are, `[rows, count]`; `values` is used up."""
    rows = np.arange(len(values))
    places = np.empty((len(values), count), np.int64)
    for number in range(count):
        places[:, number] = values.argmin(axis=1)
        values[rows, places[:, number]] = np.inf
    return places
