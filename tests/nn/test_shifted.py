"""The sum of shifted matrix products: its definition, its gradient and its type under autocast."""

import pytest
import torch

from sonant.nn.shifted import pad_zeros, shifted_products

CASES = [(1, 1), (2, 1), (3, 1), (3, 4), (7, 2)]


def operands(kernel, dtype=torch.float64):
    torch.manual_seed(0)
    shapes = ((3, 31, 4), (kernel, 4, 5), (5,))
    return [torch.randn(shape, dtype=dtype, requires_grad=True) for shape in shapes]


@pytest.mark.parametrize(("kernel", "dilation"), CASES)
def test_is_the_sum_it_says(kernel, dilation):
    x, taps, bias = operands(kernel)
    length = 31 - (kernel - 1) * dilation
    expected = bias + sum(x[:, k * dilation : k * dilation + length] @ taps[k] for k in range(kernel))
    torch.testing.assert_close(shifted_products(x, taps, bias, dilation), expected)


@pytest.mark.parametrize(("kernel", "dilation"), CASES)
def test_gradient_equals_finite_differences(kernel, dilation):
    assert torch.autograd.gradcheck(shifted_products, (*operands(kernel), dilation))


def test_audio_needs_no_gradient():
    x, taps, bias = operands(3)
    shifted_products(x.detach(), taps, bias).sum().backward()
    assert taps.grad is not None
    assert bias.grad.tolist() == pytest.approx([3 * 29] * 5)


def test_computes_in_the_type_of_autocast():
    x, taps, bias = operands(3, torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        y = shifted_products(x, taps, bias)
    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(y.float(), shifted_products(x, taps, bias), rtol=0.05, atol=0.05)
    y.sum().backward()
    assert {value.grad.dtype for value in (x, taps, bias)} == {torch.float32}


@pytest.mark.parametrize(("left", "right"), [(0, 0), (3, 0), (0, 2), (3, 2)])
def test_zeros_around(left, right):
    x, *_ = operands(1)
    padded = pad_zeros(x, left, right)
    torch.testing.assert_close(padded, torch.nn.functional.pad(x, (0, 0, left, right)))
    assert torch.autograd.gradcheck(lambda value: pad_zeros(value, left, right), (x,))


def test_compiles_under_autocast_that_is_off_again_inside():
    x, taps, bias = operands(3, torch.float32)

    def output_layer(x):
        with torch.autocast("cpu", enabled=False):
            return shifted_products(x.float(), taps, bias)

    output_layer(x).square().sum().backward()
    wanted = [value.grad.clone() for value in (x, taps, bias)]
    x.grad, taps.grad, bias.grad = None, None, None
    with torch.autocast("cpu", torch.bfloat16):
        y = torch.compile(output_layer, backend="aot_eager")(x)
    y.square().sum().backward()
    for value, gradient in zip((x, taps, bias), wanted, strict=True):
        torch.testing.assert_close(value.grad, gradient)
