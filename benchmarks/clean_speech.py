"""The clean speech of validation24, as several of these programs take it."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from codec_arguments import add_codecs, chosen_codecs
from numpy.typing import NDArray
from torch import Tensor

from sonant.audio import Audio
from sonant.evaluation.codecs.base import round_trip
from sonant.evaluation.sets import bundled_set

ByFrequency = Callable[[Tensor, Tensor], NDArray[np.float64]]


def speech_parser(description: str | None, excerpts: int) -> argparse.ArgumentParser:
    """Arguments CORPUS, --model and --excerpts."""
    parser = argparse.ArgumentParser(description=(description or "").splitlines()[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--model", default="24khz")
    parser.add_argument("--excerpts", type=int, default=excerpts)
    return parser


def clean_speech(corpus: Path, excerpts: int) -> tuple[list[Audio], int]:
    """The first excerpts, `[1, T]` each, and their rate."""
    chosen = bundled_set("validation24").first(excerpts)
    clips = [chosen.render(e, corpus) for e in chosen.excerpts if e.category == "clean speech"]
    return clips, chosen.sample_rate


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
