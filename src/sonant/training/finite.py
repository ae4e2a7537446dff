"""Steps whose gradient is not finite: they are left out, counted, and end a run if they go on."""

from __future__ import annotations

import sys

import torch
from torch import Tensor

from sonant.errors import SonantError

MAX_BAD_STEPS = 20


class FiniteSteps:
    """Decides for step after step whether the optimiser may take it.

    Args:
        skipped: steps that an earlier part of the run has left out.
    """

    def __init__(self, skipped: int = 0) -> None:
        self.skipped, self._in_a_row = skipped, 0

    def may_take(self, step: int, norm: Tensor) -> bool:
        """Whether the norm of a step's gradient is finite.

        Raises:
            SonantError: if it is the last of too many in a row that are not.
        """
        if torch.isfinite(norm):
            self._in_a_row = 0
            return True
        self.skipped += 1
        self._in_a_row += 1
        print(f"step {step}: skipped, its gradient is not finite", file=sys.stderr, flush=True)
        if self._in_a_row >= MAX_BAD_STEPS:
            raise SonantError(
                f"step {step}: {MAX_BAD_STEPS} gradients in a row are not finite; resume with a "
                "smaller learning rate, or with a precision of '32-true'"
            )
        return False
