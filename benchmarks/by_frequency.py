"""A table of codecs by frequency, over the clean speech of validation24."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from clean_speech import clean_speech, speech_parser
from codec_arguments import add_codecs, chosen_codecs
from numpy.typing import NDArray
from torch import Tensor

from sonant.evaluation.codecs.base import round_trip

ByFrequency = Callable[[Tensor, Tensor], NDArray[np.float64]]


def print_by_frequency(
    description: str | None, edges: Sequence[int], measure: Callable[[int], ByFrequency]
) -> None:
    """Print a row for each codec: what is measured between the edges in hertz, over all excerpts.

    Args:
        measure: by the sample rate, of original and decoded audio `[1, T, 1]`.
    """
    parser = speech_parser(description, excerpts=12)
    add_codecs(parser)
    options = parser.parse_args()
    clips, rate = clean_speech(options.corpus, options.excerpts)
    values_of = measure(rate)
    print(f"{'up to Hz':12s}" + "".join(f"{high:8d}" for high in edges[1:]))
    for codec in chosen_codecs(options):
        values = []
        for clip in clips:
            decoded = round_trip(codec, clip, rate)[0]
            length = min(clip.shape[1], decoded.shape[1])
            pair = (torch.from_numpy(np.array(x[:, :length])).float()[:, :, None] for x in (clip, decoded))
            values.append(values_of(*pair))
        row = "".join(f"{value:8.2f}" for value in np.mean(values, axis=0))
        print(f"{codec.name:12s}{row}", flush=True)
