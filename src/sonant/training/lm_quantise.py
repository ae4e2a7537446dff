"""From the trained float language model to whole numbers, for `sonant.entropy.integer_lm`.

Every weight column gets the finest int8 grid with which its sums stay exact; every activation the
grid that spans what calibration codes make of it, and what is added to it before a norm.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sonant.entropy.checked_tensors import TABLE_LIMIT
from sonant.entropy.integer_layers import (
    ACTIVATION_LIMIT,
    ATTENDED_LIMIT,
    ATTENDED_STEPS,
    GELU_LIMIT,
    HIDDEN_LIMIT,
    QUERY_LIMIT,
    RESIDUAL_LIMIT,
    RESIDUAL_STEPS,
)
from sonant.entropy.integer_ops import EXACT_FLOAT32
from sonant.nn.language_model import LanguageModel, position_embedding, shifted

ATTENTION_TABLE = 2048
ATTENTION_ONE = 1 << 15
ATTENTION_PER_NAT = 128
OUTPUT_TABLE = 8192
OUTPUT_PER_NAT = 512
STEP_STEPS = 16
COVERED = 0.99999

Array = NDArray[Any]


def integer_tensors(model: LanguageModel, codes: Sequence[Tensor], max_frames: int) -> dict[str, Array]:
    """All tensors of the integer model.

    Args:
        model: trained, its tables written out.
        codes: to calibrate on, each `[B, n_q, T]`, as training has them: one for every number of codebooks
            that the model will meet, since activations depend on it, and one for all that it has.
        max_frames: steps that a chunk may have.
    """
    ranges = _activation_ranges(model.eval(), codes)
    config, transformer = model.config, model.transformer
    out: dict[str, Array] = {
        "exp.attention": _falling(ATTENTION_TABLE, ATTENTION_ONE, ATTENTION_PER_NAT),
        "exp.output": _falling(OUTPUT_TABLE, TABLE_LIMIT, OUTPUT_PER_NAT),
    }
    embedding = torch.stack([table.weight for table in model.emb])  # type: ignore[misc]
    largest = embedding.detach().abs().amax(dim=(1, 2))
    unit = _table(
        out, "emb", embedding, max(float(largest.min()) / 127, float(largest.sum()) / RESIDUAL_LIMIT)
    )
    grid = _normed_grid(ranges["input"], ranges["layers.0.attended"])
    _norm(out, "norm_in", transformer.norm_in, unit, grid)
    positions = position_embedding(torch.arange(max_frames)[None, :, None], config.dim)[0]
    out["positions"] = np.rint(positions.numpy() / grid).astype(np.int16)
    for i, layer in enumerate(transformer.layers):
        added = ranges.get(f"layers.{i + 1}.attended", 0.0)
        last = _normed_grid(ranges[f"layers.{i}.norm2"], added)
        _layer(out, f"layers.{i}", layer, ranges, grid, last, config.num_heads)
        grid = last
    if model.conditioner is not None:
        step = torch.stack([table.weight for table in model.conditioner.emb])  # type: ignore[misc]
        unit = _table(out, "step.emb", step, grid / STEP_STEPS)
        out["step.grid"] = np.array([round(grid / unit)], np.float32)
        grid = ranges["conditioned"] / ACTIVATION_LIMIT
        _norm(out, "step.norm", model.conditioner.norm, unit, grid)
        if config.step_feed_forward:
            for k, net in enumerate(model.conditioner.feed_forward):
                _feed_forward(out, f"step.{k}", net, ranges[f"step.{k}.hidden"], grid, grid)
    for k, head in enumerate(model.linears):
        _linear(out, f"heads.{k}", head.weight, head.bias, grid, ACTIVATION_LIMIT, 1 / OUTPUT_PER_NAT)
    return out


def _activation_ranges(model: LanguageModel, codes: Sequence[Tensor]) -> dict[str, float]:
    """The absolute values that nearly all activations stay below for each of the codes, by place."""
    each = [_ranges_of(model, batch) for batch in codes]
    return {name: max(ranges.get(name, 0.0) for ranges in each) for name in set().union(*each)}


def _ranges_of(model: LanguageModel, codes: Tensor) -> dict[str, float]:
    seen: defaultdict[str, list[Tensor]] = defaultdict(list)

    def watch(name: str, values: Tensor) -> None:
        seen[name].append(values.detach().abs().flatten())

    def after(name: str) -> Any:
        return lambda module, inputs, output: watch(name, output)

    hooks = []
    for i, layer in enumerate(model.transformer.layers):
        arrived: list[Tensor] = []

        def before(module: nn.Module, inputs: Any, i: int = i, arrived: list[Tensor] = arrived) -> None:
            arrived[:] = inputs[:1]
            attention = module.self_attn
            qkv = nn.functional.linear(arrived[0], attention.in_proj_weight, attention.in_proj_bias)
            for part, values in zip("qkv", qkv.chunk(3, dim=-1), strict=True):
                watch(f"layers.{i}.{part}", values)
            if i == 0:
                watch("input", arrived[0])

        def summed(module: nn.Module, inputs: Any, i: int = i, arrived: list[Tensor] = arrived) -> None:
            watch(f"layers.{i}.attended", inputs[0] - arrived[0])

        hooks.append(layer.register_forward_pre_hook(before))
        hooks.append(layer.norm1.register_forward_pre_hook(summed))
        hooks.append(layer.norm1.register_forward_hook(after(f"layers.{i}.norm1")))
        hooks.append(layer.norm2.register_forward_hook(after(f"layers.{i}.norm2")))
        hooks.append(layer.linear1.register_forward_hook(after(f"layers.{i}.hidden")))
        hooks.append(layer.linear2.register_forward_hook(after(f"layers.{i}.down")))
    if model.conditioner is not None:
        hooks.append(model.conditioner.norm.register_forward_hook(after("conditioned")))
        for k, net in enumerate(model.conditioner.feed_forward if model.config.step_feed_forward else ()):
            hooks.append(net.linear1.register_forward_hook(after(f"step.{k}.hidden")))
            hooks.append(net.register_forward_hook(after("conditioned")))
    with torch.no_grad():
        model(shifted(codes), None, 0, codes)
    for hook in hooks:
        hook.remove()
    return {name: _almost_largest(torch.cat(values)) for name, values in seen.items()}


def _almost_largest(values: Tensor) -> float:
    rank = max(1, int(COVERED * values.numel()))
    return max(float(values.kthvalue(rank).values), 1e-6)


def _layer(
    out: dict[str, Array],
    name: str,
    layer: Any,
    ranges: dict[str, float],
    grid: float,
    last: float,
    heads: int,
) -> None:
    """Quantise one layer whose input has the grid `grid`, and whose output is to have the grid `last`."""
    attention = layer.self_attn
    grids = [ranges[f"{name}.{part}"] / QUERY_LIMIT for part in "qkv"]
    dim = len(attention.in_proj_bias) // 3
    each = np.repeat(np.array(grids), dim)
    _linear(
        out, f"{name}.qkv", attention.in_proj_weight, attention.in_proj_bias, grid, ACTIVATION_LIMIT, each
    )
    score = grids[0] * grids[1] / math.sqrt(dim / heads) * ATTENTION_PER_NAT
    out[f"{name}.score.scale"] = np.array([score], np.float32)
    projection = attention.out_proj
    residual = grid / RESIDUAL_STEPS
    _linear(
        out,
        f"{name}.attended",
        projection.weight,
        projection.bias,
        grids[2] / ATTENDED_STEPS,
        ATTENDED_LIMIT,
        residual,
    )
    middle = _normed_grid(ranges[f"{name}.norm1"], ranges[f"{name}.down"])
    _norm(out, f"{name}.norm1", layer.norm1, residual, middle)
    residual = middle / RESIDUAL_STEPS
    _feed_forward(out, name, layer, ranges[f"{name}.hidden"], middle, residual)
    _norm(out, f"{name}.norm2", layer.norm2, residual, last)


def _feed_forward(
    out: dict[str, Array], name: str, network: Any, hidden: float, grid_in: float, grid_out: float
) -> None:
    """Quantise `linear1`, GELU and `linear2` of a network whose hidden values reach up to `hidden`."""
    up, down, unit = network.linear1, network.linear2, hidden / HIDDEN_LIMIT
    _linear(out, f"{name}.up", up.weight, up.bias, grid_in, ACTIVATION_LIMIT, unit)
    steps = torch.arange(-HIDDEN_LIMIT, HIDDEN_LIMIT + 1) * unit
    activated = nn.functional.gelu(steps.double()).numpy()
    after = np.abs(activated).max() / GELU_LIMIT
    out[f"{name}.gelu"] = np.rint(activated / after).astype(np.int16)
    _linear(out, f"{name}.down", down.weight, down.bias, after, GELU_LIMIT, grid_out)


def _normed_grid(normed: float, added: float) -> float:
    """A grid for what a norm gives, whose fine steps also span what is added to it before the next norm."""
    return max(normed / ACTIVATION_LIMIT, added * RESIDUAL_STEPS / RESIDUAL_LIMIT)


def _linear(
    out: dict[str, Array],
    name: str,
    weight: Tensor,
    bias: Tensor,
    grid_in: float,
    limit: int,
    grid_out: float | Array,
) -> None:
    """Quantise a layer; each column's grid uses int8 as far as its sums stay under 2**24."""
    columns = weight.detach().double().numpy().T
    offset = bias.detach().double().numpy() / grid_in
    largest = np.abs(columns).max(0) + 1e-12
    per_unit = 127 / largest
    room = (EXACT_FLOAT32 - 2 * limit * len(columns)) / (np.abs(columns).sum(0) * limit + np.abs(offset))
    per_unit = np.minimum(per_unit, room)
    out[f"{name}.weight"] = np.rint(columns * per_unit).astype(np.int8)
    out[f"{name}.bias"] = np.rint(offset * per_unit).astype(np.int32)
    out[f"{name}.scale"] = (grid_in / per_unit / grid_out).astype(np.float32)


