"""How well a codec keeps partials and the valleys between them, by frequency.

python benchmarks/partials.py CORPUS --codecs sonant:6,opus:6,lyra:6 --lyra LYRA_FOLDER

For clean speech of validation24: the correlation of levels with those of the original, over 210 Hz and 3
frames of spectra over 43 ms (1 less the loss `sonant.training.fine_structure`), in frames at most 30 dB
softer than the loudest of the excerpt. Of two noises it is 0.
"""

from __future__ import annotations

import itertools
from functools import partial

import numpy as np
import torch
from by_frequency import print_by_frequency
from numpy.typing import NDArray
from torch import Tensor

from sonant.nn.spectra import centred_spectra, powers
from sonant.training.fine_structure import FIRST_BIN, FineStructureLoss

EDGES = (200, 600, 1000, 2000, 3000, 4000, 5800)
LOUD = 1e-3


def correlations(loss: FineStructureLoss, rate: int, first: Tensor, second: Tensor) -> NDArray[np.float64]:
    """Mean correlation in the bands between `EDGES`, of audio `[1, T, 1]`."""
    size = loss.sizes[0]
    cells = 1 - loss.by_cell(first, second)[0][0]
    loudness = powers(centred_spectra(first[:, :, 0], loss.get_buffer(f"window_{size}"))).sum(2)[:, 2:-2]
    cells = cells[loudness > LOUD * loudness.max()]
    hertz = (FIRST_BIN + np.arange(cells.shape[1])) * rate / size
    bands = [(hertz >= low) & (hertz < high) for low, high in itertools.pairwise(EDGES)]
    return np.array([cells[:, torch.from_numpy(band)].mean().item() for band in bands])


if __name__ == "__main__":
    print_by_frequency(__doc__, EDGES, lambda rate: partial(correlations, FineStructureLoss(rate), rate))
