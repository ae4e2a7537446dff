"""Which part of the spectrum a loss teaches: the gradient at decoded speech, by frequency.

python benchmarks/loss_gradients.py CORPUS [--model 24khz] [--bitrate 6]

Norm of the gradient of each loss at the decoded clean speech of validation24, in crops of one second as
in training, and how its energy is spread over the spectrum.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from clean_speech import clean_speech, speech_parser
from torch import Tensor

from sonant.evaluation.codecs import CodecSources, make_codec
from sonant.evaluation.codecs.base import round_trip
from sonant.training.auditory import AuditoryLoss
from sonant.training.fine_structure import FineStructureLoss
from sonant.training.losses import MelLoss, time_loss
from sonant.training.structure import StructureLoss

EDGES = (0, 500, 1000, 4000, 8000, 12_000)


def crops(corpus: Path, model: str, bitrate: str, excerpts: int) -> tuple[Tensor, Tensor, int]:
    """Original and decoded crops of one second, `[B, T, 1]`, and their rate."""
    clips, rate = clean_speech(corpus, excerpts)
    codec = make_codec(f"sonant:{bitrate}", CodecSources(models={"sonant": model}))
    pairs = []
    for clip in clips:
        decoded, _ = round_trip(codec, clip, rate)
        whole = clip.shape[1] // rate * rate
        pairs.append([x[0, :whole].reshape(-1, rate, 1) for x in (clip, decoded)])
    before, after = (torch.from_numpy(np.concatenate(side)).float() for side in zip(*pairs, strict=True))
    return before, after, rate


def main() -> None:
    """Print a row for each loss."""
    parser = speech_parser(__doc__, excerpts=12)
    parser.add_argument("--bitrate", default="6")
    options = parser.parse_args()
    before, after, rate = crops(options.corpus, options.model, options.bitrate, options.excerpts)
    auditory = AuditoryLoss(rate)
    losses: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
        "time": time_loss,
        "mel": MelLoss(rate),
        "noise-to-mask": lambda x, y: auditory(x, y).noise_to_mask,
        "level": lambda x, y: auditory(x, y).level,
        "structure": StructureLoss(rate),
        "fine structure": FineStructureLoss(rate),
    }
    print(f"{'loss':14s} {'value':>7s} {'norm':>8s}  share of the gradient's energy by kHz")
    for name, loss in losses.items():
        decoded = after.clone().requires_grad_()
        value = loss(before, decoded)
        (gradient,) = torch.autograd.grad(value, decoded)
        power = torch.fft.rfft(gradient[:, :, 0]).abs().square().sum(0)
        parts = [power[low:high].sum() / power.sum() for low, high in itertools.pairwise(EDGES)]
        text = "  ".join(
            f"{low / 1000:g}–{high / 1000:g}: {100 * part:2.0f} %"
            for (low, high), part in zip(itertools.pairwise(EDGES), parts, strict=True)
        )
        print(f"{name:14s} {value.item():7.3f} {gradient.norm().item():8.4f}  {text}")


if __name__ == "__main__":
    main()
