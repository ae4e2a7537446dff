"""Muon: steps along the momentum with all its singular values made equal.

Not of the paper. See Jordan et al., "Muon: An optimizer for hidden layers in neural networks" (2024), and
for the size of the steps Liu et al., "Muon is Scalable for LLM Training" (arXiv 2502.16982), section 2.2.
`torch.optim.Muon` takes matrices only; this one takes kernels and stacks of matrices, too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from sonant.training.devices import multiplies_bfloat16

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
ITERATIONS = 5
RMS_OF_ADAM = 0.2


def orthogonalised(matrices: Tensor) -> Tensor:
    """The nearest matrices with singular values of about 1, by Newton and Schulz; `[B, M, N]`.

    In bfloat16, where that is fast: singular values end between 0.7 and 1.2, which is as good as 1 here.
    """
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if tall else matrices
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp_min(1e-7)
    if multiplies_bfloat16(x.device):
        x = x.bfloat16()
    a, b, c = COEFFICIENTS
    for _ in range(ITERATIONS):
        square = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(square, square, square, beta=b, alpha=c), x, beta=a)
    return (x.mT if tall else x).to(matrices.dtype)


class Muon(torch.optim.Optimizer):
    """Muon for parameters `[M, ...]`, seen as matrices of M rows; steps are as large as Adam's.

    A group may say `blocks`: its parameters are so many matrices on top of each other, as the gates of
    an LSTM are.

    Args:
        parameters: parameters or groups of them, of two dimensions or more.
        lr: learning rate, for which Adam's is a good first guess.
        momentum: decay of the gradients' moving average.
    """

    def __init__(self, parameters: Iterable[Any], lr: float, momentum: float = 0.9) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "blocks": 1})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Move every parameter that has a gradient; `closure` computes them anew and returns the loss."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            alike: dict[torch.Size, list[tuple[Tensor, Tensor]]] = {}
            for parameter in group["params"]:
                if parameter.grad is not None:
                    matrices = self._ahead(parameter, parameter.grad, group)
                    alike.setdefault(matrices.shape, []).append((parameter, matrices))
            for shape, members in alike.items():
                size = RMS_OF_ADAM * math.sqrt(max(shape[1:]))
                stacked = torch.cat([matrices for _, matrices in members])
                directions = orthogonalised(stacked).split(shape[0])
                for (parameter, _), direction in zip(members, directions, strict=True):
                    parameter.add_(direction.view_as(parameter), alpha=-group["lr"] * size)
        return loss

    def _ahead(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> Tensor:
        """The gradient as Nesterov's momentum sees it, as matrices `[blocks, M, N]`."""
        state = self.state[parameter]
        if "average" not in state:
            state["average"] = torch.zeros_like(parameter)
        average = state["average"].lerp_(gradient, 1 - group["momentum"])
        ahead = gradient.lerp(average, group["momentum"])
        return ahead.reshape(group["blocks"], len(parameter) // group["blocks"], -1)