def _norm(out: dict[str, Array], name: str, norm: Any, grid_in: float, grid_out: float) -> None:
    channels = len(norm.weight)
    out[f"{name}.gain"] = (norm.weight.detach().numpy() / grid_out).astype(np.float32)
    out[f"{name}.bias"] = (norm.bias.detach().numpy() / grid_out).astype(np.float32)
    out[f"{name}.epsilon"] = np.array([norm.eps * (channels / grid_in) ** 2], np.float32)


def _table(out: dict[str, Array], name: str, table: Tensor, unit: float) -> float:
    """Quantise `[books, rows, dim]` to int8, each book's grid a power of two times `unit`."""
    values = table.detach().double().numpy()
    grids = np.abs(values).max(axis=(1, 2)) / 127
    shift = np.maximum(0, np.ceil(np.log2(np.maximum(grids, 1e-12) / unit)))
    out[f"{name}.shift"] = shift.astype(np.int8)
    out[name] = np.rint(values / (unit * 2 ** shift[:, None, None])).astype(np.int8)
    return unit


def _falling(length: int, one: int, per_nat: int) -> Array:
    """exp(−i / per_nat) in whole numbers, ending in zero or the smallest weight that counts."""
    return np.rint(one * np.exp(-np.arange(length) / per_nat)).astype(np.int32)
