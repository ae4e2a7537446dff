"""A codec's weights for other software."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sonant.config import CodecConfig
from sonant.errors import ConfigError
from sonant.models.layouts import Weights, to_transformers
from sonant.models.official import config_to_transformers
from sonant.tensor_files import write_tensors
from sonant.whole_files import replacing_output, write_output


def export_transformers(config: CodecConfig, weights: Weights, folder: Path) -> None:
    """Write a folder that `transformers.EncodecModel.from_pretrained` loads (float32).

    Of a model with segments it codes the last one filled up with zeros, where `Codec` codes it as it is.

    Raises:
        ConfigError: if there is no such model in Transformers.
    """
    if not config.lstm_layers:
        raise ConfigError(f"{config.name} has no LSTM, without which Transformers has no EnCodec")
    folder.mkdir(parents=True, exist_ok=True)
    texts = {"config": config_to_transformers(config), "preprocessor_config": _feature_extractor(config)}
    for name, values in texts.items():
        write_output(folder / f"{name}.json", json.dumps(values, indent=2) + "\n")
    with replacing_output(folder / "model.safetensors") as temporary:
        write_tensors(temporary, to_transformers(weights, config), {"format": "pt"})


def _feature_extractor(config: CodecConfig) -> dict[str, Any]:
    """What `AutoProcessor` prepares audio with."""
    return {
        "feature_extractor_type": "EncodecFeatureExtractor",
        "feature_size": config.channels,
        "sampling_rate": config.sample_rate,
        "padding_side": "right",
        "padding_value": 0.0,
        "return_attention_mask": True,
        "chunk_length_s": config.segment,
        "overlap": None if config.segment is None else config.overlap,
    }
