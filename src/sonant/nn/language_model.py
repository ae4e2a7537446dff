"""The small Transformer over codes (paper, section 3.3), in the official layout of weights.

Positions are added as cosines and sines after a LayerNorm of the input; layers normalise after
each residual sum; there is no final norm. At the start every layer sees one key and value made
from a zero vector, as in the official implementation, and files depend on that.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sonant.config import LanguageModelConfig
from sonant.errors import WeightsError

State = list[Tensor]


def position_embedding(positions: Tensor, dim: int, max_period: float = 10_000) -> Tensor:
    """`[cos | sin]` of position over geometrically growing periods: `[B, T, 1]` to `[B, T, dim]`."""
    half = dim // 2
    order = torch.arange(half, device=positions.device).view(1, 1, -1)
    phase = positions / (max_period ** (order / (half - 1)))
    return torch.cat([torch.cos(phase), torch.sin(phase)], dim=-1)


class TransformerLayer(nn.Module):
    """Attention over a window of the past, then a feed-forward network; post-norm, GELU.

    Attention stays in float32 under autocast, where it is faster on a CPU and exact.
    """

    def __init__(self, config: LanguageModelConfig) -> None:
        super().__init__()
        self.self_attn = nn.MultiheadAttention(config.dim, config.num_heads, batch_first=True)
        self.linear1 = nn.Linear(config.dim, config.feed_forward)
        self.linear2 = nn.Linear(config.feed_forward, config.dim)
        self.norm1 = nn.LayerNorm(config.dim)
        self.norm2 = nn.LayerNorm(config.dim)

    def forward(self, x: Tensor, past: Tensor, masked: Tensor | None) -> Tensor:
        """`[B, T, dim]`, after `past` `[B, P, dim]`; `masked` `[T, P + T]` marks what is not seen.

        None for `masked` hides the future alone, which takes half the time.
        """
        seen = torch.cat([past, x], dim=1)
        with torch.autocast(x.device.type, enabled=False):
            if masked is None:
                attended = self._attend_causally(seen)[:, past.shape[1] :]
            else:
                attended = self.self_attn(x, seen, seen, attn_mask=masked, need_weights=False)[0]
        x = self.norm1(x + attended)
        return self.norm2(x + self.linear2(F.gelu(self.linear1(x))))

    def _attend_causally(self, x: Tensor) -> Tensor:
        attention = self.self_attn
        projected = F.linear(x, attention.in_proj_weight, attention.in_proj_bias)
        query, key, value = projected.unflatten(2, (3, attention.num_heads, -1)).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        out: Tensor = attention.out_proj(mixed.transpose(1, 2).flatten(2))
        return out


class Transformer(nn.Module):
    """The stack of layers; its state is the last inputs of every layer."""

    def __init__(self, config: LanguageModelConfig) -> None:
        super().__init__()
        self.past_context = config.past_context
        self.norm_in = nn.LayerNorm(config.dim)
        self.layers = nn.ModuleList(TransformerLayer(config) for _ in range(config.num_layers))

    def forward(self, x: Tensor, state: State | None, position: int | Tensor) -> tuple[Tensor, State]:
        """Outputs `[B, T, dim]` and the new state; `position` is that of the first step."""
        steps = torch.arange(x.shape[1], device=x.device).view(1, -1, 1)
        past = [torch.zeros_like(x[:, :1]) for _ in self.layers] if state is None else state
        x = self.norm_in(x) + position_embedding(steps + position, x.shape[2])
        history = past[0].shape[1]
        masked = None
        if state is not None or not 1 < x.shape[1] <= self.past_context:
            distance = history + steps.view(-1, 1) - torch.arange(history + x.shape[1], device=x.device)
            masked = (distance < 0) | (distance > self.past_context)
        new_state = []
        for layer, layer_past in zip(self.layers, past, strict=True):
            new_state.append(torch.cat([layer_past, x], dim=1)[:, -self.past_context :])
            x = layer(x, layer_past, masked)
        return x, new_state


class StepFeedForward(nn.Module):
    """A feed-forward network beside its input, as of a Transformer's layer, without a norm after it."""

    def __init__(self, dim: int, channels: int) -> None:
        super().__init__()
        self.linear1 = nn.Linear(dim, channels)
        self.linear2 = nn.Linear(channels, dim)

    def forward(self, x: Tensor) -> Tensor:
        """`[…, dim]` to `[…, dim]`."""
        added: Tensor = self.linear2(F.gelu(self.linear1(x)))
        return x + added


