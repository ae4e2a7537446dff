"""Residual vector quantisation with codebooks learnt by moving average (paper, section 3.2).

Differs from the public implementation where that one is broken: the k-means start keeps sums, not
means; entries that fall out of use are replaced for good; every stage has a commitment gradient.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from sonant.nn.distributed import all_gather_rows, broadcast_first

LAPLACE_EPSILON = 1e-5


class Quantized(NamedTuple):
    """What a quantiser returns.

    Attributes:
        latents: `[B, F, D]`, quantised, with a straight-through gradient.
        codes: `[B, n_q, F]`, integers below `bins`.
        commitment: scalar, the sum over stages of the mean squared error towards the codebook.
    """

    latents: Tensor
    codes: Tensor
    commitment: Tensor


def nearest(vectors: Tensor, codebook: Tensor) -> Tensor:
    """Index of the closest entry by Euclidean distance: `[N, D]`, `[bins, D]` to `[N]`."""
    return torch.addmm(codebook.square().sum(1), vectors, codebook.t(), alpha=-2).argmin(1)


def search(vectors: Tensor, codebooks: Tensor, beam: int = 1) -> Tensor:
    """Codes `[N, k]` of `[N, D]` by codebooks `[k, bins, D]`.

    With a beam of 1 every stage takes the entry nearest to what the stages before it left over. The sum of
    such entries is not the nearest sum: a wider beam keeps the best beginnings from stage to stage.
    """
    bins = codebooks.shape[1]
    residuals = vectors[:, None]
    codes = torch.empty(len(vectors), 1, 0, dtype=torch.long, device=vectors.device)
    for stage, codebook in enumerate(codebooks, start=1):
        wanted = min(beam, residuals.shape[1] * bins) if stage < len(codebooks) else 1
        costs = torch.addmm(codebook.square().sum(1), residuals.flatten(0, 1), codebook.t(), alpha=-2)
        costs = costs.unflatten(0, residuals.shape[:2]) + residuals.square().sum(2, keepdim=True)
        places = costs.flatten(1).topk(wanted, largest=False).indices
        beginnings, chosen = (places // bins)[:, :, None], places % bins
        residuals = residuals.take_along_dim(beginnings, 1) - codebook[chosen]
        codes = torch.cat([codes.take_along_dim(beginnings, 1), chosen[:, :, None]], 2)
    return codes[:, 0]


def k_means(vectors: Tensor, bins: int, iterations: int = 50) -> tuple[Tensor, Tensor]:
    """Cluster `[N, D]`; returns the sums of the members `[bins, D]` and their counts `[bins]`.

    A cluster that stays empty keeps its mean, as the sum of one imaginary member.
    """
    if len(vectors) >= bins:
        start = torch.randperm(len(vectors), device=vectors.device)[:bins]
    else:
        start = torch.randint(len(vectors), (bins,), device=vectors.device)
    means = vectors[start]
    for _ in range(iterations):
        sums, counts = cluster_statistics(vectors, nearest(vectors, means), bins)
        empty = counts == 0
        sums = torch.where(empty[:, None], means, sums)
        counts = counts.masked_fill(empty, 1)
        means = sums / counts[:, None]
    return sums, counts


def cluster_statistics(vectors: Tensor, codes: Tensor, bins: int) -> tuple[Tensor, Tensor]:
    """Sum `[bins, D]` and number `[bins]` of the vectors that chose each entry, alike on all ranks."""
    if vectors.device.type != "cpu":
        return statistics_by_product(vectors, codes, bins)
    sums = vectors.new_zeros(bins, vectors.shape[1]).index_add_(0, codes, vectors)
    return sums, torch.bincount(codes, minlength=bins).to(vectors.dtype)


def statistics_by_product(vectors: Tensor, codes: Tensor, bins: int) -> tuple[Tensor, Tensor]:
    """As `cluster_statistics`, for GPUs: in-place sums there come in an order of their own every time."""
    chosen = vectors.new_zeros(len(codes), bins).scatter_(1, codes[:, None], 1)
    return chosen.t() @ vectors, chosen.sum(0)


class ResidualVectorQuantizer(nn.Module):
    """`n_q` codebooks, each coding what the ones before it left over.

    Args:
        dimension: channels D of the latents.
        n_q: number of codebooks.
        bins: entries per codebook.
        decay: of the moving averages of usage and sums.
        dead_ratio: an entry used less than this fraction of its fair share is replaced by a
            vector of the current batch.
        beam: how many beginnings `forward` keeps while it searches for codes.
    """

    codebooks: Tensor
    usage: Tensor
    sums: Tensor
    initialised: Tensor

    def __init__(
        self,
        dimension: int,
        n_q: int,
        bins: int,
        decay: float = 0.99,
        dead_ratio: float = 0.05,
        beam: int = 1,
    ) -> None:
        super().__init__()
        self.n_q, self.bins, self.decay, self.dead_ratio = n_q, bins, decay, dead_ratio
        self.beam = beam
        self.register_buffer("codebooks", torch.zeros(n_q, bins, dimension))
        self.register_buffer("usage", torch.zeros(n_q, bins))
        self.register_buffer("sums", torch.zeros(n_q, bins, dimension))
        self.register_buffer("initialised", torch.zeros(n_q, dtype=torch.bool))

    def adopt_codebooks(self, codebooks: Tensor, frames_per_batch: int) -> None:
        """Take over trained codebooks `[k ≤ n_q, bins, D]` as if each entry were used fairly."""
        known = len(codebooks)
        self.codebooks[:known] = codebooks
        self.usage[:known] = frames_per_batch / self.bins
        self.sums[:known] = codebooks * (frames_per_batch / self.bins)
        self.initialised[:known] = True

    def fit(self, vectors: Tensor, iterations: int, frames_per_batch: int) -> None:
        """Set all codebooks by k-means over `[N, D]`, each to what the ones before it left over."""
        residual, codebooks = vectors.clone(), []
        for _ in range(self.n_q):
            sums, counts = k_means(residual, self.bins, iterations)
            codebooks.append(sums / counts[:, None])
            residual -= codebooks[-1][nearest(residual, codebooks[-1])]
        self.adopt_codebooks(torch.stack(codebooks), frames_per_batch)

    def encode(self, latents: Tensor, n_q: int, beam: int = 1) -> Tensor:
        """Codes `[B, n_q, F]` of latents `[B, F, D]`, by `search`."""
        codes = search(latents.flatten(0, 1), self.codebooks[:n_q], beam)
        return codes.unflatten(0, latents.shape[:2]).transpose(1, 2)

    def decode(self, codes: Tensor) -> Tensor:
        """Latents `[B, F, D]` of codes `[B, n_q, F]`."""
        n_q = codes.shape[1]
        flat = codes + self.bins * torch.arange(n_q, device=codes.device)[:, None]
        return self.codebooks.flatten(0, 1)[flat].sum(1)

    def forward(self, latents: Tensor, n_q: int) -> Quantized:
        """Quantise `[B, F, D]` with `n_q` stages; in training mode the codebooks learn.

        Always in float32: in half precision the nearest entry of a late stage is often missed.
        """
        with torch.autocast(latents.device.type, enabled=False):
            return self._quantise(latents, n_q)

    def _quantise(self, latents: Tensor, n_q: int) -> Quantized:
        vectors = latents.float().flatten(0, 1)
        with torch.no_grad():
            if self.training and not self.initialised[:n_q].all():
                self._initialise_missing(vectors, n_q)
            codes = search(vectors, self.codebooks[:n_q], self.beam)
        quantised = torch.zeros_like(vectors)
        commitment = vectors.new_zeros(())
        for codebook, chosen in zip(self.codebooks, codes.unbind(1), strict=False):
            entries = codebook[chosen]
            commitment = commitment + (vectors - quantised - entries).square().mean()
            quantised = quantised + entries
        if self.training:
            self._learn(vectors.detach(), codes)
        straight_through = vectors + (quantised - vectors).detach()
        return Quantized(
            straight_through.unflatten(0, latents.shape[:2]),
            codes.unflatten(0, latents.shape[:2]).transpose(1, 2),
            commitment,
        )

    def _initialise_missing(self, vectors: Tensor, n_q: int) -> None:
        """Start codebooks that have not been from what those before them leave over of `vectors`."""
        residual = vectors
        for stage, codebook in enumerate(self.codebooks[:n_q]):
            if not self.initialised[stage]:
                self._initialise(stage, residual)
            residual = residual - codebook[nearest(residual, codebook)]

    def _initialise(self, stage: int, residual: Tensor) -> None:
        """Start a codebook from k-means over the vectors of all ranks."""
        vectors = all_gather_rows(residual)
        sums, counts = k_means(vectors, self.bins)
        broadcast_first(sums, counts)
        share = len(vectors) / counts.sum()
        self.sums[stage], self.usage[stage] = sums * share, counts * share
        self.codebooks[stage] = sums / counts[:, None]
        self.initialised[stage] = True

    def _learn(self, vectors: Tensor, codes: Tensor) -> None:
        """One step of the moving averages, over the vectors of all ranks together (paper, section 3.2).

        Vectors and codes are gathered once, not the statistics of every stage: they are smaller, and
        every rank then computes the same codebooks.

        Args:
            vectors: `[N, D]`, of this rank, without a gradient.
            codes: `[N, stages]`, which these codebooks gave.
        """
        residual, codes = all_gather_rows(vectors), all_gather_rows(codes)
        stages = codes.shape[1]
        rows = torch.randint(len(codes), (stages, self.bins), device=codes.device)
        broadcast_first(rows)
        statistics, replacements = [], []
        for codebook, chosen, drawn in zip(self.codebooks, codes.unbind(1), rows, strict=False):
            statistics.append(cluster_statistics(residual, chosen, self.bins))
            replacements.append(residual[drawn])
            residual = residual - codebook[chosen]
        sums, counts = map(torch.stack, zip(*statistics, strict=True))
        self._move(sums, counts, torch.stack(replacements))

    def _move(self, sums: Tensor, counts: Tensor, replacements: Tensor) -> None:
        """Move the first codebooks by sums `[k, bins, D]` and counts `[k, bins]` of what chose entries.

        Vectors that are not finite leave a codebook as it was.
        """
        stages = len(sums)
        usage = self.usage[:stages].lerp(counts, 1 - self.decay)
        average = self.sums[:stages].lerp(sums, 1 - self.decay)
        total = usage.sum(1, keepdim=True)
        fair = total / self.bins
        dead = usage < self.dead_ratio * fair
        usage = torch.where(dead, fair, usage)
        average = torch.where(dead[..., None], replacements * fair[..., None], average)
        smoothed = (usage + LAPLACE_EPSILON) / (total + self.bins * LAPLACE_EPSILON) * total
        learnt = {"usage": usage, "sums": average, "codebooks": average / smoothed[..., None]}
        finite = sums.isfinite().flatten(1).all(1)
        for name, value in learnt.items():
            kept = self.get_buffer(name)[:stages]
            kept.copy_(torch.where(finite.reshape(-1, *[1] * (value.dim() - 1)), value, kept))
