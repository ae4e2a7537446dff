"""Convolutions as matrix products against PyTorch's own, and streams against whole sequences."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from sonant.config import CodecConfig
from sonant.nn import conv
from sonant.nn.codec import CodecNetwork
from sonant.nn.conv import Conv1d, ConvTranspose1d, pad_time
from sonant.nn.initialization import initialise

SHAPES = [
    (1, 16, 7, 1, 1),
    (16, 1, 7, 1, 1),
    (2, 16, 7, 1, 1),
    (16, 2, 7, 1, 1),
    (16, 8, 3, 1, 1),
    (16, 8, 3, 1, 2),
    (8, 16, 1, 1, 1),
    (32, 16, 3, 1, 1),
    (32, 16, 3, 1, 4),
    (24, 48, 1, 1, 1),
    (16, 32, 4, 2, 1),
    (16, 32, 10, 5, 1),
]


@pytest.fixture(params=["products", "general"])
def form(request, monkeypatch):
    """The convolutions of CPUs, and those of GPUs."""
    if request.param == "general":
        monkeypatch.setattr(conv, "_general_is_faster", lambda x, channels: True)


def filled(layer):
    layer.set_weight(torch.randn_like(layer.folded_weight()) * 0.1)
    torch.nn.init.normal_(layer.bias)
    return layer


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("pad_mode", ["constant", "reflect"])
@pytest.mark.parametrize("shape", SHAPES)
def test_convolution_equals_torch(form, shape, pad_mode, causal):
    torch.manual_seed(0)
    c_in, c_out, kernel, stride, dilation = shape
    layer = filled(Conv1d(c_in, c_out, kernel, stride, dilation, causal=causal, pad_mode=pad_mode))
    x = torch.randn(2, 53, c_in)
    total = (kernel - 1) * dilation + 1 - stride
    right = 0 if causal else total // 2
    padded = F.pad(x.transpose(1, 2), (total - right, right + -53 % stride), mode=pad_mode)
    expected = F.conv1d(padded, layer.folded_weight(), layer.bias, stride, dilation=dilation)
    torch.testing.assert_close(layer(x).transpose(1, 2), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("norm", ["none", "weight_norm"])
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("stride", [2, 5])
def test_transposed_convolution_equals_torch(form, stride, causal, norm):
    torch.manual_seed(0)
    layer = filled(ConvTranspose1d(12, 6, stride, causal=causal, norm=norm))
    x = torch.randn(2, 17, 12)
    whole = F.conv_transpose1d(x.transpose(1, 2), layer.folded_weight(), layer.bias, stride)
    right = stride if causal else stride // 2
    expected = whole[:, :, stride - right : whole.shape[2] - right]
    torch.testing.assert_close(layer(x).transpose(1, 2), expected, rtol=1e-5, atol=1e-5)


def test_group_norm_sees_the_untrimmed_output():
    torch.manual_seed(0)
    layer = filled(ConvTranspose1d(12, 6, 4, causal=False, norm="time_group_norm"))
    x = torch.randn(2, 9, 12)
    whole = F.conv_transpose1d(x.transpose(1, 2), layer.folded_weight(), layer.bias, 4)
    expected = F.group_norm(whole, 1)[:, :, 2:-2]
    torch.testing.assert_close(layer(x).transpose(1, 2), expected, rtol=1e-4, atol=1e-5)


def test_set_weight_is_read_back_under_weight_norm():
    layer = Conv1d(4, 6, 3, norm="weight_norm")
    weight = torch.randn(6, 4, 3)
    layer.set_weight(weight)
    torch.testing.assert_close(layer.folded_weight(), weight)


@pytest.mark.parametrize("length", [1, 2, 5])
def test_reflection_of_a_short_input_is_that_of_its_zero_extension(length):
    x = torch.arange(1.0, length + 1)[None, :, None]
    padded = pad_time(x, 6, 0, "reflect")
    extended = F.pad(x, (0, 0, 0, 7 - length))
    assert padded[0, 6:, 0].tolist() == x[0, :, 0].tolist()
    assert padded[0, :6, 0].tolist() == extended[0, 1:7, 0].flip(0).tolist()


def test_a_stride_without_kernel_of_twice_its_size_is_refused():
    with pytest.raises(ValueError, match="kernel = 2"):
        Conv1d(1, 1, 5, stride=2)


@settings(max_examples=25)
@given(
    shape=st.sampled_from(SHAPES),
    cuts=st.lists(st.integers(1, 9), min_size=1, max_size=6),
)
def test_steps_equal_the_whole_however_it_is_cut(shape, cuts):
    c_in, c_out, kernel, stride, dilation = shape
    torch.manual_seed(sum(cuts))
    layer = filled(Conv1d(c_in, c_out, kernel, stride, dilation))
    blocks = [torch.randn(2, n * stride, c_in) for n in cuts]
    state, parts = layer.initial_state(2), []
    for block in blocks:
        y, state = layer.step(block, state)
        parts.append(y)
    torch.testing.assert_close(torch.cat(parts, 1), layer(torch.cat(blocks, 1)), rtol=1e-5, atol=1e-5)


def _output_and_gradients(network, audio, device):
    network, audio = network.to(device), audio.to(device)
    network.zero_grad()
    network.quantizer.eval()
    decoded, quantized = network(audio, 4)
    (decoded.square().sum() + quantized.commitment).backward()
    gradients = {n: p.grad.cpu() for n, p in network.named_parameters() if p.grad is not None}
    return decoded.detach().cpu(), gradients


def _small_network():
    torch.manual_seed(0)
    network = CodecNetwork(
        CodecConfig("small", 24_000, n_filters=8, dimension=16, n_q=4, bins=64, bandwidths=(1.8,))
    )
    initialise(network)
    network.quantizer.adopt_codebooks(torch.randn(4, 64, 16) * 0.1, 300)
    return network, torch.randn(2, 3200, 1) * 0.1


def test_a_network_learns_the_same_by_general_convolutions(monkeypatch):
    network, audio = _small_network()
    expected, expected_gradients = _output_and_gradients(network, audio, "cpu")
    monkeypatch.setattr(conv, "_general_is_faster", lambda x, channels: channels >= conv.FEW_ON_GPU)
    decoded, gradients = _output_and_gradients(network, audio, "cpu")
    torch.testing.assert_close(decoded, expected, rtol=1e-4, atol=1e-6)
    assert gradients.keys() == expected_gradients.keys()
    for name, gradient in gradients.items():
        error = (gradient - expected_gradients[name]).norm()
        assert error <= 1e-4 * expected_gradients[name].norm() + 1e-7, name


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_network_learns_the_same_on_a_gpu():
    network, audio = _small_network()
    expected, expected_gradients = _output_and_gradients(network, audio, "cpu")
    with torch.backends.cudnn.flags(allow_tf32=False):
        decoded, gradients = _output_and_gradients(network, audio, "cuda")
    torch.testing.assert_close(decoded, expected, rtol=1e-3, atol=1e-5)
    for name, gradient in gradients.items():
        error = (gradient - expected_gradients[name]).norm()
        assert error <= 1e-3 * expected_gradients[name].norm() + 1e-7, name
