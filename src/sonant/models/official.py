"""The two published models, and configs read off weights or off a 🤗 Transformers `config.json`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sonant.config import CodecConfig
from sonant.errors import ConfigError, WeightsError
from sonant.models.layouts import Array

ENCODEC_24KHZ = CodecConfig("encodec_24khz", 24_000, pad_mode="reflect")
ENCODEC_48KHZ = CodecConfig(
    "encodec_48khz",
    48_000,
    channels=2,
    causal=False,
    pad_mode="reflect",
    norm="time_group_norm",
    n_q=16,
    bandwidths=(3.0, 6.0, 12.0, 24.0),
    normalize=True,
    segment=1.0,
)

ENCODEC_32KHZ = CodecConfig(
    "encodec_32khz",
    32_000,
    causal=False,
    pad_mode="reflect",
    n_filters=64,
    ratios=(8, 5, 4, 4),
    true_skip=True,
    n_q=4,
    bins=2048,
    bandwidths=(2.2,),
)
"""The codec of MusicGen."""

HUB_NAMES = {
    "facebook/encodec_24khz": ENCODEC_24KHZ,
    "facebook/encodec_32khz": ENCODEC_32KHZ,
    "facebook/encodec_48khz": ENCODEC_48KHZ,
}


def infer_config(tensors: Mapping[str, Array]) -> CodecConfig:
    """The config of weights in the official layout, from their names and shapes.

    Raises:
        WeightsError: if they are those of no EnCodec model.
    """
    grouped = "encoder.model.0.conv.norm.weight" in tensors
    base = ENCODEC_48KHZ if grouped else ENCODEC_24KHZ
    first, last = "encoder.model.0.conv.conv", "encoder.model.15.conv.conv"
    try:
        n_filters = len(tensors[f"{first}.bias"])
        dimension = len(tensors[f"{last}.bias"])
    except KeyError as error:
        raise WeightsError(f"the weights lack {error.args[0]}; they are of another model") from None
    n_q = sum(key.endswith("._codebook.embed") for key in tensors)
    if not n_q:
        raise WeightsError("the weights lack codebooks; they are of another model")
    bandwidths = tuple(b for b in base.bandwidths if base.codebooks_for(b) <= n_q)
    return replace(base, n_filters=n_filters, dimension=dimension, n_q=n_q, bandwidths=bandwidths)


TRANSFORMERS_KEYS = {
    "sampling_rate": "sample_rate",
    "audio_channels": "channels",
    "use_causal_conv": "causal",
    "pad_mode": "pad_mode",
    "norm_type": "norm",
    "hidden_size": "dimension",
    "num_filters": "n_filters",
    "upsampling_ratios": "ratios",
    "kernel_size": "kernel_size",
    "last_kernel_size": "last_kernel_size",
    "residual_kernel_size": "residual_kernel_size",
    "num_residual_layers": "n_residual_layers",
    "dilation_growth_rate": "dilation_base",
    "compress": "compress",
    "num_lstm_layers": "lstm_layers",
    "codebook_size": "bins",
    "target_bandwidths": "bandwidths",
    "normalize": "normalize",
    "chunk_length_s": "segment",
    "overlap": "overlap",
}


def config_from_transformers(values: Mapping[str, Any], name: str) -> CodecConfig:
    """The config in a `config.json` of `transformers.EncodecModel`; what it lacks is as in `encodec_24khz`.

    Raises:
        ConfigError: if it is of a model that cannot be built here.
    """
    if values.get("use_causal_conv", True) and values.get("trim_right_ratio", 1.0) != 1.0:
        raise ConfigError("a causal model has a trim_right_ratio of 1")
    ours: dict[str, Any] = {
        **{"sample_rate": ENCODEC_24KHZ.sample_rate, "pad_mode": ENCODEC_24KHZ.pad_mode},
        **{new: values[old] for old, new in TRANSFORMERS_KEYS.items() if old in values},
    }
    ours["true_skip"] = not values.get("use_conv_shortcut", True)
    ours["bandwidths"] = tuple(ours.get("bandwidths", ENCODEC_24KHZ.bandwidths))
    if ours.get("segment") is None:
        ours.pop("overlap", None)
    bare = CodecConfig.from_dict({"name": name, **ours, "bandwidths": ()})
    n_q = max(map(bare.codebooks_for, ours["bandwidths"]))
    return replace(bare, n_q=n_q, bandwidths=ours["bandwidths"])


def config_to_transformers(config: CodecConfig) -> dict[str, Any]:
    """The `config.json` with which `transformers.EncodecModel` loads a model exported to it."""
    values: dict[str, Any] = {old: getattr(config, new) for old, new in TRANSFORMERS_KEYS.items()}
    if config.norm == "none":
        values["norm_type"] = "weight_norm"
    if config.segment is None:
        values["overlap"] = None
    return values | {
        "architectures": ["EncodecModel"],
        "model_type": "encodec",
        "codebook_dim": config.dimension,
        "trim_right_ratio": 1.0,
        "use_conv_shortcut": not config.true_skip,
    }
