"""Losses: the golden balancer, the formulas of the paper by hand, and what they react to."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from sonant.evaluation.metrics import signal
from sonant.training.adversarial import discriminator_loss, feature_loss, generator_loss
from sonant.training.balancer import Balancer
from sonant.training.losses import MelLoss, mel_filters, si_snr, time_loss
from training.training_helpers import gradient_of_silence, white_noise

GOLDEN = Path(__file__).parents[1] / "data" / "training" / "balancer_expected.safetensors"


def test_the_golden_balancer():
    """The golden gradients hold the balanced one on top of that of the plain sum of the losses."""
    golden = load_file(GOLDEN)
    balancer = Balancer({"absolute": 2.0, "square": 6.0, "sine": 1.0})
    for step in range(3):
        x = golden[f"input.{step}"].requires_grad_()
        losses = {
            "absolute": x.abs().mean(),
            "square": 10 * x.square().mean(),
            "sine": 100 * x.sin().sum(),
        }
        balanced = balancer.gradient(losses, x)
        (plain,) = torch.autograd.grad(sum(losses.values()), x)
        expected = golden[f"grad.{step}"]
        torch.testing.assert_close(balanced + plain, expected, rtol=0, atol=4e-5)
        assert (balanced - (expected - plain)).norm() < 1e-4 * balanced.norm()


def test_the_balancer_by_hand():
    balancer = Balancer({"a": 1.0, "b": 3.0}, total_norm=2.0, decay=0.5)
    norms = {"a": [], "b": []}
    for step in range(3):
        torch.manual_seed(step)
        x = torch.randn(2, 1, 8, requires_grad=True)
        losses = {"a": (x * 2).sum(), "b": x.square().sum()}
        by_hand = {"a": torch.full_like(x, 2.0), "b": 2 * x.detach()}
        expected = torch.zeros_like(x)
        for name, share in (("a", 0.25), ("b", 0.75)):
            norms[name].append(by_hand[name].flatten(1).norm(dim=1).mean().item())
            weights = [0.5 ** (len(norms[name]) - 1 - k) for k in range(len(norms[name]))]
            average = np.average(norms[name], weights=weights)
            expected += 2.0 * share * by_hand[name] / average
        torch.testing.assert_close(balancer.gradient(losses, x), expected)


def test_the_balancer_survives_a_step_that_is_not_finite():
    balancer = Balancer({"a": 1.0})
    x = torch.ones(1, 4, requires_grad=True)
    first = balancer.gradient({"a": x.sum()}, x)
    assert not balancer.gradient({"a": (x * float("nan")).sum()}, x).isfinite().any()
    torch.testing.assert_close(balancer.gradient({"a": x.sum()}, x), first)


def test_adversarial_losses_by_hand():
    real = [torch.tensor([0.5, 2.0]), torch.tensor([-1.0])]
    fake = [torch.tensor([0.0, -3.0]), torch.tensor([0.5])]
    assert discriminator_loss(real, fake).item() == pytest.approx((0.25 + 0.5 + 2.0 + 1.5) / 2)
    assert generator_loss(fake).item() == pytest.approx(((1 + 4) / 2 + 0.5) / 2)


def test_feature_matching_is_relative():
    real = [[torch.tensor([1.0, -3.0]), torch.tensor([10.0])]]
    fake = [[torch.tensor([2.0, -3.0]), torch.tensor([5.0])]]
    assert feature_loss(real, fake).item() == pytest.approx((0.5 / 2 + 5 / 10) / 2)
    assert feature_loss(real, fake, relative=False).item() == pytest.approx((0.5 + 5) / 2)
    scaled = [[x * 7 for x in scale] for scale in real], [[x * 7 for x in scale] for scale in fake]
    assert feature_loss(*scaled).item() == pytest.approx(feature_loss(real, fake).item())


def test_mel_loss_is_equation_1():
    torch.manual_seed(0)
    x, y = torch.randn(2, 2400, 1), torch.randn(2, 2400, 1)
    expected = 0.0
    for exponent in (6, 7):
        size = 2**exponent
        window = torch.hann_window(size)
        mels = []
        for audio in (x, y):
            spectrum = torch.stft(audio[..., 0], size, size // 4, window=window, return_complex=True)
            spectrum = spectrum / window.square().sum().sqrt()
            filters = mel_filters(24000, size, 64)
            mels.append(spectrum.abs().transpose(1, 2) @ filters[:, filters.sum(0) > 0])
        error = mels[0] - mels[1]
        expected += error.abs().mean() + error.square().mean(-1).sqrt().mean()
    loss = MelLoss(24000, (6, 7), log_l2=False)
    torch.testing.assert_close(loss(x, y), expected / 2, rtol=1e-4, atol=1e-5)


def test_soundstream_weighs_long_windows_more():
    torch.manual_seed(0)
    x, y = torch.randn(1, 4800, 1), torch.randn(1, 4800, 1)
    plain, rooted = MelLoss(24000, (7, 7)), MelLoss(24000, (7, 7), root_alpha=True)
    l1_only = MelLoss(24000, (7, 7), log_l2=False)
    mel = (l1_only._mel(x[..., 0], 128) - l1_only._mel(y[..., 0], 128)).abs().mean()
    torch.testing.assert_close(rooted(x, y) - mel, 8 * (plain(x, y) - mel), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("log_l2", [True, False])
def test_the_mel_loss_is_zero_only_for_equal_audio(log_l2):
    torch.manual_seed(0)
    loss = MelLoss(24000, log_l2=log_l2)
    x = torch.randn(2, 4800, 2) * 0.1
    assert loss(x, x) < 2e-4
    louder = loss(x, 1.2 * x)
    assert loss(x, 1.5 * x) > louder > 1e-3
    y = x.clone()
    y[:, :, 1] = 0
    assert loss(x, y) > 1e-2


def test_every_mel_band_that_a_window_resolves_has_weight():
    for size, bands in ((2048, 64), (512, 16)):
        filters = mel_filters(24000, size, bands)
        assert filters.shape == (size // 2 + 1, bands)
        assert filters.max(0).values.min() > 0.3
        assert filters.max() <= 1


def test_si_snr_ignores_scale_and_measures_noise():
    torch.manual_seed(0)
    x = torch.randn(1, 24000, 1)
    noisy = x + 0.1 * torch.randn_like(x)
    assert si_snr(x, 3 * noisy).item() == pytest.approx(20, abs=0.2)
    assert time_loss(x, x + 0.5).item() == pytest.approx(0.5)


@pytest.mark.parametrize("size", [128, 2048])
def test_mel_filters_are_those_of_the_metric(size):
    expected = signal.mel_filters(24_000, size, 64)
    np.testing.assert_allclose(mel_filters(24_000, size, 64).T.numpy(), expected, atol=2e-4)


def test_the_logarithmic_term_by_hand():
    """Decadic logarithms of mel amplitudes over a floor of 2e-4."""
    torch.manual_seed(0)
    x, y = (level * torch.randn(1, 2400, 1) for level in (1e-3, 1e-4))
    both, size = MelLoss(24_000, (7, 7)), 128
    one, other = (both._mel(audio[..., 0], size) for audio in (x, y))
    error = ((one + 2e-4) / (other + 2e-4)).log() / math.log(10)
    expected = (one - other).abs().mean() + error.square().mean(-1).sqrt().mean()
    torch.testing.assert_close(both(x, y), expected, rtol=1e-4, atol=1e-5)


def test_the_windows_of_the_paper():
    assert MelLoss(24_000).windows == [32, 64, 128, 256, 512, 1024, 2048]


def test_si_snr_ignores_offsets():
    x = torch.randn(1, 4800, 1, generator=torch.Generator().manual_seed(0))
    noisy = x + 0.1 * torch.randn(1, 4800, 1, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(si_snr(x + 0.5, noisy - 2), si_snr(x, noisy), rtol=1e-3, atol=1e-2)


def test_silent_features_have_a_loss():
    silent = [[torch.zeros(3)]]
    assert feature_loss(silent, silent).item() == 0


def test_feature_matching_moves_the_decoded_audio_alone():
    real, fake = (torch.tensor([1.0, -3.0], requires_grad=True) for _ in range(2))
    feature_loss([[real]], [[2 * fake]]).backward()
    assert real.grad is None
    assert fake.grad.abs().min() > 0


@pytest.mark.parametrize("log_l2", [True, False])
def test_the_mel_loss_has_a_gradient_on_silence_and_on_equal_audio(log_l2):
    loss = MelLoss(24_000, log_l2=log_l2)
    assert gradient_of_silence(loss).isfinite().all()
    reference = white_noise(0, 2400)
    decoded = reference.clone().requires_grad_()
    loss(reference, decoded).backward()
    assert decoded.grad.isfinite().all()
