"""The adversarial losses (paper, section 3.4) and the balancer of all losses (equation 5)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from sonant.nn.discriminators import Features
from sonant.nn.distributed import all_sum


def discriminator_loss(real: list[Tensor], fake: list[Tensor]) -> Tensor:
    """Hinge loss of the discriminators: mean over scales of max(0, 1 − D(x)) + max(0, 1 + D(x̂))."""
    losses = [F.relu(1 - r).mean() + F.relu(1 + f).mean() for r, f in zip(real, fake, strict=True)]
    return torch.stack(losses).mean()


def generator_loss(fake: list[Tensor]) -> Tensor:
    """Hinge loss of the codec: mean over scales of max(0, 1 − D(x̂))."""
    return torch.stack([F.relu(1 - f).mean() for f in fake]).mean()


def feature_loss(real: list[Features], fake: list[Features]) -> Tensor:
    """Relative feature matching (equation 2): ‖D(x) − D(x̂)‖₁ / mean ‖D(x)‖₁ over scales and layers."""
    losses = [
        (r.detach() - f).abs().mean() / r.detach().abs().mean().clamp_min(1e-8)
        for scale_real, scale_fake in zip(real, fake, strict=True)
        for r, f in zip(scale_real, scale_fake, strict=True)
    ]
    return torch.stack(losses).mean()


class Balancer:
    """Rescales the gradients of the losses at the decoded audio (equation 5).

    G = Σ R · (λᵢ / Σλ) · gᵢ / ⟨‖gᵢ‖₂⟩_β with gᵢ = ∂ℓᵢ/∂x̂, the norm taken per batch item, then
    averaged over the batch, over ranks, and over steps with decay β.

    Args:
        weights: λᵢ by name of the loss.
        total_norm: R.
        decay: β.
    """

    def __init__(self, weights: dict[str, float], total_norm: float = 1.0, decay: float = 0.999) -> None:
        self.weights, self.total_norm, self.decay = weights, total_norm, decay
        self.sums: dict[str, float] = {}
        self.counts: dict[str, float] = {}

    def gradient(self, losses: dict[str, Tensor], decoded: Tensor) -> Tensor:
        """The balanced gradient at `decoded` (`[B, …]`), for `decoded.backward(gradient)`."""
        gradients = {
            name: torch.autograd.grad(loss, decoded, retain_graph=True)[0]
            for name, loss in losses.items()
        }
        norms = torch.stack([g.flatten(1).norm(dim=1).mean() for g in gradients.values()])
        weight = torch.ones_like(norms[:1])
        all_sum(norms, weight)
        share = sum(self.weights[name] for name in losses)
        total = torch.zeros_like(decoded)
        for (name, gradient), norm in zip(gradients.items(), (norms / weight).tolist(), strict=True):
            self.sums[name] = self.sums.get(name, 0.0) * self.decay + norm
            self.counts[name] = self.counts.get(name, 0.0) * self.decay + 1
            average = self.sums[name] / self.counts[name]
            scale = self.total_norm * self.weights[name] / share / (average + 1e-12)
            total = total + scale * gradient
        return total

    def state_dict(self) -> dict[str, dict[str, float]]:
        """What a checkpoint keeps."""
        return {"sums": self.sums, "counts": self.counts}

    def load_state_dict(self, state: dict[str, dict[str, float]]) -> None:
        """Continue from a checkpoint."""
        self.sums, self.counts = dict(state["sums"]), dict(state["counts"])
