"""The objective: weights of losses, the balancer, when discriminators learn and are heard."""

import math
import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric

from sonant.nn.discriminators import Discriminators, multi_scale_stft
from sonant.training.adversarial import discriminator_loss
from sonant.training.objective import Objective
from sonant.training.recipe_files import recipe_from_dict
from training.training_helpers import tiny_values


def objective_of(**sections):
    recipe = recipe_from_dict(tiny_values("none", **sections))
    return Objective(
        recipe, Fabric(accelerator="cpu", devices=1), {0: Discriminators(multi_scale_stft((64,), 2))}
    )


def audio_of():
    audio = 0.1 * torch.randn(2, 2400, 1, generator=torch.Generator().manual_seed(0))
    return audio, audio.flip(1).requires_grad_()


def backward(objective, step=0, draw=None, decoded=None, of_network=None):
    audio, other = audio_of()
    decoded = other if decoded is None else decoded
    return objective.backward(step, 4, audio, decoded, of_network or {}, draw or random.Random(0))


def weights_of(objective):
    return [p.detach().clone() for p in objective.discriminators[0][0].parameters()]


@pytest.mark.parametrize("balancer", [True, False])
@pytest.mark.parametrize("name", ["commitment", "forgetting"])
def test_losses_of_the_network_have_their_weight_beside_the_balancer(balancer, name):
    loss = torch.ones((), requires_grad=True)
    values = backward(
        objective_of(loss={"balancer": balancer, name: 5.0}, data={"seconds": 0.6}), of_network={name: loss}
    )
    assert (loss.grad.item(), values[name]) == (5, 1)


def test_without_a_balancer_losses_have_their_weights():
    audio, decoded = audio_of()
    loss = {"balancer": False, "time": 10.0, "mel": 0.0}
    backward(objective_of(loss=loss, discriminator={"start_step": 9}), decoded=decoded)
    expected = 10 * (decoded - audio).detach().sign() / decoded.numel()
    torch.testing.assert_close(decoded.grad, expected)


def test_the_recipe_s_losses_reach_the_objective():
    loss = {"generator": 5.0, "feature": 7.0, "time": 2.0, "mel": 3.0, "mel_exponents": [6, 8]}
    objective = objective_of(loss={**loss, "mel_l2": "linear", "mel_alpha": "sqrt"})
    assert {k: v for k, v in objective.weights.items() if v} == {
        "generator": 5,
        "feature": 7,
        "time": 2,
        "mel": 3,
    }
    assert objective.balancer.weights == objective.weights
    assert objective.mel_loss.windows == [64, 128, 256]
    assert (objective.mel_loss.log_l2, objective.mel_loss.root_alpha) == (False, True)
    assert objective_of().mel_loss.log_l2


def test_discriminators_begin_at_their_step_and_are_heard_after_their_warm_up():
    part = {"start_step": 2, "warmup_steps": 3, "update_probability": 1.0}
    rows = [backward(objective_of(discriminator=part), step) for step in range(7)]
    assert [step for step, row in enumerate(rows) if "discriminator" in row] == [2, 3, 4, 5, 6]
    assert [step for step, row in enumerate(rows) if "generator" in row] == [5, 6]
    assert [step for step, row in enumerate(rows) if "feature" in row] == [5, 6]


@pytest.mark.parametrize(("drawn", "learns"), [(0.2, True), (0.3, False)])
def test_discriminators_learn_with_their_probability(drawn, learns):
    class Draw:
        def random(self):
            return drawn

    objective = objective_of(discriminator={"start_step": 0, "warmup_steps": 0, "update_probability": 0.25})
    before = weights_of(objective)
    row = backward(objective, draw=Draw())
    assert ("discriminator" in row) == learns
    assert "generator" in row
    changed = any((a != b).any() for a, b in zip(before, weights_of(objective), strict=True))
    assert changed == learns


