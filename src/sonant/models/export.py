"""A codec's weights for other software."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from sonant.config import CodecConfig
from sonant.errors import ConfigError
from sonant.models.layouts import Weights, to_transformers
from sonant.models.official import config_to_transformers


def export_transformers(config: CodecConfig, weights: Weights, folder: Path) -> None:
    """Write a folder that `transformers.EncodecModel.from_pretrained` loads (float32).

    Of a model with segments it codes the last one filled up with zeros, where `Codec` codes it as it is.

    Raises:
        ConfigError: if there is no such model in Transformers.
    """
    if not config.lstm_layers:
        raise ConfigError(f"{config.name} has no LSTM, without which Transformers has no EnCodec")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config_to_transformers(config), indent=2) + "\n")
    tensors = {key: np.ascontiguousarray(v) for key, v in to_transformers(weights, config).items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
