"""The loss on the fine structure of levels: it hears how they move, not how loud they are."""

import pytest
import torch
from torch.nn import functional as F

from sonant.training.fine_structure import FineStructureLoss
from sonant.training.structure import StructureLoss, local_means
from training.training_helpers import after_descent, gradient_of_silence, white_noise

RATE = 24_000


def moving(seed, movement=0):
    """Noise that swells and fades twenty times a second; `movement` chooses when."""
    random = torch.Generator().manual_seed(movement)
    gain = torch.exp(1.5 * torch.randn(2, 1, 20, generator=random))
    return white_noise(seed) * F.interpolate(gain, RATE, mode="linear").transpose(1, 2)


@pytest.fixture(scope="module")
def loss():
    return StructureLoss(RATE)


def test_other_noise_that_moves_alike_is_nearer_than_steady_noise(loss):
    alike, steady, otherwise = (
        loss(moving(0), x) for x in (moving(1), white_noise(1), moving(1, movement=5))
    )
    assert loss(moving(0), moving(0)).item() == pytest.approx(0, abs=1e-6)
    assert alike < 0.5 * steady
    assert steady < otherwise


def test_loudness_does_not_matter(loss):
    at_once = loss(moving(0), moving(1)).item()
    assert loss(moving(0), 3 * moving(1)).item() == pytest.approx(at_once, rel=0.01)
    assert loss(3 * moving(0), moving(1)).item() == pytest.approx(at_once, rel=0.01)


def test_soft_treble_counts_beside_loud_bass(loss):
    bass = torch.sin(2 * torch.pi * 200 * torch.arange(RATE) / RATE)[:, None]
    sounds = (moving(0), moving(1), white_noise(1))
    first, alike, steady = (bass + 0.01 * x.diff(dim=1, prepend=x[:, :1]) for x in sounds)
    assert 0.5 * loss(first, steady) > 0.05 > loss(first, alike)


def test_local_means_are_those_under_a_gaussian():
    cells = torch.randn(3, 5, 6, generator=torch.Generator().manual_seed(0))
    row = torch.exp(-torch.tensor([-1.0, 0.0, 1.0]).square() / (2 * 0.5**2))
    kernel = row[:, None] * row
    wanted = F.conv2d(cells[:, None], (kernel / kernel.sum())[None, None])[:, 0]
    torch.testing.assert_close(local_means(cells), wanted, rtol=0, atol=1e-4)


def test_gradients_give_steady_noise_the_shape(loss):
    assert after_descent(loss, moving(0), white_noise(1)) < 0.1
    assert gradient_of_silence(loss).isfinite().all()


def test_channels_count_one_by_one(loss):
    stereo = torch.cat([moving(0), moving(1)], 2)
    swapped = loss(stereo, stereo.flip(2))
    assert swapped.item() == pytest.approx(loss(moving(0), moving(1)).item(), rel=0.2)


@pytest.mark.parametrize("kind", [StructureLoss, FineStructureLoss])
def test_loud_frames_count_most(kind):
    loss, half = kind(RATE), torch.arange(RATE)[:, None] < RATE // 2
    gain = torch.where(half, 1.0, 0.01)
    reference, other = gain * white_noise(0), gain * white_noise(1)
    in_loud, in_soft = (loss(reference, torch.where(part, other, reference)) for part in (half, ~half))
    assert in_loud > 3 * in_soft
