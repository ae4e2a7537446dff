"""How well a codec keeps the pulses of a voice's treble, by frequency.

python benchmarks/pulses.py CORPUS --codecs sonant:6,opus:12,lyra:6 --lyra LYRA_FOLDER [--model 24khz]

For clean speech of validation24: the correlation of what levels do within 15 ms with what those of the
original do (1 less the loss `sonant.training.pulses`), over 61 ms, where the original is at most 30 dB
softer than at its loudest. Of two noises it is 0.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from by_frequency import print_by_frequency
from numpy.typing import NDArray
from torch import Tensor

from sonant.training.auditory import LOUDNESS
from sonant.training.pulses import EDGES, PulseLoss

LOUD = 1e-3**LOUDNESS


def correlations(loss: PulseLoss, first: Tensor, second: Tensor) -> NDArray[np.float64]:
    """Mean correlation in the bands between `EDGES`, of audio `[1, T, 1]`."""
    cells, weights = loss.by_cell(first, second)
    loud = weights[0, 0] > LOUD * weights.max()
    by_band: NDArray[np.float64] = 1 - cells[0, :, loud].mean(1).double().numpy()
    return by_band


if __name__ == "__main__":
    print_by_frequency(__doc__, EDGES, lambda rate: partial(correlations, PulseLoss(rate)))
