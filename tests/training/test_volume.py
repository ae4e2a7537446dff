import pytest
import torch

from sonant.training.volume import forward_normalised, volume


def test_a_normalised_model_hears_one_volume_and_speaks_at_its_own():
    heard = []

    def network(audio, n_q):
        heard.append(audio)
        return audio, n_q

    audio = torch.randn(2, 100, 2, generator=torch.Generator().manual_seed(0))
    audio = audio * torch.tensor([1.0, 9.0])[:, None, None]
    decoded, _ = forward_normalised(network, audio, 4, True)
    torch.testing.assert_close(decoded, audio)
    torch.testing.assert_close(volume(heard[0]), torch.ones(2, 1, 1))


def test_volume_is_that_of_the_mean_of_the_channels():
    audio = torch.tensor([[[0.3, -0.3], [0.5, 0.1]]])
    assert volume(audio).item() == pytest.approx((0.3**2 / 2) ** 0.5)
