"""The loss on cyclostationarity: it hears power that depends on the place in a frame, and nothing else."""

import pytest
import torch

from sonant.training.cyclostationarity import CyclostationarityLoss
from training.training_helpers import after_descent, gradient_of_silence, white_noise

HOP = 320


def bursts(seed, period=HOP // 8):
    """Noise of another power in the first half of each period."""
    place = torch.arange(24_000) % period < period // 2
    return white_noise(seed) * torch.where(place, 1.3, 0.5)[:, None]


@pytest.fixture(scope="module")
def loss():
    return CyclostationarityLoss(24_000, HOP)


@pytest.mark.parametrize("period", [320, 40, 20])
def test_noise_in_bursts_is_heard(loss, period):
    assert loss(white_noise(0), bursts(1, period)) > loss(white_noise(0), white_noise(1)) + 0.02
    assert loss(bursts(0, period), bursts(1, period)) < loss(white_noise(0), bursts(1, period))


def test_coherence_is_the_fourier_coefficient_of_the_power(loss):
    """Of a square wave between 1.69 and 0.25 at 600 Hz: Δ / (π mean); its even harmonics are 0."""
    by_shift = loss.coherence(bursts(1)[..., 0]).mean((0, 1))
    assert by_shift[7] == pytest.approx((1.69 - 0.25) / torch.pi / 0.97, rel=0.05)
    assert by_shift[[*range(7), *range(8, 20)]].max() < 0.06


def test_bursts_at_another_period_do_not_count(loss):
    assert loss(white_noise(0), bursts(1, 42)) < 0.03


def test_the_same_signal_costs_nothing_and_loudness_does_not_matter(loss):
    assert loss(bursts(0), bursts(0)) == 0
    assert loss(7 * white_noise(0), 7 * bursts(1)).item() == pytest.approx(
        loss(white_noise(0), bursts(1)).item(), rel=1e-3
    )


def test_every_channel_of_48khz_counts():
    loss, noise = CyclostationarityLoss(48_000, HOP), white_noise(0, 48_000)
    stereo, one = torch.cat([noise, noise], 2), torch.cat([noise, white_noise(1, HOP).repeat(1, 150, 1)], 2)
    assert loss(stereo, one) > 0.1
    assert loss(stereo, stereo.flip(0)) < 0.03


def test_gradients_take_the_bursts_away(loss):
    assert after_descent(loss, white_noise(0), bursts(1)) < 0.02
    assert gradient_of_silence(loss).isfinite().all()
