"""The loss against buzz and flutter: it hears what repeats after whole frames, and nothing else."""

import pytest
import torch

from sonant.training.periodicity import PeriodicityLoss
from training.training_helpers import after_descent, gradient_of_silence, white_noise

HOP, FRAMES = 320, 75


def repeated(seed, frames=1):
    """A pattern of so many frames, for a second."""
    return white_noise(seed, frames * HOP).repeat(1, -(-FRAMES // frames), 1)[:, : FRAMES * HOP]


@pytest.fixture(scope="module")
def loss():
    return PeriodicityLoss(24_000, HOP)


def test_a_buzz_in_the_place_of_noise_is_heard(loss):
    assert loss(white_noise(0), white_noise(1)) < 0.5
    assert loss(white_noise(0), repeated(1)) > 5
    assert loss(repeated(0), repeated(1)) < 0.5
    assert loss(repeated(0), white_noise(1)) > 5


@pytest.mark.parametrize("frames", [2, 3, 4, 5, 8, 12])
def test_what_repeats_after_several_frames_is_heard(loss, frames):
    assert loss(white_noise(0), repeated(1, frames)) > 3 * loss(white_noise(0), white_noise(1))


def test_a_tenth_of_the_power_is_enough(loss):
    faint = white_noise(1) + 0.33 * repeated(2)
    assert loss(white_noise(0), faint) > 1.5 * loss(white_noise(0), white_noise(1))


def test_it_is_the_distance_of_autocorrelations_over_all_lags(loss):
    signals = [torch.cumsum(white_noise(seed), 1)[..., 0] + repeated(seed)[..., 0] for seed in (0, 1)]
    folded = [loss.folded(signal) for signal in signals]
    correlations = [torch.fft.fft(share) for share in folded]
    over_lags = (correlations[0] - correlations[1])[..., 1:].abs().square().sum(2)
    by_parseval = FRAMES * (folded[0] - folded[1]).square().sum(2)
    torch.testing.assert_close(by_parseval, over_lags, rtol=1e-3, atol=1e-4)


def test_the_same_signal_costs_nothing_and_loudness_does_not_matter(loss):
    assert loss(repeated(0), repeated(0)) < 1e-3
    assert loss(7 * white_noise(0), 7 * repeated(1)).item() == pytest.approx(
        loss(white_noise(0), repeated(1)).item(), rel=1e-3
    )


def test_what_repeats_at_another_period_is_no_buzz(loss):
    away = white_noise(1, 337).repeat(1, 80, 1)[:, :24_000]
    assert loss(white_noise(0), away) < 0.5 * loss(white_noise(0), repeated(1))


def test_samples_beyond_whole_frames_are_left_out(loss):
    longer = [torch.cat([audio, audio[:, :100]], 1) for audio in (white_noise(0), repeated(1))]
    assert loss(*longer) == pytest.approx(loss(white_noise(0), repeated(1)).item(), rel=0.01)


def test_frames_of_48khz_are_its_own():
    stereo = torch.cat([white_noise(0, 48_000), white_noise(1, 48_000)], 2)
    buzz = white_noise(2, HOP).repeat(1, 150, 2)
    loss = PeriodicityLoss(48_000, HOP)
    assert loss(stereo, buzz) > 5
    assert loss(stereo, stereo.flip(0)) < 0.6


def test_gradients_take_the_buzz_away(loss):
    for frames in (1, 4):
        before = loss(white_noise(0), repeated(1, frames))
        assert after_descent(loss, white_noise(0), repeated(1, frames)) < 0.3 * before
    assert gradient_of_silence(loss).isfinite().all()
