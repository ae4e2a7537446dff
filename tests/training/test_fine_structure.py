"""The loss on the fine structure of spectra: it hears where partials lie, not phases or loudness."""

import pytest
import torch

from sonant.training.fine_structure import FineStructureLoss, box_means
from training.training_helpers import after_descent, gradient_of_silence, white_noise

RATE = 24_000


def voice(pitch, seed=0):
    """Harmonics up to 6 kHz in drawn phases."""
    order = torch.arange(1, int(6000 / pitch))
    phases = 2 * torch.pi * torch.rand(2, 1, len(order), generator=torch.Generator().manual_seed(seed))
    turns = pitch * torch.arange(RATE)[:, None] / RATE * order
    return (0.1 / order * torch.cos(2 * torch.pi * turns + phases)).sum(2, keepdim=True)


def filtered(audio, keeps):
    """What lies at the frequencies that `keeps` names, by hertz."""
    spectrum = torch.fft.rfft(audio, dim=1)
    hertz = torch.arange(spectrum.shape[1]) * RATE / audio.shape[1]
    return torch.fft.irfft(spectrum * keeps(hertz)[:, None], audio.shape[1], dim=1)


@pytest.fixture(scope="module")
def loss():
    return FineStructureLoss(RATE)


def test_partials_count_and_phases_do_not(loss):
    phases, pitch = loss(voice(130), voice(130, seed=1)), loss(voice(130), voice(142))
    assert loss(voice(130), voice(130)) < 0.05
    assert phases < 0.2
    assert pitch > 0.8


def test_noise_between_partials_counts(loss):
    phases, little, much = (
        loss(voice(130), voice(130, seed=1) + gain * white_noise(1)) for gain in (0.0, 0.01, 0.1)
    )
    assert phases < little < 0.7 * much


def test_low_partials_count_most(loss):
    """600 Hz hold more bands of hearing at the bottom than at the top."""

    def other_voice_between(lowest, highest):
        return filtered(voice(142), lambda f: (f > lowest) & (f < highest)) + filtered(
            voice(130), lambda f: (f <= lowest) | (f >= highest)
        )

    low, high = (loss(voice(130), other_voice_between(f, f + 600)) for f in (200, 4000))
    assert low > 2 * high


def test_of_two_noises_it_is_one(loss):
    assert loss(white_noise(0), white_noise(1)).item() == pytest.approx(1, abs=0.02)


def test_loudness_does_not_matter(loss):
    at_once = loss(voice(130), voice(130, seed=1)).item()
    assert loss(voice(130), 3 * voice(130, seed=1)).item() == pytest.approx(at_once, abs=0.05)


def test_box_means_are_those_of_a_box():
    cells = torch.randn(3, 5, 12, generator=torch.Generator().manual_seed(0))
    wanted = torch.nn.functional.avg_pool2d(cells, (3, 9), 1)
    torch.testing.assert_close(box_means(cells), wanted)


def test_gradients_take_noise_from_between_partials(loss):
    rough = voice(130) + 0.05 * white_noise(1)
    assert after_descent(loss, voice(130), rough) < 0.5 * loss(voice(130), rough)
    assert gradient_of_silence(loss).isfinite().all()


def test_channels_count_one_by_one(loss):
    stereo = torch.cat([voice(130), voice(160)], 2)
    swapped = loss(stereo, stereo.flip(2))
    one_by_one = (loss(voice(130), voice(160)) + loss(voice(160), voice(130))) / 2
    assert swapped.item() == pytest.approx(one_by_one.item(), abs=1e-4)
