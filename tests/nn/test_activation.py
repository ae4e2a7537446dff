import torch
from torch.nn import functional as F

from sonant.nn.activation import elu


def test_values_and_gradients_are_those_of_torch():
    x = torch.cat([torch.linspace(-90, 90, 361), torch.tensor([0.0, -0.0, 1e-6, -1e-6])]).requires_grad_()
    expected = x.detach().clone().requires_grad_()
    torch.testing.assert_close(elu(x), F.elu(expected), rtol=1e-6, atol=1e-7)
    weights = torch.randn_like(x)
    (elu(x) * weights).sum().backward()
    (F.elu(expected) * weights).sum().backward()
    torch.testing.assert_close(x.grad, expected.grad, rtol=1e-6, atol=1e-6)


def test_half_precision_is_torch_s_own():
    x = torch.linspace(-4, 4, 99).bfloat16()
    torch.testing.assert_close(elu(x), F.elu(x), rtol=0, atol=0)
