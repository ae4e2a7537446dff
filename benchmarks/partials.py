"""How well a codec keeps partials and the valleys between them, by frequency.

python benchmarks/partials.py CORPUS --codecs sonant:6,opus:6,lyra:6 --lyra LYRA_FOLDER

For clean speech of validation24: the correlation of levels with those of the original, over 210 Hz and 3
frames of spectra over 43 ms (1 less the loss `sonant.training.fine_structure`), in frames at most 30 dB
softer than the loudest of the excerpt. Of two noises it is 0.
"""

from __future__ import annotations

import itertools

import numpy as np
import torch
from clean_speech import clean_speech, speech_parser
from codec_arguments import add_codecs, chosen_codecs
from numpy.typing import NDArray

from sonant.audio import Audio
from sonant.evaluation.codecs.base import round_trip
from sonant.nn.spectra import centred_spectra, powers
from sonant.training.fine_structure import FIRST_BIN, FineStructureLoss

EDGES = (200, 600, 1000, 2000, 3000, 4000, 5800)
LOUD = 1e-3


def correlations(
    loss: FineStructureLoss, reference: Audio, decoded: Audio, rate: int
) -> NDArray[np.float64]:
    """Mean correlation in the bands between `EDGES`, of audio `[1, T]`."""
    length = min(reference.shape[1], decoded.shape[1])
    first, second = (
        torch.from_numpy(np.array(x[:, :length])).float()[:, :, None] for x in (reference, decoded)
    )
    size = loss.sizes[0]
    cells = 1 - loss.by_cell(first, second)[0][0]
    loudness = powers(centred_spectra(first[:, :, 0], loss.get_buffer(f"window_{size}"))).sum(2)[:, 2:-2]
    cells = cells[loudness > LOUD * loudness.max()]
    hertz = (FIRST_BIN + np.arange(cells.shape[1])) * rate / size
    bands = [(hertz >= low) & (hertz < high) for low, high in itertools.pairwise(EDGES)]
    return np.array([cells[:, torch.from_numpy(band)].mean().item() for band in bands])


def main() -> None:
    """Print a row for each codec."""
    parser = speech_parser(__doc__, excerpts=12)
    add_codecs(parser)
    options = parser.parse_args()
    clips, rate = clean_speech(options.corpus, options.excerpts)
    loss = FineStructureLoss(rate)
    print(f"{'up to Hz':12s}" + "".join(f"{high:8d}" for high in EDGES[1:]))
    for codec in chosen_codecs(options):
        values = [correlations(loss, clip, round_trip(codec, clip, rate)[0], rate) for clip in clips]
        print(
            f"{codec.name:12s}" + "".join(f"{value:8.2f}" for value in np.mean(values, axis=0)), flush=True
        )


if __name__ == "__main__":
    main()
