"""Processes and devices, by Lightning Fabric: one, several on a machine, or what torchrun started."""

from __future__ import annotations

import os
import sys

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies import DDPStrategy


def multiplies_bfloat16(device: torch.device) -> bool:
    """Whether products in bfloat16 are as fast as in float32; they are far slower without AVX-512."""
    return device.type != "cpu" or torch.backends.cpu.get_cpu_capability().startswith("AVX512")


def affordable(precision: str, device: torch.device) -> str:
    """`precision`, or 32-true where `device` would be far slower in it."""
    return "32-true" if "bf16" in precision and not multiplies_bfloat16(device) else precision


def _say_precision(wanted: str, taken: str) -> None:
    """Tell that a run is in another precision than its recipe asks for."""
    if taken != wanted:
        print(f"this processor is slow in {wanted}: training in {taken}", file=sys.stderr)


def make_fabric(devices: int, precision: str, threads: int = 0, some_unused: bool = False) -> Fabric:
    """The Fabric of a run; with several processes, gradients are averaged by DDP.

    Buffers are not broadcast: the codebooks are equal on all ranks by construction. Processes on CPUs
    keep to cores of their own, and to float32 where they cannot multiply bfloat16.

    Args:
        devices: processes on this machine, unless torchrun has started them.
        precision: as Fabric names it.
        threads: of PyTorch on a CPU; 0 leaves it alone.
        some_unused: not every parameter has a part in every step.
    """
    if threads:
        torch.set_num_threads(threads)
    machines = 1
    if "LOCAL_WORLD_SIZE" in os.environ:
        devices = int(os.environ["LOCAL_WORLD_SIZE"])
        machines = int(os.environ["WORLD_SIZE"]) // devices
    strategy: str | DDPStrategy = "auto"
    if devices * machines > 1:
        strategy = DDPStrategy(broadcast_buffers=False, find_unused_parameters=some_unused)
    taken = affordable(precision, torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    fabric = Fabric(
        devices=devices,
        num_nodes=machines,
        precision=taken,  # type: ignore[arg-type]
        strategy=strategy,
    )
    fabric.launch()
    if fabric.is_global_zero:
        _say_precision(precision, taken)
    if fabric.device.type == "cpu" and devices > 1:
        keep_to_own_cores(fabric.local_rank, devices)
    return fabric


def keep_to_own_cores(rank: int, processes: int, process: int = 0) -> None:
    """Bind a process, this one by default, to its share of the cores, where the system can."""
    if not hasattr(os, "sched_setaffinity"):
        return
    cores = sorted(os.sched_getaffinity(0))
    if share := len(cores) // processes:
        os.sched_setaffinity(process, cores[rank * share : (rank + 1) * share])
