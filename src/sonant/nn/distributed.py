"""The few collective operations of training; on one process they do nothing."""

from __future__ import annotations

import time

import torch
from torch import Tensor, distributed

MOMENT = 0.2


def is_distributed() -> bool:
    """Whether several processes train together."""
    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1


def all_sum(*tensors: Tensor) -> None:
    """Replace each tensor by its sum over the ranks."""
    if is_distributed():
        for tensor in tensors:
            distributed.all_reduce(tensor)


def all_max(*tensors: Tensor) -> None:
    """Replace each tensor by its maximum over the ranks."""
    if is_distributed():
        for tensor in tensors:
            distributed.all_reduce(tensor, distributed.ReduceOp.MAX)


def largest(device: torch.device, *values: float) -> list[float]:
    """The largest of each value over the ranks, whose devices are given."""
    tensor = torch.tensor(values, dtype=torch.float64)
    if is_distributed():
        tensor = tensor.to(device)
        all_max(tensor)
    return tensor.tolist()


def means_over_ranks(device: torch.device, values: dict[str, float]) -> dict[str, float]:
    """The mean of each value over the ranks, whose devices are given; all have the same names."""
    if not is_distributed():
        return values
    tensor = torch.tensor([*values.values()], device=device)
    average_over_ranks(tensor)
    return dict(zip(values, tensor.tolist(), strict=True))


def leave() -> None:
    """End together, once every rank has done what was left to it; nothing collective comes after.

    Gloo's thread needs the interpreter to let go of the last tensors that it was given, and whatever takes
    it down waits for that thread with the interpreter held: it is given a moment before.
    """
    if is_distributed():
        distributed.barrier()
        time.sleep(MOMENT)
        distributed.destroy_process_group()


def broadcast_first(*tensors: Tensor) -> None:
    """Replace each tensor by that of rank 0."""
    if is_distributed():
        for tensor in tensors:
            distributed.broadcast(tensor, 0)


def world_size() -> int:
    """How many processes train together."""
    return distributed.get_world_size() if is_distributed() else 1


def average_over_ranks(*tensors: Tensor) -> None:
    """Replace each tensor by its mean over the ranks."""
    all_sum(*tensors)
    for tensor in tensors:
        tensor.div_(world_size())


def all_gather_rows(rows: Tensor) -> Tensor:
    """The rows of all ranks, rank by rank; every rank brings as many."""
    if not is_distributed():
        return rows
    gathered = [torch.empty_like(rows) for _ in range(distributed.get_world_size())]
    distributed.all_gather(gathered, rows.contiguous())
    return torch.cat(gathered)
