"""Residual vector quantisation: k-means start, dead codes, commitment, and the alternatives."""

import pytest
import torch
from torch import nn

from sonant.nn.quantizer import (
    ResidualVectorQuantizer,
    cluster_statistics,
    k_means,
    nearest,
    statistics_by_product,
)
from sonant.nn.soft_quantizers import DiffQuantizer, GumbelQuantizer, bandwidth_penalty


class Clusters:
    """Vectors around fixed centres, as many centres as codes."""

    def __init__(self, count: int, dimension: int, noise: float = 0.5) -> None:
        self.centres, self.noise = torch.randn(count, dimension), noise

    def draw(self, number: int) -> torch.Tensor:
        chosen = self.centres[torch.randint(len(self.centres), (number,))]
        return chosen + self.noise * torch.randn_like(chosen)


def public_codebook(clusters: Clusters, bins: int, batch: int, steps: int) -> torch.Tensor:
    """The update of the public code: means in place of sums at the start, dead codes not replaced."""
    vectors = clusters.draw(batch)
    sums, counts = k_means(vectors, bins)
    means = average = sums / counts[:, None]
    usage, codebook = counts, means
    for step in range(steps):
        vectors = vectors if step == 0 else clusters.draw(batch)
        sums, counts = cluster_statistics(vectors, nearest(vectors, codebook), bins)
        usage, average = 0.99 * usage + 0.01 * counts, 0.99 * average + 0.01 * sums
        smoothed = (usage + 1e-5) / (usage.sum() + bins * 1e-5) * usage.sum()
        codebook = average / smoothed[:, None]
    return codebook


def test_codebooks_learn_clusters_better_than_the_public_update():
    torch.manual_seed(0)
    clusters = Clusters(256, 32)
    quantizer = ResidualVectorQuantizer(32, 1, 256)
    for _ in range(30):
        quantizer(clusters.draw(1200)[None], 1)
    public = public_codebook(clusters, 256, 1200, 30)
    fresh = clusters.draw(8000)
    results = []
    for codebook in (quantizer.codebooks[0], public):
        codes = nearest(fresh, codebook)
        results.append(((fresh - codebook[codes]).square().mean().item(), len(codes.unique())))
    (ours, used), (theirs, used_by_theirs) = results
    assert ours < 0.75 * theirs
    assert used > used_by_theirs
    assert ours < 0.45
    assert used >= 0.83 * 256


def test_the_start_is_k_means_and_survives_the_first_steps():
    torch.manual_seed(0)
    clusters = Clusters(16, 8, noise=0.05)
    quantizer = ResidualVectorQuantizer(8, 1, 64)
    vectors = clusters.draw(600)
    first = quantizer(vectors[None], 1).commitment
    assert first < 0.01
    assert quantizer(vectors[None], 1).commitment < 1.1 * first
    assert quantizer.usage[0].sum().item() == pytest.approx(600, rel=1e-3)


def test_dead_entries_return_to_use():
    torch.manual_seed(0)
    quantizer = ResidualVectorQuantizer(4, 1, 32)
    codebook = torch.randn(1, 32, 4)
    codebook[0, 16:] += 1000
    quantizer.adopt_codebooks(codebook, 256)
    for _ in range(400):
        codes = quantizer(torch.randn(1, 256, 4), 1).codes
    assert quantizer.codebooks[0].abs().max() < 10
    assert len(codes.unique()) > 24


def test_every_stage_has_a_commitment_gradient():
    torch.manual_seed(0)
    quantizer = ResidualVectorQuantizer(6, 3, 8)
    quantizer.adopt_codebooks(torch.randn(3, 8, 6), 100)
    quantizer.eval()
    latents = torch.randn(1, 50, 6, requires_grad=True)
    vectors, expected, quantised = latents.detach()[0], torch.zeros(50, 6), torch.zeros(50, 6)
    for stage in range(3):
        residual = vectors - quantised
        entries = quantizer.codebooks[stage][nearest(residual, quantizer.codebooks[stage])]
        expected += 2 * (residual - entries) / vectors.numel()
        quantised += entries
    quantizer(latents, 3).commitment.backward()
    torch.testing.assert_close(latents.grad[0], expected)


def test_a_forward_pass_searches_with_its_beam():
    torch.manual_seed(0)
    books, latents = torch.randn(4, 16, 6) / torch.arange(1, 5)[:, None, None], torch.randn(1, 200, 6)
    errors = []
    for beam in (1, 4):
        quantizer = ResidualVectorQuantizer(6, 4, 16, beam=beam).eval()
        quantizer.adopt_codebooks(books, 100)
        out = quantizer(latents, 4)
        assert torch.equal(out.codes, quantizer.encode(latents, 4, beam))
        errors.append((latents - out.latents).square().mean())
    assert errors[1] < 0.95 * errors[0]


