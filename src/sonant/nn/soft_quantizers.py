"""The quantisers that the paper compares with RVQ (appendix A.2): DiffQ and Gumbel-softmax.

Both are differentiable and learn how many bits they spend: in place of a commitment loss they
return a penalty on the bandwidth, zero as long as it is below that of `n_q` codebooks.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sonant.nn.distributed import average_over_ranks
from sonant.nn.quantizer import Quantized

MAX_BITS = 15.0
LEARNING_BOOST = 5.0
LIMIT = 3.0
STATISTICS_DECAY = 0.9
TEMPERATURE = 0.5


def bandwidth_penalty(bits: Tensor, target: float) -> Tensor:
    """Bits per frame over the bits aimed at, as long as they are more; else zero."""
    return torch.where(bits > target, bits / target, torch.zeros_like(bits))


class DiffQuantizer(nn.Module):
    """Scalar quantisation, simulated in training by noise of the width of a step (equation 6).

    Args:
        dimension: channels D of the latents.
        bits_per_codebook: bits that one codebook of RVQ would spend, so that `n_q` of them are the
            bandwidth aimed at.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, dimension: int, bits_per_codebook: int) -> None:
        super().__init__()
        self.bits_per_codebook = bits_per_codebook
        self.precision = nn.Parameter(torch.zeros(dimension))
        self.register_buffer("mean", torch.zeros(dimension))
        self.register_buffer("deviation", torch.ones(dimension))

    @property
    def bits(self) -> Tensor:
        """Bits B of every dimension: `[D]`, from 0 to 15."""
        return MAX_BITS * torch.sigmoid(LEARNING_BOOST * self.precision)

    def forward(self, latents: Tensor, n_q: int) -> Quantized:
        """Quantise `[B, F, D]`; in training mode, by noise under statistics of the batch."""
        latents = latents.float()
        penalty = bandwidth_penalty(self.bits.sum(), n_q * self.bits_per_codebook)
        if not self.training:
            codes = self.encode(latents, n_q)
            return Quantized(self.decode(codes), codes, penalty)
        mean = latents.mean((0, 1))
        deviation = latents.std((0, 1), correction=0) + 1e-6
        self._remember(mean.detach().clone(), deviation.detach().clone())
        span, presence = LIMIT * deviation, self.bits.clamp_max(1)
        centred = torch.clamp(latents - mean, -span, span) * presence
        noise = span * (2 * torch.rand_like(latents) - 1) / 2**self.bits * presence.sqrt()
        with torch.no_grad():
            codes = self.encode(latents, n_q)
        return Quantized(mean + centred + noise, codes, penalty)

    @torch.no_grad()
    def _remember(self, mean: Tensor, deviation: Tensor) -> None:
        """Vectors that are not finite leave the statistics as they were."""
        average_over_ranks(mean, deviation)
        if not (mean.isfinite().all() and deviation.isfinite().all()):
            return
        self.mean.lerp_(mean, 1 - STATISTICS_DECAY)
        self.deviation.lerp_(deviation, 1 - STATISTICS_DECAY)

    def encode(self, latents: Tensor, n_q: int) -> Tensor:
        """Indices `[B, D, F]` below `round(2^B)` of latents `[B, F, D]` (equation 7)."""
        levels = torch.round(2**self.bits)
        unit = ((latents - self.mean) / (2 * LIMIT * self.deviation) + 0.5).clamp(0, 1)
        return torch.minimum((levels * unit).floor(), levels - 1).long().transpose(1, 2)

    def decode(self, codes: Tensor) -> Tensor:
        """Latents `[B, F, D]`: the middle of every quantisation step."""
        levels = torch.round(2**self.bits)
        place = 2 * (codes.transpose(1, 2) + 0.5) / levels - 1
        return self.mean + LIMIT * self.deviation * place * self.bits.clamp_max(1)


class GumbelQuantizer(nn.Module):
    """Codebooks whose entries are drawn by their probability given the latent (equation 8).

    Args:
        dimension: channels D of the latents.
        n_q: number of codebooks.
        bins: entries per codebook.
    """

    def __init__(self, dimension: int, n_q: int, bins: int) -> None:
        super().__init__()
        self.bits_per_codebook = math.log2(bins)
        self.codebooks = nn.Parameter(torch.randn(n_q, bins, dimension) / math.sqrt(dimension))
        self.bias = nn.Parameter(torch.zeros(n_q, bins))
        self.prior = nn.Parameter(torch.zeros(n_q, bins))

    def _log_probabilities(self, latents: Tensor, n_q: int) -> Tensor:
        """`[B, F, n_q, bins]`: log q of every entry."""
        products = torch.einsum("bfd,qkd->bfqk", latents.float(), self.codebooks[:n_q])
        return F.log_softmax(products + self.bias[:n_q], -1)

    def forward(self, latents: Tensor, n_q: int) -> Quantized:
        """Quantise `[B, F, D]` with `n_q` codebooks; in training mode, softly."""
        log_q = self._log_probabilities(latents, n_q)
        penalty = self._penalty(log_q, n_q)
        if not self.training:
            codes = self._draw(log_q)
            return Quantized(self.decode(codes), codes, penalty)
        chosen = F.gumbel_softmax(log_q, TEMPERATURE)
        quantised = torch.einsum("bfqk,qkd->bfd", chosen, self.codebooks[:n_q])
        return Quantized(quantised, chosen.argmax(-1).transpose(1, 2), penalty)

    def _penalty(self, log_q: Tensor, n_q: int) -> Tensor:
        """The bandwidth that the prior leads to, and what teaches the prior, which never rests."""
        target = self.bits_per_codebook * n_q
        q, log_p = log_q.exp(), F.log_softmax(self.prior[:n_q], -1)
        bits = -(q * log_p.detach()).sum((2, 3)).mean() / math.log(2)
        taught = -(q.detach() * log_p).sum((2, 3)).mean() / math.log(2)
        return bandwidth_penalty(bits, target) + taught / target

    def _draw(self, log_q: Tensor) -> Tensor:
        flat = torch.multinomial(log_q.exp().flatten(0, 2), 1)
        return flat.reshape(log_q.shape[:3]).transpose(1, 2)

    def encode(self, latents: Tensor, n_q: int) -> Tensor:
        """Codes `[B, n_q, F]` of latents `[B, F, D]`, drawn from q."""
        return self._draw(self._log_probabilities(latents, n_q))

    def decode(self, codes: Tensor) -> Tensor:
        """Latents `[B, F, D]` of codes `[B, n_q, F]`."""
        books = torch.arange(codes.shape[1], device=codes.device)[:, None]
        return self.codebooks[books, codes].sum(1)
