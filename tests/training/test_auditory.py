"""The losses in the bands of hearing: what they react to, and what they leave alone."""

import math

import numpy as np
import pytest
import torch

from sonant.training.auditory import (
    MASKED,
    AuditoryLoss,
    band_centres,
    frame_weights,
    gammatone_responses,
)
from training.training_helpers import white_noise

RATE = 24_000


@pytest.fixture(scope="module")
def loss():
    return AuditoryLoss(RATE)


def tone(hertz, level=0.1, seconds=0.5):
    t = torch.arange(int(seconds * RATE)) / RATE
    return (level * torch.sin(2 * math.pi * hertz * t))[None, :, None]


@pytest.fixture(scope="module")
def noisy():
    return white_noise(0, RATE // 2)


@pytest.mark.parametrize(("rate", "highest"), [(RATE, 11_000), (48_000, 20_000)])
def test_bands_cover_hearing_evenly(rate, highest):
    centres = band_centres(rate)
    assert centres[0] == pytest.approx(50)
    assert centres[-1] == pytest.approx(highest)
    hertz = np.fft.rfftfreq(4096, 1 / rate)
    responses = gammatone_responses(hertz, centres)
    np.testing.assert_allclose(responses.sum(0), 1)
    np.testing.assert_allclose(hertz[responses.argmax(0)], centres, atol=rate / 4096)


def test_windows_last_as_long_at_any_rate():
    assert [size / 48_000 for size in AuditoryLoss(48_000).sizes] == [
        size / RATE for size in AuditoryLoss(RATE).sizes
    ]


def test_without_an_error(loss, noisy):
    noise_to_mask, level = loss(noisy, noisy)
    assert level.item() == pytest.approx(0, abs=1e-6)
    assert noise_to_mask.item() == pytest.approx(
        loss.noise_weights.mean().item() * math.log(MASKED), rel=1e-5
    )


def test_loudness_does_not_matter(loss, noisy):
    decoded = noisy + 0.03 * torch.randn_like(noisy)
    for one, other in zip(loss(noisy, decoded), loss(7 * noisy, 7 * decoded), strict=True):
        assert one.item() == pytest.approx(other.item(), rel=1e-3)


def test_a_frame_20_db_softer_counts_a_third():
    weights = frame_weights(torch.tensor([[[1.0, 2.0], [0.02, 0.01]], [[0.0, 0.0], [0.0, 0.0]]]))
    assert weights.shape == (2, 2, 1)
    torch.testing.assert_close(weights.mean((1, 2)), torch.ones(2))
    assert (weights[0, 0] / weights[0, 1]).item() == pytest.approx(100**0.23, rel=1e-4)
    assert weights[1].tolist() == [[1.0], [1.0]]


def test_errors_in_loud_frames_count_most(loss, noisy):
    gain = torch.ones(1, RATE // 2, 1)
    gain[:, RATE // 4 :] = 0.01
    reference = gain * noisy
    first_half = torch.arange(RATE // 2)[:, None] < RATE // 4
    in_loud, in_soft = (
        loss(reference, torch.where(part, 0.5, 1.0) * reference) for part in (first_half, ~first_half)
    )
    assert in_loud.level > 3 * in_soft.level
    assert in_loud.noise_to_mask > in_soft.noise_to_mask


def test_masked_noise_costs_less_than_noise_in_a_quiet_band(loss):
    reference = tone(1500)
    beside, far = (loss(reference, reference + tone(f, 0.01)).noise_to_mask.item() for f in (1500, 3000))
    assert beside < far


def test_levels_ignore_the_phase(loss, noisy):
    turned, softer = loss(noisy, -noisy), loss(noisy, -0.5 * noisy)
    assert turned.level.item() == pytest.approx(0, abs=1e-6)
    assert softer.level.item() == pytest.approx(loss.level_weights.mean().item() * math.log(4), rel=1e-2)
    assert turned.noise_to_mask > softer.noise_to_mask > loss(noisy, noisy).noise_to_mask


def test_in_the_treble_only_the_level_counts(loss):
    """What noise counts there, counts through the skirts of the bands below 8 kHz."""

    def turned_minus_silent(hertz):
        bass, treble = tone(500), tone(hertz)
        silent, turned = (loss(bass + treble, bass + other) for other in (0 * treble, -treble))
        assert turned.level < 0.1 * silent.level
        return turned.noise_to_mask.item() - silent.noise_to_mask.item()

    assert turned_minus_silent(10_800) < 0.2 * turned_minus_silent(3000)


def test_what_loud_bass_masks_has_a_level_all_the_same(loss):
    bass, treble = tone(200, level=1.0), tone(6000, level=0.001)
    whole, without = loss(bass + treble, bass + treble), loss(bass + treble, bass)
    assert without.level > 0.01
    assert without.noise_to_mask < whole.noise_to_mask + 0.02


def test_gradients_are_finite_on_silence_and_stereo(loss):
    decoded = torch.zeros(2, 6000, 2, requires_grad=True)
    sum(loss(torch.zeros(2, 6000, 2), decoded)).backward()
    assert decoded.grad.isfinite().all()
