"""The loss on lines: it hears a faint pattern that a decoder repeats for a second, and nothing else."""

import pytest
import torch

from sonant.training.lines import LineLoss
from training.training_helpers import after_descent, gradient_of_silence, white_noise

HOP = 320


def lines(seed, period=HOP):
    """Noise, and a tenth of its power in what repeats after so many samples."""
    return white_noise(seed) + 0.33 * white_noise(seed + 9, period).repeat(1, 24_000 // period + 1, 1)[:, :24_000]


@pytest.fixture(scope="module")
def loss():
    return LineLoss(24_000, HOP)


def test_a_tenth_of_the_power_is_heard(loss):
    assert loss(white_noise(0), white_noise(1)) < 0.015
    assert loss(white_noise(0), lines(1)) > 0.06
    assert loss(lines(0), lines(1)) < 0.05
    assert loss(lines(0), white_noise(1)) > 0.06


def test_the_stride_of_a_layer_is_heard_too(loss):
    assert loss(white_noise(0), lines(1, 80)) > 0.06
    assert loss(white_noise(0), lines(1, 40)) > 0.06


def test_what_repeats_at_another_period_is_no_line(loss):
    assert loss(white_noise(0), lines(1, 337)) < 0.3 * loss(white_noise(0), lines(1))


def test_the_same_signal_costs_nothing_and_loudness_does_not_matter(loss):
    assert loss(lines(0), lines(0)) == 0
    assert loss(7 * white_noise(0), 7 * lines(1)).item() == pytest.approx(
        loss(white_noise(0), lines(1)).item(), rel=1e-3
    )


def test_samples_beyond_whole_frames_are_left_out(loss):
    longer = [torch.cat([audio, torch.ones(2, 100, 1)], 1) for audio in (white_noise(0), lines(1))]
    assert loss(*longer) == loss(white_noise(0), lines(1))


def test_every_channel_of_48khz_counts(loss):
    noise = white_noise(0, 48_000)
    stereo = torch.cat([noise, noise], 2)
    one = torch.cat([noise, white_noise(1, HOP).repeat(1, 150, 1)], 2)
    assert LineLoss(48_000, HOP)(stereo, one) > 0.4


def test_gradients_take_the_lines_away(loss):
    assert after_descent(loss, white_noise(0), lines(1)) < 0.02
    assert gradient_of_silence(loss).isfinite().all()
