"""The file of an integer language model: safetensors, with its config and its codec in the metadata."""

from __future__ import annotations

import hashlib
from pathlib import Path

from safetensors import SafetensorError, safe_open

from sonant.config import LanguageModelConfig
from sonant.entropy.checked_tensors import Tensors
from sonant.entropy.integer_lm import IntegerLanguageModel
from sonant.errors import ConfigError, WeightsError
from sonant.tensor_files import write_tensors
from sonant.whole_files import replacing

CONFIG_KEY = "sonant.language_model"
CODEC_KEY = "sonant.codec_hash"


def save_language_model(path: Path, config: LanguageModelConfig, tensors: Tensors, codec_hash: str) -> None:
    """Write a model for the codec whose weights have the SHA-256 `codec_hash`, atomically."""
    metadata = {CONFIG_KEY: config.to_json(), CODEC_KEY: codec_hash}
    with replacing(path) as temporary:
        write_tensors(temporary, tensors, metadata)


def load_language_model(path: Path, codec_hash: str | None = None) -> IntegerLanguageModel:
    """Read a model and check everything that exactness rests on.

    Args:
        path: of the file.
        codec_hash: SHA-256 of the codec's weights; None takes a model of any codec.

    Raises:
        WeightsError: if it cannot be read, is not exact, or belongs to another codec.
    """
    config, tensors, codec = read_language_model(path)
    if codec_hash is not None and codec != codec_hash:
        raise WeightsError(f"{path}: is the language model of another codec")
    return IntegerLanguageModel(config, tensors, hashlib.sha256(path.read_bytes()).hexdigest())


def is_of_another_kind(path: Path) -> bool:
    """Whether a safetensors file holds something else, such as the official model in float32."""
    try:
        with safe_open(path, framework="np") as file:
            return CONFIG_KEY not in (file.metadata() or {})
    except (SafetensorError, OSError):
        return False


def read_language_model(path: Path) -> tuple[LanguageModelConfig, Tensors, str | None]:
    """Sizes and tensors of a model, and the SHA-256 of its codec's weights.

    Raises:
        WeightsError: if it cannot be read.
    """
    try:
        with safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, TypeError, AttributeError) as error:  # types that NumPy has not
        raise WeightsError(f"{path}: cannot read the language model ({error})") from None
    if CONFIG_KEY not in metadata:
        raise WeightsError(f"{path}: holds no language model")
    try:
        config = LanguageModelConfig.from_json(metadata[CONFIG_KEY])
    except (ConfigError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise WeightsError(f"{path}: cannot read the language model ({error})") from None
    return config, tensors, metadata.get(CODEC_KEY)
