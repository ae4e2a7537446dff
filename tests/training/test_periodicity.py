"""The loss against buzz: it hears what repeats from frame to frame, and nothing else."""

import pytest
import torch

from sonant.training.periodicity import PeriodicityLoss
from training.training_helpers import after_descent, gradient_of_silence, white_noise

HOP = 320


def buzz(seed):
    return white_noise(seed, HOP).repeat(1, 75, 1)


@pytest.fixture(scope="module")
def loss():
    return PeriodicityLoss(24_000, HOP)


def test_a_buzz_in_the_place_of_noise_is_heard(loss):
    other, repeated = loss(white_noise(0), white_noise(1)), loss(white_noise(0), buzz(1))
    assert other < 0.1
    assert repeated > 0.5
    assert loss(buzz(0), buzz(1)) < 0.1
    assert loss(buzz(0), white_noise(1)) > 0.5


def test_the_same_signal_costs_nothing_and_loudness_does_not_matter(loss):
    assert loss(buzz(0), buzz(0)) == 0
    assert loss(7 * white_noise(0), 7 * buzz(1)).item() == pytest.approx(
        loss(white_noise(0), buzz(1)).item(), rel=1e-3
    )


def test_what_repeats_at_another_period_is_no_buzz(loss):
    away = white_noise(1, 337).repeat(1, 80, 1)[:, :24_000]
    assert loss(white_noise(0), away) < 0.5 * loss(white_noise(0), buzz(1))


def test_frames_of_48khz_are_its_own():
    stereo = torch.cat([white_noise(0, 48_000), white_noise(1, 48_000)], 2)
    repeated = white_noise(2, HOP).repeat(1, 150, 2)
    loss = PeriodicityLoss(48_000, HOP)
    assert loss(stereo, repeated) > 0.5
    assert loss(stereo, stereo.flip(0)) < 0.15


def test_gradients_take_the_buzz_away(loss):
    assert after_descent(loss, white_noise(0), buzz(1)) < 0.2
    assert gradient_of_silence(loss).isfinite().all()
