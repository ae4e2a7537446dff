"""The balancer: every loss has a fixed share in the gradient (paper, equation 5)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from sonant.nn.distributed import average_over_ranks, world_size


class Balancer:
    """Rescales the gradients of the losses at the decoded audio (equation 5).

    G = Σ R · (λᵢ / Σλ) · gᵢ / ⟨‖gᵢ‖₂⟩_β with gᵢ = ∂ℓᵢ/∂x̂, the norm taken per batch item, then
    averaged over the batch, over ranks, and over steps with decay β.

    It reaches the weights as a sum over items. DDP takes the mean over ranks, so it is multiplied by their
    number: losses beside the balancer, means over items, then count as much on any number of ranks.

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
        """The balanced gradient at `decoded` (`[B, …]`), for `decoded.backward(gradient)`.

        A gradient that is not finite passes on as it is, and leaves the averages alone.
        """
        gradients = {
            name: torch.autograd.grad(loss, decoded, retain_graph=True)[0] for name, loss in losses.items()
        }
        norms = torch.stack([g.flatten(1).norm(dim=1).mean() for g in gradients.values()])
        average_over_ranks(norms)
        share = sum(self.weights[name] for name in losses) or 1.0
        total = torch.zeros_like(decoded)
        for (name, gradient), norm in zip(gradients.items(), norms.tolist(), strict=True):
            if math.isfinite(norm):
                self.sums[name] = self.sums.get(name, 0.0) * self.decay + norm
                self.counts[name] = self.counts.get(name, 0.0) * self.decay + 1
            average = self.sums.get(name, 0.0) / self.counts.get(name, 1.0)
            scale = world_size() * self.total_norm * self.weights[name] / share / (average + 1e-12)
            total = total + scale * gradient
        return total

    def state_dict(self) -> dict[str, dict[str, float]]:
        """What a checkpoint keeps."""
        return {"sums": self.sums, "counts": self.counts}

    def load_state_dict(self, state: dict[str, dict[str, float]]) -> None:
        """Continue from a checkpoint."""
        self.sums, self.counts = dict(state["sums"]), dict(state["counts"])
