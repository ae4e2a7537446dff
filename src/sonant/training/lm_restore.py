"""From an integer language model back to floats, to go on training what was shipped.

The inverse of `sonant.training.lm_quantise`, up to the rounding of the weights. The grids of activations
are not kept in a file, but follow from what is: from tables, from the epsilons of norms. Where a file
leaves a factor open, the network does, too (queries against keys, values against what they become,
the last norm against the outputs); the two sides then get the same size.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sonant.config import LanguageModelConfig
from sonant.entropy.integer_layers import (
    ATTENDED_STEPS,
    GELU_LIMIT,
    HIDDEN_LIMIT,
    RESIDUAL_STEPS,
)
from sonant.nn.language_model import LanguageModel, position_embedding
from sonant.training.lm_quantise import ATTENTION_PER_NAT, OUTPUT_PER_NAT

NORM_EPSILON = nn.LayerNorm(1).eps
LARGEST_HIDDEN = 64.0
SEARCH_STEPS = 60

Wide = NDArray[np.float64]


def restored_state(config: LanguageModelConfig, tensors: Mapping[str, NDArray[Any]]) -> dict[str, Tensor]:
    """The state of a `LanguageModel` that predicts what the integer model of these tensors does."""
    return _Restorer(config, tensors).state()


def silent_step_networks(model: LanguageModel) -> dict[str, Tensor]:
    """The state of a model's `step_feed_forward` networks with which they add nothing, but can learn to."""
    own = {name: tensor for name, tensor in model.state_dict().items() if ".feed_forward." in name}
    return {name: torch.zeros_like(t) if ".linear2." in name else t for name, t in own.items()}


