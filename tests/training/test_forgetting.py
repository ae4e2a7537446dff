"""The loss on a long memory of the decoder, and crops that the decoder begins after others."""

import random

import pytest
import torch

from sonant.config import CodecConfig
from sonant.nn.codec import CodecNetwork
from sonant.nn.initialization import initialise
from sonant.training.forgetting import forgetting_loss
from sonant.training.loop import Trainer
from training.training_helpers import losses

FRAMES = 75


def network_of(lstm_layers=1, memory=0.0):
    """A codec whose LSTM in the decoder keeps sigmoid(`memory`) of its state from frame to frame."""
    torch.manual_seed(0)
    network = CodecNetwork(CodecConfig("tiny", 24_000, n_filters=2, dimension=8, lstm_layers=lstm_layers))
    initialise(network)
    if lstm_layers:
        lstm = network.decoder.layers[1]
        size = lstm.hidden_size
        with torch.no_grad():
            for bias in (lstm.bias_ih_l0, lstm.bias_hh_l0):
                bias[size : 2 * size] = memory / 2
    return network


def latents_of(batch=2, frames=FRAMES):
    return torch.randn(batch, frames, 8, generator=torch.Generator().manual_seed(1))


def loss_of(network, latents, seed=0):
    return forgetting_loss(network, latents, network.decoder(latents), random.Random(seed))


@pytest.mark.parametrize("seed", range(20))
def test_what_looks_back_over_a_few_frames_costs_nothing(seed):
    assert loss_of(network_of(lstm_layers=0), latents_of(), seed) < 1e-3


def test_the_longer_a_decoder_remembers_the_more_it_costs():
    costs = [loss_of(network_of(memory=memory), latents_of()).item() for memory in (0.0, 3.0, 5.0, 9.0)]
    assert costs == sorted(costs)
    assert costs[0] < 1e-3
    assert costs[-1] > 0.03


def test_a_decoder_learns_to_forget():
    network, latents = network_of(memory=6.0), latents_of()
    optimizer = torch.optim.Adam(network.decoder.parameters(), 0.03)
    before = loss_of(network, latents).item()
    for step in range(30):
        optimizer.zero_grad()
        loss_of(network, latents, step).backward()
        optimizer.step()
    assert loss_of(network, latents) < before / 2


def test_silence_has_a_gradient():
    network = network_of()
    latents = torch.zeros(2, FRAMES, 8, requires_grad=True)
    decoded = 0 * network.decoder(latents)
    loss = forgetting_loss(network, latents, decoded, random.Random(0))
    loss.backward()
    assert torch.isfinite(latents.grad).all()


def test_a_decoder_begins_after_what_it_has_heard():
    decoder, latents = network_of(memory=3.0).decoder, latents_of()
    heard = latents_of(frames=30).flip(0)
    state = decoder.initial_state(2)
    state[1] = decoder.step(heard, state)[1][1]
    expected, _ = decoder.step(latents, state)
    torch.testing.assert_close(decoder.after(heard, latents), expected, rtol=1e-4, atol=1e-5)
    assert (decoder.after(heard, latents) - decoder(latents)).abs().max() > 1e-3


def test_nothing_is_learnt_from_what_was_heard():
    decoder, latents = network_of().decoder, latents_of()
    heard = latents_of(frames=30).requires_grad_()
    decoder.after(heard, latents.requires_grad_()).sum().backward()
    assert heard.grad is None
    assert latents.grad is not None


def test_a_codec_hears_other_items_of_the_batch_first():
    network = network_of(memory=3.0).eval()
    audio = 0.1 * torch.randn(3, 3200, 1, generator=torch.Generator().manual_seed(2))
    latents = network.encoder(audio)
    decoded, _ = network(audio, 0, 2)
    expected = network.decoder.after(torch.cat([latents.roll(2, 0), latents.roll(1, 0)], 1), latents)
    torch.testing.assert_close(decoded, expected)


def test_a_run_draws_how_much_was_heard(tiny_recipe, tmp_path, monkeypatch):
    drawn = []
    forward = CodecNetwork.forward
    monkeypatch.setattr(
        CodecNetwork,
        "forward",
        lambda self, audio, n_q, run_up=0: drawn.append(run_up) or forward(self, audio, n_q, run_up),
    )
    recipe = tiny_recipe(
        run_up=1, loss={"forgetting": 1.0}, data={"seconds": 0.6}, discriminator={"start_step": -1}
    )
    Trainer(recipe, tmp_path).run()
    assert set(drawn) == {0, 1}
    assert all(row["forgetting"] > 0 for row in losses(tmp_path))
