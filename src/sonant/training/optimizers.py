"""The optimisers that a recipe asks for."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from sonant.nn.lstm import GATES
from sonant.training.muon import Muon

SMALLEST_MATRIX = 8
QUERIES_KEYS_VALUES = 3


def make_optimizers(
    network: nn.Module, kind: str, rate: float, betas: tuple[float, float]
) -> list[torch.optim.Optimizer]:
    """Adam for all that learns; of the kind "muon", Muon for matrices and kernels and Adam for the rest."""
    learning = {name: p for name, p in network.named_parameters() if p.requires_grad}
    matrices = {name: p for name, p in learning.items() if kind == "muon" and _is_matrix(name, p)}
    rest = [p for name, p in learning.items() if name not in matrices]
    optimizers: list[torch.optim.Optimizer] = [torch.optim.Adam(rest, rate, betas=betas)]
    if matrices:
        gates = [p for name, p in matrices.items() if _is_lstm(name)]
        others = [p for name, p in matrices.items() if not _is_lstm(name)]
        muon = Muon([{"params": others}], rate)
        if gates:
            muon.add_param_group({"params": gates, "blocks": GATES})
        optimizers.append(muon)
    return optimizers


def make_lm_optimizers(
    network: nn.Module, kind: str, rate: float, weight_decay: float
) -> list[torch.optim.Optimizer]:
    """AdamW; of the kind "muon", Muon for the matrices between embeddings and output layers."""
    learning = dict(network.named_parameters())
    hidden = {name: p for name, p in learning.items() if kind == "muon" and _is_hidden_matrix(name, p)}
    rest = [p for name, p in learning.items() if name not in hidden]
    adam = torch.optim.AdamW(rest, rate, betas=(0.9, 0.95), weight_decay=weight_decay, fused=True)
    if not hidden:
        return [adam]
    attention = [p for name, p in hidden.items() if name.endswith("in_proj_weight")]
    others = [p for name, p in hidden.items() if not name.endswith("in_proj_weight")]
    return [adam, Muon([{"params": others}, {"params": attention, "blocks": QUERIES_KEYS_VALUES}], rate)]


def load_moments(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Go on from the moments of a checkpoint, with the settings that the optimiser has now."""
    settings = [
        {key: value for key, value in group.items() if key != "params"} for group in optimizer.param_groups
    ]
    optimizer.load_state_dict(state)
    for group, now in zip(optimizer.param_groups, settings, strict=True):
        group.update(now)


def _is_matrix(name: str, parameter: nn.Parameter) -> bool:
    sizes = len(parameter), parameter[0].numel()
    return "weight" in name and min(sizes) >= SMALLEST_MATRIX


def _is_hidden_matrix(name: str, parameter: nn.Parameter) -> bool:
    return parameter.dim() == 2 and ("transformer." in name or ".feed_forward." in name)


def _is_lstm(name: str) -> bool:
    return name.rpartition(".")[2].startswith(("weight_ih_", "weight_hh_"))
