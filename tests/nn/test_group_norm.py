import pytest
import torch
from torch.nn import functional as F

from sonant.nn.group_norm import TimeGroupNorm


@pytest.mark.parametrize("shape", [(3, 20, 5), (1, 1, 8), (2, 7, 1)])
def test_values_and_gradients_are_those_of_torch(shape):
    torch.manual_seed(0)
    layer = TimeGroupNorm(shape[2])
    torch.nn.init.normal_(layer.weight)
    torch.nn.init.normal_(layer.bias)
    x = (3 * torch.randn(shape) + 2).requires_grad_()
    learning = [x, layer.weight, layer.bias]
    expected = F.group_norm(x.transpose(1, 2), 1, layer.weight, layer.bias, layer.eps).transpose(1, 2)
    torch.testing.assert_close(layer(x), expected)
    weights = torch.randn(shape)
    ours, theirs = (torch.autograd.grad(y, learning, weights) for y in (layer(x), expected))
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_other_precisions_give_what_torch_gives():
    torch.manual_seed(0)
    layer = TimeGroupNorm(5).double()
    torch.nn.init.normal_(layer.weight)
    torch.nn.init.normal_(layer.bias)
    x = 3 * torch.randn(3, 20, 5, dtype=torch.float64) + 2
    expected = F.group_norm(x.transpose(1, 2), 1, layer.weight, layer.bias, layer.eps).transpose(1, 2)
    torch.testing.assert_close(layer(x), expected)
