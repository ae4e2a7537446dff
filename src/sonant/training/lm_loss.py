"""What a language model learns to make small: the bits that codes take."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sonant.nn.language_model import LanguageModel, shifted


def cross_entropy(model: LanguageModel, codes: Tensor, position: int | Tensor = 0) -> Tensor:
    """Nats per code of codes `[B, n_q, T]`, for each codebook `[n_q]`."""
    inputs, _ = model.head_inputs(shifted(codes), None, position, codes)
    losses = [
        F.cross_entropy(linear(x).flatten(0, 1), codes[:, k].flatten())
        for k, (linear, x) in enumerate(zip(model.linears, inputs, strict=False))
    ]
    return torch.stack(losses)


class NatsPerCode(nn.Module):
    """What is trained: a model, with what its tables are tied to; gives `cross_entropy`."""

    def __init__(self, model: LanguageModel, projections: nn.ModuleList) -> None:
        super().__init__()
        self.model, self.projections = model, projections

    def forward(self, codes: Tensor, position: int | Tensor) -> Tensor:
        """Nats `[n_q]` of codes `[B, n_q, T]`."""
        return cross_entropy(self.model, codes, position)


@torch.no_grad()
def bits_per_code(model: LanguageModel, codes: np.ndarray, n_q: int, frames: int) -> float:
    """Bits per code on crops `[crops, n_q, T]`, cut into chunks of `frames` that stand alone."""
    chunks = codes.shape[2] // frames
    cut = codes[:, :n_q, : chunks * frames].reshape(len(codes), n_q, chunks, frames)
    whole = torch.from_numpy(cut.transpose(0, 2, 1, 3).reshape(-1, n_q, frames).astype(np.int64))
    device = next(model.parameters()).device
    sums = [cross_entropy(model, part.to(device)).sum() * len(part) for part in whole.split(8)]
    return float(torch.stack(sums).sum()) / len(whole) / n_q / math.log(2)
