"""Muon: steps of equal singular values, as large as Adam's, for kernels and for the gates of LSTMs."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from sonant.config import CodecConfig, LanguageModelConfig
from sonant.nn.codec import CodecNetwork
from sonant.nn.discriminators import Discriminators, multi_scale_stft
from sonant.nn.initialization import initialise
from sonant.nn.language_model import LanguageModel
from sonant.nn.soft_quantizers import GumbelQuantizer
from sonant.training.lm_loss import NatsPerCode
from sonant.training.lm_tables import start_from_codebooks
from sonant.training.muon import RMS_OF_ADAM, Muon, orthogonalised
from sonant.training.optimizers import make_lm_optimizers, make_optimizers


@given(
    rows=st.integers(1, 48),
    columns=st.integers(1, 48),
    scale=st.sampled_from([1e-6, 1.0, 1e6]),
    seed=st.integers(0, 99),
)
def test_singular_values_become_one_and_directions_stay(rows, columns, scale, seed):
    matrix = torch.randn(2, rows, columns, generator=torch.Generator().manual_seed(seed)) * scale
    result = orthogonalised(matrix)
    u, values, vt = torch.linalg.svd(matrix, full_matrices=False)
    sure = values > 0.02 * matrix.norm(dim=(1, 2))[:, None]
    along = (u.mT @ result @ vt.mT).diagonal(dim1=1, dim2=2)
    assert torch.linalg.svdvals(result).max() < 1.4
    assert along[sure].min() > 0.5


def test_no_gradient_means_no_step():
    weight = nn.Parameter(torch.ones(8, 8))
    weight.grad = torch.zeros(8, 8)
    Muon([weight], lr=1.0).step()
    assert torch.equal(weight.detach(), torch.ones(8, 8))


@pytest.mark.parametrize(("shape", "blocks"), [((32, 16, 7), 1), ((128, 32), 4), ((16, 64), 1)])
def test_a_step_is_as_large_as_adams(shape, blocks):
    torch.manual_seed(0)
    weight = nn.Parameter(torch.zeros(shape))
    weight.grad = torch.randn(shape) * 1e-3
    Muon([{"params": [weight], "blocks": blocks}], lr=0.1).step()
    step = weight.detach()
    assert step.square().mean().sqrt() == pytest.approx(0.1 * RMS_OF_ADAM, rel=0.2)
    for matrix in step.reshape(blocks, shape[0] // blocks, -1):
        values = torch.linalg.svdvals(matrix)
        assert values.max() < 1.5 * values.median()


def test_a_badly_scaled_problem_is_no_harder():
    """Gradients of one direction are 10,000 times those of another: plain descent takes as many steps."""
    torch.manual_seed(0)
    inputs = torch.randn(256, 16) * torch.logspace(0, -2, 16)
    target = torch.randn(16, 16)
    weight = nn.Parameter(torch.zeros(16, 16))
    optimizer = Muon([weight], lr=0.1)
    for step in range(400):
        optimizer.param_groups[0]["lr"] = 0.1 * (1 - step / 400)
        optimizer.zero_grad()
        (inputs @ (weight - target)).square().mean().backward()
        optimizer.step()
    assert (weight - target).abs().max() < 0.05 * target.abs().max()


def test_matrices_learn_by_muon_and_the_rest_by_adam():
    network = CodecNetwork(CodecConfig("tiny", 24_000, n_filters=8, dimension=16, bandwidths=(24.0,)))
    initialise(network)
    (alone,) = make_optimizers(network, "adam", 1e-3, (0.5, 0.9))
    count = sum(len(group["params"]) for group in alone.param_groups)
    assert isinstance(alone, torch.optim.Adam)
    assert count == len(list(network.parameters()))
    adam, muon = make_optimizers(network, "muon", 1e-3, (0.5, 0.9))
    kernels, gates = (group["params"] for group in muon.param_groups)
    assert {len(p) % 4 for p in gates} == {0}
    assert len(gates) == sum("weight_hh" in n or "weight_ih" in n for n, _ in network.named_parameters())
    assert all(p.dim() > 1 for p in kernels)
    assert sum(len(group["params"]) for group in adam.param_groups) + len(kernels) + len(gates) == count
    assert sum(p.numel() for p in [*kernels, *gates]) > 0.8 * sum(p.numel() for p in network.parameters())


def test_kernels_of_discriminators_are_matrices_too():
    adam, muon = make_optimizers(Discriminators(multi_scale_stft((256,), 8)), "muon", 1e-3, (0.5, 0.9))
    assert {p.dim() for p in muon.param_groups[0]["params"]} == {4}
    assert len(muon.param_groups[0]["params"]) == 5
    assert all(min(len(p), p[0].numel()) < 8 for p in adam.param_groups[0]["params"])


def test_matrices_inside_a_language_model_learn_by_muon():
    sizes = LanguageModelConfig("a", 4, 16, 16, 1, 2, 32, conditioned=True, step_feed_forward=24)
    network = LanguageModel(sizes)
    projections = start_from_codebooks(network, torch.randn(4, 16, 8))
    adam, muon = make_lm_optimizers(NatsPerCode(network, projections), "muon", 1e-3, 0.01)
    others, attention = (group["params"] for group in muon.param_groups)
    assert [p.shape for p in attention] == [(48, 16)]
    assert len(others) == 3 + 2 * 4
    count = sum(len(group["params"]) for group in adam.param_groups) + len(others) + len(attention)
    assert count == len([*network.parameters(), *projections.parameters()])
    (alone,) = make_lm_optimizers(NatsPerCode(network, projections), "adam", 1e-3, 0.01)
    assert len(alone.param_groups[0]["params"]) == count


def test_a_step_follows_nesterovs_momentum():
    """Gradients e1, e2 at momentum 0.9: the second step is along 0.081 e1 + 0.19 e2."""
    weight = nn.Parameter(torch.zeros(1, 4))
    optimizer = Muon([weight], lr=0.1)
    for number in range(2):
        before = weight.detach().clone()
        weight.grad = torch.eye(4)[number][None]
        optimizer.step()
    step = (weight.detach() - before)[0]
    assert (step[0] / step[1]).item() == pytest.approx(0.081 / 0.19, rel=0.06)
    assert step[0] < 0


def test_a_closure_may_take_gradients():
    weight = nn.Parameter(torch.ones(8, 8))

    def closure():
        loss = weight.square().sum()
        loss.backward()
        return loss

    assert Muon([weight], lr=0.1).step(closure).item() == 64
    assert weight.max() < 1


def test_learnt_codebooks_are_no_matrices():
    (adam,) = make_optimizers(GumbelQuantizer(16, 8, 16), "muon", 1e-3, (0.5, 0.9))
    assert len(adam.param_groups[0]["params"]) == 3
