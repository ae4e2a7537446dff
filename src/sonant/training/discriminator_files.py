"""The discriminators' weights as a file, from which another run's discriminators can start."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from sonant.errors import WeightsError
from sonant.tensor_files import write_tensors
from sonant.whole_files import replacing

DISCRIMINATORS_NAME = "discriminators.safetensors"


def save_discriminators(path: Path, discriminators: Mapping[int, nn.Module]) -> None:
    """Write all of them in float16, atomically; their keys, numbers of codebooks, lead the names."""
    halves = {
        f"{key}.{name}": value.half().numpy(force=True)
        for key, network in discriminators.items()
        for name, value in network.state_dict().items()
    }
    with replacing(path) as temporary:
        write_tensors(temporary, halves)


def load_discriminators(path: Path, discriminators: Mapping[int, nn.Module]) -> None:
    """Set the weights of discriminators of the same kinds, sizes and keys.

    Raises:
        WeightsError: if the file cannot be read, or holds others.
    """
    try:
        weights = load_file(path)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path}: cannot read the discriminators ({error})") from None
    holder = nn.ModuleDict({str(key): network for key, network in discriminators.items()})
    try:
        holder.load_state_dict({name: value.to(torch.float32) for name, value in weights.items()})
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise WeightsError(f"{path}: holds discriminators of other kinds or sizes ({reason})") from None
