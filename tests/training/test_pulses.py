"""The loss on pulses: it hears whether treble pulses as its original does, whatever fills the pulses."""

import pytest
import torch

from sonant.training.pulses import PulseLoss
from training.training_helpers import after_descent, gradient_of_silence, white_noise

RATE = 24_000


def voice(seed, pitch=120.0, shift=0.0, rate=RATE, depth=0.9):
    """Noise whose amplitude pulses at a pitch."""
    phase = torch.arange(rate) / rate * pitch + shift
    return white_noise(seed, rate) * (1 + depth * torch.cos(2 * torch.pi * phase))[:, None]


@pytest.fixture(scope="module")
def loss():
    return PulseLoss(RATE)


@pytest.mark.parametrize("pitch", [90, 150, 250])
def test_other_noise_in_the_same_pulses_is_near(loss, pitch):
    near, breath = loss(voice(0, pitch), voice(1, pitch)), loss(voice(0, pitch), white_noise(1))
    assert near < 0.45
    assert breath > 0.9
    assert loss(voice(0, pitch), voice(1, pitch, shift=0.5)) > breath
    assert loss(voice(0, pitch), voice(1, 1.3 * pitch)) > 0.8


def test_noises_that_do_not_pulse_have_nothing_to_be_near_in(loss):
    assert loss(white_noise(0), white_noise(1)) == pytest.approx(1, abs=0.05)


def test_slow_changes_of_level_do_not_count(loss):
    swell = torch.linspace(0.1, 3, RATE)[:, None]
    assert loss(voice(0), swell * voice(0)) < 0.02


def test_the_same_signal_costs_nearly_nothing_and_loudness_does_not_matter(loss):
    assert loss(voice(0), voice(0)) < 0.1
    assert loss(7 * voice(0), 7 * voice(1)).item() == pytest.approx(
        loss(voice(0), voice(1)).item(), rel=1e-3
    )


def test_pulses_of_48khz_are_the_same():
    loss = PulseLoss(48_000)
    assert loss(voice(0, rate=48_000), voice(1, rate=48_000)) < 0.45
    assert loss(voice(0, rate=48_000), white_noise(1, 48_000)) > 0.9


def test_gradients_make_noise_pulse(loss):
    assert after_descent(loss, voice(0), white_noise(1)) < 0.3
    assert gradient_of_silence(loss).isfinite().all()


def test_the_shortest_crops_that_recipes_allow_are_long_enough(loss):
    assert loss(white_noise(0, 2304), white_noise(1, 2304)).isfinite()
