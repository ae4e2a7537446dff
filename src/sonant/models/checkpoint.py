"""Checkpoints in PyTorch's own format, read without running any code they may hold."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import torch

from sonant.errors import WeightsError
from sonant.models.layouts import Array


def read_checkpoint(path: Path) -> dict[str, Array]:
    """The tensors of a state dict, as float32 arrays.

    Raises:
        WeightsError: if the file is damaged or holds anything but tensors.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        return {key: np.asarray(value.float().numpy()) for key, value in state.items()}
    except (OSError, RuntimeError, AttributeError, EOFError, pickle.UnpicklingError) as error:
        reason = str(error).partition("\n")[0]
        raise WeightsError(f"{path}: cannot read the checkpoint ({reason})") from None