class _Restorer:
    def __init__(self, config: LanguageModelConfig, tensors: Mapping[str, NDArray[Any]]) -> None:
        self._config = config
        self._whole = {name: np.asarray(tensor, np.float64) for name, tensor in tensors.items()}
        self._out: dict[str, Wide] = {}

    def state(self) -> dict[str, Tensor]:
        config = self._config
        self._tables("emb", self._norm_unit("norm_in"), "emb")
        grid = self._position_grid()
        self._norm("transformer.norm_in", "norm_in", grid)
        for i in range(config.num_layers):
            following = f"layers.{i + 1}.norm1"
            if i + 1 < config.num_layers:
                last = self._norm_unit(following) * RESIDUAL_STEPS
            elif config.conditioned:
                last = self._norm_unit("step.norm") * float(self._whole["step.grid"][0])
            else:
                last = self._grid_of_size_one(f"layers.{i}.norm2")
            self._layer(f"transformer.layers.{i}", f"layers.{i}", grid, last)
            grid = last
        if config.conditioned:
            self._tables("conditioner.emb", self._norm_unit("step.norm"), "step.emb")
            grid = self._grid_of_size_one("step.norm")
            self._norm("conditioner.norm", "step.norm", grid)
            for k in range(config.n_q if config.step_feed_forward else 0):
                self._feed_forward(f"conditioner.feed_forward.{k}", f"step.{k}", grid, grid)
        for k in range(config.n_q):
            self._linear(f"linears.{k}", f"heads.{k}", grid, 1 / OUTPUT_PER_NAT)
        return {name: torch.from_numpy(value).float() for name, value in self._out.items()}

    def _layer(self, name: str, source: str, grid: float, last: float) -> None:
        score = float(self._whole[f"{source}.score.scale"][0])
        channels = self._config.dim // self._config.num_heads
        query_key = math.sqrt(score * math.sqrt(channels) / ATTENTION_PER_NAT)
        residual, middle = grid / RESIDUAL_STEPS, self._norm_unit(f"{source}.norm2") * RESIDUAL_STEPS
        value = self._value_grid(source, grid, residual)
        each = np.repeat([query_key, query_key, value], self._config.dim)
        attention = f"{name}.self_attn"
        weight, bias = self._matrix(f"{source}.qkv", grid, each)
        self._out[f"{attention}.in_proj_weight"], self._out[f"{attention}.in_proj_bias"] = weight, bias
        self._linear(f"{attention}.out_proj", f"{source}.attended", value / ATTENDED_STEPS, residual)
        self._norm(f"{name}.norm1", f"{source}.norm1", middle)
        self._feed_forward(name, source, middle, middle / RESIDUAL_STEPS)
        self._norm(f"{name}.norm2", f"{source}.norm2", last)

    def _feed_forward(self, name: str, source: str, grid_in: float, grid_out: float) -> None:
        hidden = _hidden_grid(self._whole[f"{source}.gelu"])
        self._linear(f"{name}.linear1", f"{source}.up", grid_in, hidden)
        after = _gelu(hidden * HIDDEN_LIMIT) / GELU_LIMIT
        self._linear(f"{name}.linear2", f"{source}.down", after, grid_out)

    def _value_grid(self, source: str, grid: float, residual: float) -> float:
        """With which the weights of values and those of what they become have one size."""
        values = self._matrix(f"{source}.qkv", grid, 1.0)[0][2 * self._config.dim :]
        attended = self._matrix(f"{source}.attended", 1 / ATTENDED_STEPS, residual)[0]
        return math.sqrt(float(np.linalg.norm(attended) / np.linalg.norm(values)))

    def _matrix(self, source: str, grid_in: float, grid_out: float | Wide) -> tuple[Wide, Wide]:
        per_sum = self._whole[f"{source}.scale"] * grid_out
        weight = self._whole[f"{source}.weight"] * per_sum / grid_in
        return np.ascontiguousarray(weight.T), self._whole[f"{source}.bias"] * per_sum

    def _linear(self, name: str, source: str, grid_in: float, grid_out: float) -> None:
        weight, bias = self._matrix(source, grid_in, grid_out)
        self._out[f"{name}.weight"], self._out[f"{name}.bias"] = weight, bias

    def _norm(self, name: str, source: str, grid_out: float) -> None:
        self._out[f"{name}.weight"] = self._whole[f"{source}.gain"] * grid_out
        self._out[f"{name}.bias"] = self._whole[f"{source}.bias"] * grid_out

    def _norm_unit(self, source: str) -> float:
        """The grid of a norm's input."""
        epsilon = float(self._whole[f"{source}.epsilon"][0])
        return self._config.dim * math.sqrt(NORM_EPSILON / epsilon)

    def _grid_of_size_one(self, source: str) -> float:
        """The grid of a norm's output with which its weights have a mean square of 1."""
        return 1 / math.sqrt(float(np.square(self._whole[f"{source}.gain"]).mean()))

    def _tables(self, name: str, unit: float, source: str) -> None:
        shifts = np.exp2(self._whole[f"{source}.shift"])
        for k, (table, shift) in enumerate(zip(self._whole[source], shifts, strict=True)):
            self._out[f"{name}.{k}.weight"] = table * (unit * shift)

    def _position_grid(self) -> float:
        whole = self._whole["positions"]
        steps = torch.arange(len(whole), dtype=torch.float64)[None, :, None]
        positions = position_embedding(steps, self._config.dim)[0].numpy()
        return float((positions * whole).sum() / np.square(whole).sum())


def _hidden_grid(table: Wide) -> float:
    """What a step of GELU's input is, in a table of its outputs whose largest is `GELU_LIMIT`."""

    def error(grid: float) -> float:
        steps = np.arange(-HIDDEN_LIMIT, HIDDEN_LIMIT + 1) * grid
        activated = _gelu(steps)
        return float(np.square(activated * (GELU_LIMIT / activated.max()) - table).sum())

    grids = np.geomspace(1 / HIDDEN_LIMIT, LARGEST_HIDDEN / HIDDEN_LIMIT, SEARCH_STEPS)
    best = int(np.argmin([error(grid) for grid in grids]))
    low, high = grids[max(0, best - 1)], grids[min(len(grids) - 1, best + 1)]
    for _ in range(SEARCH_STEPS):
        third = (high - low) / 3
        if error(low + third) < error(high - third):
            high -= third
        else:
            low += third
    return float(low + high) / 2


def _gelu(x: Any) -> Any:
    return nn.functional.gelu(torch.as_tensor(x, dtype=torch.float64)).numpy()
