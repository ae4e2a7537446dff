"""Codes that cost fewer bits for the same error, or make a smaller error for the same bits.

Of a step's codes c the search takes those that minimise

    ‖x − Σₖ e(k, cₖ)‖² + λ · nats(c),

x being the latent, e the entries, and nats what the language model asks for c after the steps before,
where these have their nearest entries: so all steps are searched at once. The search keeps the best
few beginnings from codebook to codebook, where the nearest entry of each stage in turn is only the
first guess.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sonant.entropy.integer_lm import IntegerLanguageModel

Array = NDArray[np.float32]
Values = NDArray[np.int16]

BEAM = 3
STRENGTH = 0.1
STEPS_AT_ONCE = 96


class RateDistortionSearch:
    """Chooses codes under a language model; files made of them are files like any other.

    λ is `strength` times the error of the nearest entries in a step, for the nats of one code: at 1 a
    code may cost as much error as there is, where it saves all of its bits.

    Args:
        lm: predicts codes, and begins anew with every chunk. Codes of books that it does not know all
            cost the same.
        codebooks: `[stages, bins, D]`, of the codec.
        strength: 0 minimises the error alone, 1 saves half of the bits.
        beam: beginnings kept from codebook to codebook.
    """

    def __init__(
        self,
        lm: IntegerLanguageModel,
        codebooks: Array,
        strength: float,
        beam: int = BEAM,
    ) -> None:
        self._lm, self._books, self._beam = lm, codebooks, beam
        self._columns = np.concatenate(
            [-2 * codebooks.transpose(0, 2, 1), np.square(codebooks).sum(axis=2)[:, None]], axis=1
        )
        self._strength = np.float32(strength / np.log(codebooks.shape[1]))

    def __call__(self, nearest: Values, latents: Array) -> Values:
        """Codes `[n_q, frames]` for a chunk of nearest entries of this shape and latents `[frames, D]`."""
        entries = self._books[np.arange(len(nearest))[:, None], nearest].sum(axis=0)
        prices = self._strength * np.square(latents - entries).sum(axis=1)
        before = self._lm.before_steps(nearest[: self._lm.n_q])
        values = np.empty_like(nearest)
        for first in range(0, len(latents), STEPS_AT_ONCE):
            part = slice(first, first + STEPS_AT_ONCE)
            values[:, part] = self._steps(len(nearest), latents[part], prices[part], before[part]).T
        return values

    def _steps(self, n_q: int, latents: Array, prices: Array, before: Array) -> Values:
        """Codes `[steps, n_q]` for latents `[steps, D]`.

        A beginning has its residual, its nats times their price, what the language model predicts the
        next codebook from, and its codes. Of the cost of a candidate, ‖r − e‖² = ‖r‖² − 2 r·e + ‖e‖²,
        the entries' part is one product, and what all candidates of a beginning share is added last.
        """
        steps = len(latents)
        rows = np.arange(steps)[:, None]
        residuals, spent = latents[:, None], np.zeros((steps, 1), np.float32)
        codes = np.zeros((steps, 1, n_q), np.int16)
        for k in range(n_q):
            kept = residuals.shape[1]
            ones = np.ones((steps, kept, 1), np.float32)
            totals = np.concatenate([residuals, ones], axis=2).reshape(steps * kept, -1) @ self._columns[k]
            totals = totals.reshape(steps, kept, -1)
            predicted = k < self._lm.n_q
            if predicted:
                logits = self._lm.logits(before, k).reshape(totals.shape)
                spent = spent + prices[:, None] * _log_sum_exp(logits)
                logits *= prices[:, None, None]
                totals -= logits
            totals += (spent + np.square(residuals).sum(axis=2))[:, :, None]
            best = _smallest(totals.reshape(steps, -1), self._beam if k + 1 < n_q else 1)
            parent, code = np.divmod(best, totals.shape[2])
            spent = spent[rows, parent]
            residuals = residuals[rows, parent] - self._books[k][code]
            codes = codes[rows, parent]
            codes[:, :, k] = code
            if predicted:
                spent = spent - logits[rows, parent, code]
                chosen = before[(parent + rows * kept).reshape(-1)]
                before = self._lm.with_code(chosen, k, code.reshape(-1))
        return codes[:, 0]


def _log_sum_exp(logits: Array) -> Array:
    largest = logits.max(axis=-1, keepdims=True)
    above = logits - largest
    return np.log(np.exp(above, out=above).sum(axis=-1)) + largest[..., 0]


def _smallest(values: Array, count: int) -> NDArray[np.int64]:
    """Where the `count` smallest values of each row are, `[rows, count]`; `values` is used up."""
    rows = np.arange(len(values))
    places = np.empty((len(values), count), np.int64)
    for number in range(count):
        places[:, number] = values.argmin(axis=1)
        values[rows, places[:, number]] = np.inf
    return places
