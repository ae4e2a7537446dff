"""The weights file: safetensors, float16, with the model's config in its metadata."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from sonant.config import CodecConfig
from sonant.errors import ConfigError, WeightsError
from sonant.models.layouts import Weights
from sonant.tensor_files import write_tensors
from sonant.whole_files import replacing

CONFIG_KEY = "sonant.codec"


def save_weights(path: Path, weights: Weights, config: CodecConfig) -> None:
    """Write a codec's weights in float16, atomically."""
    halves = {name: array.astype(np.float16) for name, array in weights.items()}
    with replacing(path) as temporary:
        write_tensors(temporary, halves, {CONFIG_KEY: config.to_json()})


def load_weights(path: Path) -> tuple[Weights, CodecConfig]:
    """Read a weights file as float32 arrays, with its config.

    Raises:
        WeightsError: if it is damaged or holds no Sonant codec.
    """
    try:
        with safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
            weights = {key: file.get_tensor(key).astype(np.float32) for key in list(file.keys())}
    except (SafetensorError, OSError, TypeError, AttributeError) as error:  # types that NumPy has not
        raise WeightsError(f"{path}: cannot read the weights ({error})") from None
    if CONFIG_KEY not in metadata:
        raise WeightsError(f"{path}: holds no Sonant codec; `sonant models` lists what can be used")
    try:
        return weights, CodecConfig.from_json(metadata[CONFIG_KEY])
    except ConfigError as error:
        raise WeightsError(f"{path}: its config makes no sense ({error})") from None


def load_config(path: Path) -> CodecConfig:
    """The config in a weights file."""
    with safe_open(path, framework="np") as file:
        return CodecConfig.from_json(file.metadata()[CONFIG_KEY])


def is_sonant(path: Path) -> bool:
    """Whether a safetensors file says that it is a Sonant codec."""
    try:
        with safe_open(path, framework="np") as file:
            return CONFIG_KEY in (file.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path}: cannot read the weights ({error})") from None


def weights_hash(path: Path) -> str:
    """SHA-256 of a weights file, in hexadecimal."""
    with open(path, "rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
        return digest.hexdigest()