class StepConditioner(nn.Module):
    """What codebook k of a step is predicted from: the step's output and the codes before k in it."""

    def __init__(self, config: LanguageModelConfig) -> None:
        super().__init__()
        books = range(config.n_q - 1)
        self.emb = nn.ModuleList(nn.Embedding(config.bins, config.dim) for _ in books)
        self.norm = nn.LayerNorm(config.dim)
        self.feed_forward = nn.ModuleList(
            StepFeedForward(config.dim, config.step_feed_forward)
            if config.step_feed_forward
            else nn.Identity()
            for _ in range(config.n_q)
        )

    def forward(self, x: Tensor, codes: Tensor) -> tuple[Tensor, ...]:
        """`[B, T, dim]` and codes `[B, n_q, T]` to `[B, T, dim]` for each codebook."""
        sums = [x]
        for table, row in zip(self.emb, codes.unbind(1)[:-1], strict=False):
            sums.append(sums[-1] + table(row))
        return tuple(net(self.norm(before)) for net, before in zip(self.feed_forward, sums, strict=False))


class LanguageModel(nn.Module):
    """Predicts the codes of a step from those of the steps before."""

    def __init__(self, config: LanguageModelConfig) -> None:
        super().__init__()
        self.config = config
        self.transformer = Transformer(config)
        self.emb = nn.ModuleList(nn.Embedding(config.bins + 1, config.dim) for _ in range(config.n_q))
        self.linears = nn.ModuleList(nn.Linear(config.dim, config.bins) for _ in range(config.n_q))
        self.conditioner = StepConditioner(config) if config.conditioned else None

    def forward(
        self,
        previous: Tensor,
        state: State | None = None,
        position: int | Tensor = 0,
        codes: Tensor | None = None,
    ) -> tuple[Tensor, State]:
        """Logits `[B, T, n_q, bins]` and the new state.

        Args:
            previous: `[B, n_q, T]`, one plus the code of the step before, 0 where there is none.
            state: what the last call returned, None at the start.
            position: that of the first step, a number or `[B, 1, 1]`.
            codes: `[B, n_q, T]`, those of the steps themselves; a conditioned model needs them.
        """
        inputs, state = self.head_inputs(previous, state, position, codes)
        logits = [linear(x) for linear, x in zip(self.linears, inputs, strict=False)]
        return torch.stack(logits, dim=2), state

    def head_inputs(
        self,
        previous: Tensor,
        state: State | None = None,
        position: int | Tensor = 0,
        codes: Tensor | None = None,
    ) -> tuple[tuple[Tensor, ...], State]:
        """What `linears[k]` turns into the logits of codebook k, `[B, T, dim]` each; as for `forward`."""
        n_q = previous.shape[1]
        embedded = sum(self.emb[k](previous[:, k]) for k in range(n_q))
        x, state = self.transformer(embedded, state, position)
        if self.conditioner is None:
            return (x,) * n_q, state
        return self.conditioner(x, codes), state


def shifted(codes: Tensor) -> Tensor:
    """The model's input for codes `[B, n_q, T]`: one plus the code of the step before, 0 first."""
    return F.pad(codes[:, :, :-1] + 1, (1, 0))


def from_official(tensors: Mapping[str, Tensor], name: str, past_context: int) -> LanguageModel:
    """A language model from weights in the official layout, its sizes read off the shapes.

    Raises:
        WeightsError: if the tensors are not those of such a model.
    """
    try:
        n_q = sum(key.startswith("linears.") and key.endswith(".weight") for key in tensors)
        config = LanguageModelConfig(
            name=name,
            n_q=n_q,
            bins=tensors["linears.0.weight"].shape[0],
            dim=tensors["linears.0.weight"].shape[1],
            num_layers=sum(key.endswith(".linear1.weight") for key in tensors),
            feed_forward=tensors["transformer.layers.0.linear1.weight"].shape[0],
            past_context=past_context,
        )
        model = LanguageModel(config)
        model.load_state_dict(dict(tensors))
    except (KeyError, IndexError, RuntimeError) as error:
        raise WeightsError(f"the weights are not those of an official language model ({error})") from None
    return model.eval()
