"""Safetensors files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save


def write_tensors(
    path: Path, tensors: Mapping[str, NDArray[Any]], metadata: dict[str, str] | None = None
) -> None:
    """Write a file as other files are: safetensors' own makes it private, and has its own errors.

    Raises:
        OSError: if it cannot be written.
    """
    path.write_bytes(save({name: np.ascontiguousarray(array) for name, array in tensors.items()}, metadata))