@pytest.mark.parametrize("balancer", [True, False])
def test_the_codec_s_losses_do_not_teach_discriminators(balancer):
    part = {"start_step": 0, "warmup_steps": 0, "update_probability": 0.0}
    objective = objective_of(discriminator=part, loss={"balancer": balancer})
    backward(objective)
    assert all(p.grad is None for p in objective.discriminators[0][0].parameters())
    assert all(p.requires_grad for p in objective.discriminators[0][0].parameters())


@pytest.mark.parametrize("balancer", [True, False])
def test_the_codec_hears_the_same_whether_discriminators_learn_in_the_step_or_not(balancer):
    gradients = []
    for probability in (0.0, 1.0):
        torch.manual_seed(1)
        part = {"start_step": 0, "warmup_steps": 0, "update_probability": probability}
        objective, decoded = objective_of(discriminator=part, loss={"balancer": balancer}), audio_of()[1]
        assert ("discriminator" in backward(objective, decoded=decoded)) == bool(probability)
        gradients.append(decoded.grad)
    assert torch.equal(*gradients)


@pytest.mark.parametrize("heard_after", [0, 9])
def test_discriminators_learn_from_their_own_loss_alone(heard_after):
    part = {"start_step": 0, "update_probability": 1.0, "learning_rate": 0.0}
    objective = objective_of(discriminator={**part, "warmup_steps": heard_after})
    backward(objective)
    network = objective.discriminators[0][0]
    audio, decoded = (a.detach().transpose(1, 2) for a in audio_of())
    loss = discriminator_loss(network(audio)[0], network(decoded)[0])
    expected = torch.autograd.grad(loss, [*network.parameters()])
    for weights, gradient in zip(network.parameters(), expected, strict=True):
        torch.testing.assert_close(weights.grad, gradient)


def test_discriminators_do_not_step_by_a_gradient_that_is_not_finite():
    objective = objective_of(discriminator={"start_step": 0, "warmup_steps": 9, "update_probability": 1.0})
    before, decoded = weights_of(objective), audio_of()[1]
    assert math.isnan(
        backward(objective, decoded=(decoded.detach() * np.nan).requires_grad_())["discriminator"]
    )
    assert all(torch.equal(a, b) for a, b in zip(before, weights_of(objective), strict=True))


def test_feature_matching_is_as_the_recipe_has_it():
    objective = objective_of(discriminator={"start_step": 0, "warmup_steps": 0, "update_probability": 0.0})
    relative = backward(objective)["feature"]
    recipe = objective.recipe
    objective.recipe = replace(recipe, loss=replace(recipe.loss, relative_features=False))
    assert backward(objective)["feature"] != pytest.approx(relative, rel=0.05)


def test_discriminators_that_a_checkpoint_lacks_begin_anew():
    objective = objective_of(discriminator={"start_step": 0})
    before = weights_of(objective)
    objective.load_state_dict({**objective.state_dict(), "discriminators": {}})
    assert all(torch.equal(a, b) for a, b in zip(before, weights_of(objective), strict=True))


def test_discriminators_learn_from_the_gradient_of_one_step():
    part = {"start_step": 0, "warmup_steps": 9, "update_probability": 1.0, "learning_rate": 0.0}
    objective, gradients = objective_of(discriminator=part), []
    for _ in range(2):
        backward(objective)
        gradients.append([p.grad.clone() for p in objective.discriminators[0][0].parameters()])
    torch.testing.assert_close(*gradients)


def test_a_resumed_run_has_the_discriminators_rate_of_its_recipe():
    slow, fast = (objective_of(discriminator={"start_step": 0, "learning_rate": r}) for r in (1e-4, 1e-3))
    backward(fast)
    slow.load_state_dict(fast.state_dict())
    (optimizer,) = slow.discriminators[0][1]
    assert optimizer.param_groups[0]["lr"] == 1e-4


def test_a_step_in_which_no_loss_has_a_weight_moves_nothing():
    objective = objective_of(
        loss={"time": 0.0, "mel": 0.0},
        discriminator={"start_step": 0, "warmup_steps": 0, "per_bandwidth": True},
    )
    decoded = torch.randn(2, 2400, 1, requires_grad=True)
    backward(objective, decoded=decoded)
    assert not decoded.grad.any()
