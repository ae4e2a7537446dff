"""PyTorch's general convolutions over channels-last audio: one kernel each on a GPU, summed in float32."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def _as_image(x: Tensor) -> Tensor:
    """`[B, T, C]` as an image `[B, C, 1, T]` that lies channels last: no sample moves."""
    return x.contiguous()[:, None].permute(0, 3, 1, 2)


def _as_audio(image: Tensor) -> Tensor:
    return image.permute(0, 2, 3, 1)[:, 0]


def convolved(x: Tensor, weight: Tensor, bias: Tensor, stride: int = 1, dilation: int = 1) -> Tensor:
    """`[B, T, C_in]` by `[C_out, C_in, K]` to `[B, (T − (K − 1) · dilation − 1) // stride + 1, C_out]`."""
    y = F.conv2d(_as_image(x), weight[:, :, None], bias, (1, stride), dilation=(1, dilation))
    return _as_audio(y)


def convolved_transposed(x: Tensor, weight: Tensor, bias: Tensor, stride: int) -> Tensor:
    """`[B, T, C_in]` by `[C_in, C_out, K]` to `[B, (T − 1) · stride + K, C_out]`, nothing trimmed."""
    return _as_audio(F.conv_transpose2d(_as_image(x), weight[:, :, None], bias, (1, stride)))
