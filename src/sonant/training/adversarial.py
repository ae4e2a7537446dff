"""The adversarial losses (paper, section 3.4)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.linalg import vector_norm
from torch.nn import functional as F

from sonant.nn.discriminators import Features


def discriminator_loss(real: list[Tensor], fake: list[Tensor]) -> Tensor:
    """Hinge loss of the discriminators: mean over scales of max(0, 1 − D(x)) + max(0, 1 + D(x̂))."""
    losses = [
        F.relu(1 - r.float()).mean() + F.relu(1 + f.float()).mean() for r, f in zip(real, fake, strict=True)
    ]
    return torch.stack(losses).mean()


def generator_loss(fake: list[Tensor]) -> Tensor:
    """Hinge loss of the codec: mean over scales of max(0, 1 − D(x̂))."""
    return torch.stack([F.relu(1 - f.float()).mean() for f in fake]).mean()


def feature_loss(real: list[Features], fake: list[Features], relative: bool = True) -> Tensor:
    """Feature matching: mean over scales and layers of ‖D(x) − D(x̂)‖₁ / mean ‖D(x)‖₁ (equation 2).

    Without `relative`, as in SoundStream, the distance is not divided.
    """
    losses = []
    for scale_real, scale_fake in zip(real, fake, strict=True):
        for r, f in zip(scale_real, scale_fake, strict=True):
            target = r.detach()
            distance = vector_norm(target - f, 1, dtype=torch.float32)
            size = target.abs().sum(dtype=torch.float32).clamp_min(1e-8) if relative else target.numel()
            losses.append(distance / size)
    return torch.stack(losses).mean()
