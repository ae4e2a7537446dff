"""The sum of matrix products that all of SEANet's convolutions are, with its gradient."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def _with_zeros(x: Tensor, left: int, right: int) -> Tensor:
    batch, length, channels = x.shape
    padded = x.new_empty(batch, left + length + right, channels)
    padded[:, :left] = 0
    padded[:, left : left + length] = x
    padded[:, left + length :] = 0
    return padded


class _Padded(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, left: int, right: int) -> Tensor:
        """See `pad_zeros`."""
        ctx.kept = slice(left, left + x.shape[1])
        return _with_zeros(x, left, right)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        """The gradient's part, as a view."""
        return gradients[0][:, ctx.kept], None, None


def pad_zeros(x: Tensor, left: int, right: int) -> Tensor:
    """Zeros before and after `[B, T, C]` in time, in one pass over memory each way."""
    return _Padded.apply(x, left, right) if left or right else x


class _ShiftedProducts(torch.autograd.Function):
    """Every product accumulates in place over all rows of the batch at once.

    The last rows of a recording thereby reach into the next one; they are cut off, and receive no gradient.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, taps: Tensor, bias: Tensor, dilation: int) -> Tensor:
        """See `shifted_products`."""
        ctx.dilation = dilation
        ctx.save_for_backward(x, taps)
        overhang = (len(taps) - 1) * dilation
        rows = x.flatten(0, 1)
        count = len(rows) - overhang
        products = x.new_empty(len(rows), taps.shape[2])
        torch.addmm(bias, rows[:count], taps[0], out=products[:count])
        for k in range(1, len(taps)):
            products[:count].addmm_(rows[k * dilation : k * dilation + count], taps[k])
        return products.unflatten(0, x.shape[:2])[:, : x.shape[1] - overhang]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of `x`, `taps` and `bias`, in their type: compilers trace this under autocast."""
        with torch.autocast(gradients[0].device.type, enabled=False):
            return _ShiftedProducts._gradients(ctx, gradients[0])

    @staticmethod
    def _gradients(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, taps = ctx.saved_tensors
        missing = x.shape[1] - gradient.shape[1]
        gradient = _with_zeros(gradient, 0, missing) if missing else gradient
        gradient = gradient.flatten(0, 1)
        rows, shifts = x.flatten(0, 1), [k * ctx.dilation for k in range(len(taps))]
        of_x = None
        if ctx.needs_input_grad[0]:
            of_x = gradient @ taps[0].t()
            for shift, tap in zip(shifts[1:], taps[1:], strict=True):
                of_x[shift:].addmm_(gradient[: len(rows) - shift], tap.t())
            of_x = of_x.unflatten(0, x.shape[:2])
        of_taps = torch.empty_like(taps)
        for shift, of_tap in zip(shifts, of_taps, strict=True):
            torch.mm(rows[shift:].t(), gradient[: len(rows) - shift], out=of_tap)
        of_bias = (gradient.new_ones(1, len(gradient)) @ gradient)[0]
        return of_x, of_taps, of_bias, None


def shifted_products(x: Tensor, taps: Tensor, bias: Tensor, dilation: int = 1) -> Tensor:
    """y[t] = bias + Σ_k x[t + k · dilation] · taps[k].

    Args:
        x: `[B, T, C_in]`, padded.
        taps: `[K, C_in, C_out]`.
        bias: `[C_out]`.
        dilation: rows between neighbouring taps.

    Returns:
        `[B, T − (K − 1) · dilation, C_out]`, in autocast's type where that is on.
    """
    device = x.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype
    x, taps, bias = (value.to(dtype).contiguous() for value in (x, taps, bias))
    return _ShiftedProducts.apply(x, taps, bias, dilation)
