"""Convolutions over time, channels last, with their state as a value.

Every convolution of SEANet has either stride 1 or kernel = 2 · stride. Both are sums of plain
matrix products over shifted views of the input, which on a CPU run several times faster than
the general convolution and share their form with the inference engine. GPUs take the general one
(`sonant.nn.general`) wherever there are channels enough for it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sonant.config import Norm, PadMode
from sonant.nn.general import convolved, convolved_transposed
from sonant.nn.group_norm import TimeGroupNorm
from sonant.nn.shifted import pad_zeros, shifted_products

NARROW = 16
FEW_ON_GPU = 8


def _general_is_faster(x: Tensor, channels: int) -> bool:
    return x.device.type != "cpu" and channels >= FEW_ON_GPU


def pad_time(x: Tensor, left: int, right: int, mode: PadMode) -> Tensor:
    """Pad `[B, T, C]` in time; reflection of a too short input first appends zeros, then cuts."""
    if mode == "constant" or not (left or right):
        return pad_zeros(x, left, right)
    missing = max(0, max(left, right) - x.shape[1] + 1)
    x = F.pad(x, (0, 0, 0, missing))
    last = x.shape[1] - 1
    padded = torch.cat([x[:, 1 : left + 1].flip(1), x, x[:, last - right : last].flip(1)], dim=1)
    return padded[:, : padded.shape[1] - missing]


class _Convolution(nn.Module):
    """Weight, bias and normalisation shared by both directions."""

    def __init__(self, shape: tuple[int, int, int], out_channels: int, norm: Norm) -> None:
        super().__init__()
        weight = torch.empty(shape)
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.norm = TimeGroupNorm(out_channels) if norm == "time_group_norm" else None
        if norm == "weight_norm":
            self.weight_g = nn.Parameter(torch.ones(shape[0], 1, 1))
            self.weight_v = nn.Parameter(weight)
        else:
            self.weight = nn.Parameter(weight)
        self.has_weight_norm = norm == "weight_norm"

    def folded_weight(self) -> Tensor:
        """The weight with weight normalisation applied: g · v / ‖v‖ over all but the first axis."""
        if self.has_weight_norm:
            return torch._weight_norm(self.weight_v, self.weight_g, 0)
        return self.weight

    def set_weight(self, weight: Tensor) -> None:
        """Set the folded weight, splitting it into norm and direction where needed."""
        with torch.no_grad():
            if self.has_weight_norm:
                self.weight_v.copy_(weight)
                self.weight_g.copy_(torch.linalg.vector_norm(weight, dim=(1, 2), keepdim=True))
            else:
                self.weight.copy_(weight)

    def mute(self) -> None:
        """Make the folded weight zero, by its norm if it has one: zeros have no direction to learn from."""
        with torch.no_grad():
            (self.weight_g if self.has_weight_norm else self.weight).zero_()

    def _normalised(self, y: Tensor) -> Tensor:
        return y if self.norm is None else self.norm(y)


class Conv1d(_Convolution):
    """Convolution with SEANet's padding; stride 1 with any dilation, or kernel = 2 · stride.

    Args:
        in_channels, out_channels, kernel_size, stride, dilation: as usual.
        causal: pad on the left only, else half and half.
        pad_mode: what to pad with before the start (and after the end).
        norm: normalisation of the weight, or of the output over channels and time.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        dilation: int = 1,
        *,
        causal: bool = True,
        pad_mode: PadMode = "constant",
        norm: Norm = "none",
    ) -> None:
        if stride > 1 and (kernel_size != 2 * stride or dilation > 1):
            raise ValueError("a strided convolution needs kernel = 2 · stride and no dilation")
        super().__init__((out_channels, in_channels, kernel_size), out_channels, norm)
        self.kernel_size, self.stride, self.dilation = kernel_size, stride, dilation
        self.in_channels, self.out_channels = in_channels, out_channels
        self.causal, self.pad_mode = causal, pad_mode
        self.padding_total = (kernel_size - 1) * dilation + 1 - stride

    def forward(self, x: Tensor) -> Tensor:
        """`[B, T, C_in]` to `[B, ceil(T / stride), C_out]`, padded on both ends."""
        extra = -x.shape[1] % self.stride
        right = 0 if self.causal else self.padding_total // 2
        x = pad_time(x, self.padding_total - right, right + extra, self.pad_mode)
        return self._normalised(self._valid(x))

    def initial_state(self, batch: int) -> Tensor:
        """Zeros before the first sample: `[B, padding_total, C_in]`."""
        return self.bias.new_zeros(batch, self.padding_total, self.in_channels)

    def step(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """The next samples, a multiple of the stride, of a causal stream with constant padding."""
        x = torch.cat([state, x], dim=1)
        return self._normalised(self._valid(x)), x[:, x.shape[1] - self.padding_total :]

    def _valid(self, x: Tensor) -> Tensor:
        """Without padding. Few channels go over blocks, where a longer kernel leaves fewer zeros."""
        few = min(self.in_channels, self.out_channels)
        if self.kernel_size > 1 and _general_is_faster(x, few):
            return convolved(x, self.folded_weight(), self.bias, self.stride, self.dilation)
        taps = self.folded_weight().permute(2, 1, 0)
        if self.stride > 1:
            blocks = x.reshape(x.shape[0], -1, self.stride * self.in_channels)
            return shifted_products(blocks, taps.reshape(2, blocks.shape[2], -1), self.bias)
        if self.dilation == 1 and few < NARROW * min(2, self.kernel_size):
            return self._in_blocks(x, taps, max(self.padding_total, NARROW // few))
        return shifted_products(x, taps, self.bias, self.dilation)

    def _in_blocks(self, x: Tensor, taps: Tensor, size: int) -> Tensor:
        """Over blocks of `size` rows: more arithmetic, but by matrices that are wide enough to be fast."""
        length = x.shape[1] - self.padding_total
        reach = -(-self.padding_total // size)
        spare = (reach + 1) * size - self.kernel_size
        shifted = [F.pad(taps, (0, 0, 0, 0, place, spare - place)) for place in range(size)]
        wide = torch.stack(shifted, 2).reshape(reach + 1, size * self.in_channels, -1)
        blocks = pad_zeros(x, 0, -length % size + reach * size - self.padding_total)
        blocks = blocks.reshape(x.shape[0], -1, wide.shape[1])
        y = shifted_products(blocks, wide, self.bias.repeat(size))
        return y.reshape(x.shape[0], -1, self.out_channels)[:, :length]


class ConvTranspose1d(_Convolution):
    """Transposed convolution with kernel = 2 · stride, trimmed to `T · stride` outputs."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int,
        *,
        causal: bool = True,
        norm: Norm = "none",
    ) -> None:
        super().__init__((in_channels, out_channels, 2 * stride), out_channels, norm)
        self.stride, self.causal = stride, causal
        self.in_channels, self.out_channels = in_channels, out_channels

    def forward(self, x: Tensor) -> Tensor:
        """`[B, T, C_in]` to `[B, T · stride, C_out]`."""
        overhang = self.norm is not None or not self.causal
        y = self._normalised(self._overlapped(pad_zeros(x, 1, int(overhang))))
        start = 0 if self.causal else self.stride - self.stride // 2
        return y[:, start : start + x.shape[1] * self.stride]

    def initial_state(self, batch: int) -> Tensor:
        """The frame before the first, zeros: `[B, 1, C_in]`."""
        return self.bias.new_zeros(batch, 1, self.in_channels)

    def step(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """The next frames of a causal stream."""
        y = self._normalised(self._overlapped(torch.cat([state, x], dim=1)))
        return y, x[:, -1:]

    def _overlapped(self, x: Tensor) -> Tensor:
        """Second half of every frame's output plus first half of the next one's."""
        if _general_is_faster(x, min(self.in_channels, self.out_channels)):
            y = convolved_transposed(x, self.folded_weight(), self.bias, self.stride)
            return y[:, self.stride : -self.stride]
        taps = self.folded_weight().unflatten(2, (2, self.stride)).permute(2, 0, 3, 1).flatten(2).flip(0)
        y = shifted_products(x, taps, self.bias.repeat(self.stride))
        return y.reshape(x.shape[0], -1, self.out_channels)
