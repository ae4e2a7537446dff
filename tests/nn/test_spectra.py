"""Spectra and powers against PyTorch's own, and their gradients against finite differences."""

import pytest
import torch

from sonant.nn.spectra import centred_spectra, powers, spectra, unit_window


@pytest.mark.parametrize("length", [64, 100, 111])
@pytest.mark.parametrize("size", [8, 64])
@pytest.mark.parametrize(("function", "centred"), [(spectra, False), (centred_spectra, True)])
def test_equals_torch(function, centred, size, length):
    torch.manual_seed(0)
    audio, window = torch.randn(2, length), unit_window(size)
    expected = torch.stft(audio, size, size // 4, size, window, center=centred, return_complex=True)
    torch.testing.assert_close(function(audio, window), expected.transpose(1, 2))


@pytest.mark.parametrize("length", [16, 23])
@pytest.mark.parametrize("function", [spectra, centred_spectra])
def test_gradient_equals_finite_differences(function, length):
    torch.manual_seed(0)
    audio = torch.randn(2, length, dtype=torch.float64, requires_grad=True)
    window = unit_window(8).double()
    assert torch.autograd.gradcheck(lambda x: torch.view_as_real(function(x, window)), (audio,))
    assert torch.autograd.gradcheck(lambda x: powers(function(x, window)), (audio,))


def test_powers():
    torch.manual_seed(0)
    spectrum = torch.randn(2, 3, 4, dtype=torch.complex64)
    torch.testing.assert_close(powers(spectrum), spectrum.abs().square())