def test_the_gradient_passes_straight_through():
    quantizer = ResidualVectorQuantizer(6, 2, 8)
    latents = torch.randn(1, 20, 6, requires_grad=True)
    quantizer(latents, 2).latents.sum().backward()
    torch.testing.assert_close(latents.grad, torch.ones_like(latents))


def test_codes_decode_to_the_quantised_latents():
    torch.manual_seed(0)
    quantizer = ResidualVectorQuantizer(6, 4, 16)
    quantizer(torch.randn(2, 100, 6), 4)
    quantizer.eval()
    latents = torch.randn(2, 30, 6)
    out = quantizer(latents, 3)
    assert out.codes.shape == (2, 3, 30)
    torch.testing.assert_close(quantizer.encode(latents, 3), out.codes)
    torch.testing.assert_close(quantizer.decode(out.codes), out.latents)
    fewer = (latents - quantizer(latents, 1).latents).square().mean()
    assert (latents - out.latents).square().mean() < fewer


def test_vectors_that_are_not_finite_leave_the_codebooks_alone():
    torch.manual_seed(0)
    quantizer = ResidualVectorQuantizer(6, 2, 8)
    quantizer(torch.randn(1, 100, 6), 2)
    before = {name: value.clone() for name, value in quantizer.state_dict().items()}
    spoilt = torch.randn(1, 100, 6)
    spoilt[0, 3] = float("nan")
    quantizer(spoilt, 2)
    for name, value in quantizer.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_the_search_stays_exact_under_autocast():
    torch.manual_seed(0)
    quantizer = ResidualVectorQuantizer(64, 8, 256)
    quantizer(torch.randn(1, 2000, 64), 8)
    quantizer.eval()
    latents = torch.randn(1, 500, 64)
    with torch.autocast("cpu", torch.bfloat16):
        codes = quantizer(latents, 8).codes
    assert torch.equal(codes, quantizer(latents, 8).codes)


def test_diffq_learns_to_keep_to_its_bandwidth():
    torch.manual_seed(0)
    quantizer = DiffQuantizer(8, bits_per_codebook=10)
    optimizer = torch.optim.Adam(quantizer.parameters(), 0.02)
    spread = torch.logspace(-1, 1, 8)
    for _ in range(200):
        latents = torch.randn(4, 50, 8) * spread
        out = quantizer(latents, 2)
        loss = (out.latents - latents).square().mean() + out.commitment
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    bits = quantizer.bits.detach()
    assert bits.sum() < 23
    assert bits[-1] > bits[0] + 1
    quantizer.eval()
    latents = torch.randn(4, 50, 8) * spread
    out = quantizer(latents, 2)
    assert (out.codes.amax((0, 2)) < torch.round(2**bits)).all()
    assert (out.latents - latents).square().mean() < 0.1 * latents.square().mean()


def test_diffq_noise_is_that_of_the_quantisation():
    torch.manual_seed(0)
    quantizer = DiffQuantizer(4, 10)
    quantizer.precision.data.fill_(-0.2)
    latents = torch.randn(8, 500, 4)
    for _ in range(60):
        trained = quantizer(latents, 1).latents
    noise = (trained - latents).square().mean().item()
    quantizer.eval()
    error = (quantizer(latents, 1).latents - latents).square().mean().item()
    assert noise == pytest.approx(error, rel=0.25)


def test_diffq_does_not_learn_from_what_is_not_finite():
    torch.manual_seed(0)
    quantizer, latents = DiffQuantizer(4, 10), torch.randn(2, 50, 4)
    quantizer(latents, 1)
    before = quantizer.mean.clone(), quantizer.deviation.clone()
    spoilt = latents.clone()
    spoilt[0, 0, 0] = torch.nan
    quantizer(spoilt, 1)
    assert torch.equal(quantizer.mean, before[0]) and torch.equal(quantizer.deviation, before[1])


def test_gumbel_softmax_learns_codes_that_say_something():
    torch.manual_seed(0)
    clusters = Clusters(16, 4, noise=0.05)
    quantizer = GumbelQuantizer(4, 1, 16)
    optimizer = torch.optim.Adam(quantizer.parameters(), 0.05)
    for _ in range(300):
        latents = clusters.draw(256)[None] * 3
        out = quantizer(latents, 1)
        loss = (out.latents - latents).square().mean() + 0.1 * out.commitment
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    quantizer.eval()
    latents = clusters.draw(512)[None] * 3
    out = quantizer(latents, 1)
    assert out.codes.shape == (1, 1, 512)
    assert (out.latents - latents).square().mean() < 0.3 * latents.square().mean()
    torch.testing.assert_close(quantizer.decode(out.codes), out.latents)


