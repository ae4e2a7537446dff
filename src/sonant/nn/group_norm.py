"""Normalisation over channels and time, in fewer passes over memory than PyTorch's own on a CPU."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class _Normalised(torch.autograd.Function):
    """Gradients from two sums over time for each channel, and one more pass."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
        """See `TimeGroupNorm`."""
        unit, _, deviation = torch.native_layer_norm(x, x.shape[1:], None, None, eps)
        ctx.save_for_backward(unit, deviation, weight)
        return torch.addcmul(bias, unit, weight)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        """Gradients of `x`, `weight` and `bias`; `deviation` is 1 / σ of each recording."""
        unit, deviation, weight = ctx.saved_tensors
        gradient = gradients[0]
        of_bias, of_weight = gradient.sum(1, keepdim=True), (gradient * unit).sum(1, keepdim=True)
        share = -deviation / unit[0].numel()
        offset = share * (of_bias * weight).sum(2, keepdim=True)
        slope = share * (of_weight * weight).sum(2, keepdim=True)
        of_x = torch.addcmul(offset, unit, slope).addcmul_(gradient, deviation * weight)
        return of_x, of_weight.sum((0, 1)), of_bias.sum((0, 1)), None


class TimeGroupNorm(nn.GroupNorm):
    """Normalisation over channels and time of `[B, T, C]`; gain and offset are the channels' own."""

    def __init__(self, channels: int) -> None:
        super().__init__(1, channels)

    def forward(self, x: Tensor) -> Tensor:
        """The same shape, each recording with mean 0 and variance 1 before gain and offset.

        On a CPU the gradient can be taken once.
        """
        if x.device.type == "cpu" and x.dtype == torch.float32:
            return _Normalised.apply(x, self.weight, self.bias, self.eps)  # type: ignore[no-any-return]
        return F.layer_norm(x, x.shape[1:], eps=self.eps) * self.weight + self.bias