def test_the_penalty_ends_at_the_target():
    assert bandwidth_penalty(torch.tensor(30.0), 20) == 1.5
    assert bandwidth_penalty(torch.tensor(20.0), 20) == 0


def test_sums_by_a_product_are_sums_in_place():
    torch.manual_seed(0)
    vectors, codes = torch.randn(500, 8), torch.randint(40, (500,))
    sums, counts = cluster_statistics(vectors, codes, 64)
    product_sums, product_counts = statistics_by_product(vectors, codes, 64)
    torch.testing.assert_close(product_sums, sums)
    assert torch.equal(product_counts, counts)


def test_a_step_of_the_moving_averages_by_hand():
    """Two stages of two entries; the second learns from what the first left over."""
    quantizer = ResidualVectorQuantizer(1, 2, 2, decay=0.75)
    quantizer.adopt_codebooks(torch.tensor([[[0.0], [10.0]], [[-1.0], [1.0]]]), frames_per_batch=4)
    codes = quantizer(torch.tensor([[[1.4], [-0.8], [0.6], [11.4]]]), 2).codes
    assert codes[0].tolist() == [[0, 0, 0, 1], [1, 0, 1, 1]]
    torch.testing.assert_close(quantizer.usage, torch.tensor([[2.25, 1.75], [1.75, 2.25]]))
    sums = torch.tensor([[0.3, 17.85], [-1.7, 2.35]])
    torch.testing.assert_close(quantizer.sums[..., 0], sums)
    torch.testing.assert_close(quantizer.codebooks[..., 0], sums / quantizer.usage, rtol=1e-4, atol=1e-4)


def test_dead_entries_become_what_their_stage_has_to_code():
    quantizer = ResidualVectorQuantizer(1, 2, 4, decay=0.0)
    books = torch.tensor([[10.0, -10.0, 1000.0, 1001.0], [1.0, -1.0, 1000.0, 1001.0]])
    quantizer.adopt_codebooks(books[..., None], frames_per_batch=400)
    torch.manual_seed(0)
    signs = torch.randint(2, (2, 1, 400, 1)) * 2.0 - 1
    quantizer(10 * signs[0] + signs[1], 2)
    first, second = quantizer.codebooks.abs()
    assert first.min() > 8.9 and first.max() < 11.1
    assert second.min() > 0.9 and second.max() < 1.1
    torch.testing.assert_close(quantizer.usage[:, 2:], torch.full((2, 2), 100.0))


def test_a_second_stage_starts_from_what_the_first_leaves_over():
    torch.manual_seed(0)
    quantizer = ResidualVectorQuantizer(1, 2, 2)
    signs = torch.randint(2, (2, 1, 400, 1)) * 2.0 - 1
    quantizer(10 * signs[0] + signs[1], 2)
    assert quantizer.codebooks[0].abs().min() > 9
    assert quantizer.codebooks[1].abs().max() < 1.5


def test_a_start_with_empty_clusters_counts_every_vector_once():
    torch.manual_seed(0)
    quantizer = ResidualVectorQuantizer(1, 1, 8)
    vectors = torch.tensor([[[-1.0], [1.0]]]).repeat(1, 50, 1)
    quantizer(vectors, 1)
    torch.testing.assert_close(quantizer.usage.sum(), torch.tensor(100.0))


def test_fitting_gives_a_second_codebook_what_the_first_leaves_over():
    torch.manual_seed(0)
    quantizer = ResidualVectorQuantizer(1, 2, 2)
    signs = torch.randint(2, (2, 400, 1)) * 2.0 - 1
    quantizer.fit(10 * signs[0] + signs[1], 10, 400)
    assert quantizer.codebooks[0].abs().min() > 9
    assert quantizer.codebooks[1].abs().max() < 1.5


def test_gumbel_teaches_the_prior_by_q_and_q_by_the_prior():
    torch.manual_seed(0)
    quantizer, of_prior, of_codebooks = GumbelQuantizer(4, 1, 16), [], []
    nn.init.normal_(quantizer.prior)
    latents = torch.randn(1, 20, 4)
    for bits in (100.0, 0.01):
        quantizer.bits_per_codebook = bits
        quantizer.zero_grad()
        quantizer._penalty(quantizer._log_probabilities(latents, 1), 1).backward()
        of_prior.append(bits * quantizer.prior.grad)
        of_codebooks.append(quantizer.codebooks.grad)
    torch.testing.assert_close(*of_prior)
    assert of_codebooks[0] is None or not of_codebooks[0].any()
    assert of_codebooks[1].any()
