"""Names of the weights: ours, those of the official checkpoints, those of 🤗 Transformers.

Inside Sonant a codec's weights are a flat dictionary of arrays with readable names (`encoder.0`,
`decoder.4.narrow`, …), weight normalisation folded, codebooks stacked `[n_q, bins, D]`. The number
after the network is the layer's place in the chain, as in `sonant.nn.seanet`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sonant.config import CodecConfig
from sonant.errors import WeightsError

Array = NDArray[np.float32]
Weights = dict[str, Array]


@dataclass(frozen=True)
class Layer:
    """One convolution or recurrent layer: its name here and in the official layout."""

    name: str
    official: str
    transposed: bool = False


def convolutions(config: CodecConfig) -> Iterator[Layer]:
    """Every convolution of a codec, encoder first, in the order of the signal."""
    yield from _encoder(config)
    yield from _decoder(config)


def _layer(network: str, ours: str, theirs: str, transposed: bool = False) -> Layer:
    kind = "convtr" if transposed else "conv"
    return Layer(f"{network}.{ours}", f"{network}.model.{theirs}.{kind}.{kind}", transposed)


def _residual_unit(config: CodecConfig, network: str, ours: int, theirs: int) -> Iterator[Layer]:
    yield _layer(network, f"{ours}.narrow", f"{theirs}.block.1")
    yield _layer(network, f"{ours}.widen", f"{theirs}.block.3")
    if not config.true_skip:
        yield _layer(network, f"{ours}.shortcut", f"{theirs}.shortcut")


def _encoder(config: CodecConfig) -> Iterator[Layer]:
    yield _layer("encoder", "0", "0")
    ours, theirs = 1, 1
    for _ in config.ratios:
        for _ in range(config.n_residual_layers):
            yield from _residual_unit(config, "encoder", ours, theirs)
            ours, theirs = ours + 1, theirs + 1
        yield _layer("encoder", f"{ours}", f"{theirs + 1}")
        ours, theirs = ours + 1, theirs + 2
    yield _layer("encoder", f"{ours + 1}", f"{theirs + bool(config.lstm_layers) + 1}")


def _decoder(config: CodecConfig) -> Iterator[Layer]:
    yield _layer("decoder", "0", "0")
    ours, theirs = 2, 1 + bool(config.lstm_layers)
    for _ in config.ratios:
        yield _layer("decoder", f"{ours}", f"{theirs + 1}", transposed=True)
        ours, theirs = ours + 1, theirs + 2
        for _ in range(config.n_residual_layers):
            yield from _residual_unit(config, "decoder", ours, theirs)
            ours, theirs = ours + 1, theirs + 1
    yield _layer("decoder", f"{ours}", f"{theirs + 1}")


def recurrences(config: CodecConfig) -> Iterator[Layer]:
    """The LSTM of the encoder and that of the decoder."""
    if config.lstm_layers:
        units = len(config.ratios) * config.n_residual_layers
        here = 1 + units + len(config.ratios)
        there = 1 + units + 2 * len(config.ratios)
        yield Layer(f"encoder.{here}", f"encoder.model.{there}.lstm")
        yield Layer("decoder.1", "decoder.model.1.lstm")


def lstm_parts(config: CodecConfig) -> Iterator[str]:
    """The tensors of one LSTM, as PyTorch names them."""
    for layer in range(config.lstm_layers):
        for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            yield f"{part}_l{layer}"


def _fold(g: Array, v: Array) -> Array:
    """Weight normalisation undone: g · v / ‖v‖ over all but the first axis."""
    norm = np.sqrt(np.square(v.astype(np.float64)).sum(axis=(1, 2), keepdims=True))
    return (v * (g / np.maximum(norm, 1e-38))).astype(np.float32)


def _norm_and_direction(weight: Array) -> tuple[Array, Array]:
    norm = np.sqrt(np.square(weight.astype(np.float64)).sum(axis=(1, 2), keepdims=True))
    return norm.astype(np.float32), weight


class _Reader:
    """Tensors by their official names, of which a missing one is a sentence.

    Args:
        tensors: of a file.
        name_there: the file's name of a tensor of this official name.
    """

    def __init__(self, tensors: Mapping[str, Array], name_there: Callable[[str], str] = str) -> None:
        self._tensors, self._name_there = tensors, name_there

    def __contains__(self, key: str) -> bool:
        return self._name_there(key) in self._tensors

    def __getitem__(self, key: str) -> Array:
        name = self._name_there(key)
        try:
            return np.asarray(self._tensors[name], dtype=np.float32)
        except KeyError:
            raise WeightsError(f"the weights lack {name}; they are of another model") from None

    def convolution(self, name: str) -> Array:
        """The folded weight under any way of storing weight normalisation."""
        for g, v in (
            ("weight_g", "weight_v"),
            ("parametrizations.weight.original0", "parametrizations.weight.original1"),
        ):
            if f"{name}.{v}" in self:
                return _fold(self[f"{name}.{g}"], self[f"{name}.{v}"])
        return self[f"{name}.weight"]


def from_official(tensors: Mapping[str, Array], config: CodecConfig) -> Weights:
    """Official checkpoint names (with or without weight normalisation) to ours.

    Raises:
        WeightsError: if a tensor is missing.
    """
    return _ours(_Reader(tensors), config)


def from_transformers(tensors: Mapping[str, Array], config: CodecConfig) -> Weights:
    """Names of 🤗 Transformers to ours.

    Raises:
        WeightsError: if a tensor is missing.
    """
    return _ours(_Reader(tensors, _transformers_name), config)


def _ours(read: _Reader, config: CodecConfig) -> Weights:
    """The first that is missing ends it: a config may claim any number of layers."""
    weights: Weights = {}
    for layer in convolutions(config):
        weights[f"{layer.name}.weight"] = read.convolution(layer.official)
        weights[f"{layer.name}.bias"] = read[f"{layer.official}.bias"]
        if config.norm == "time_group_norm":
            norm = layer.official.rsplit(".", 1)[0] + ".norm"
            weights[f"{layer.name}.norm.weight"] = read[f"{norm}.weight"]
            weights[f"{layer.name}.norm.bias"] = read[f"{norm}.bias"]
    for layer in recurrences(config):
        for part in lstm_parts(config):
            weights[f"{layer.name}.{part}"] = read[f"{layer.official}.{part}"]
    books = [read[f"quantizer.vq.layers.{k}._codebook.embed"] for k in range(config.n_q)]
    weights["codebooks"] = np.stack(books)
    return weights


def to_official(weights: Mapping[str, Array], config: CodecConfig) -> Weights:
    """Our names to those of the official checkpoints, weight normalisation as g and v."""
    tensors: Weights = {}
    for layer in convolutions(config):
        weight, name = weights[f"{layer.name}.weight"], layer.official
        if config.norm == "time_group_norm":
            tensors[f"{name}.weight"] = weight
            norm = name.rsplit(".", 1)[0] + ".norm"
            tensors[f"{norm}.weight"] = weights[f"{layer.name}.norm.weight"]
            tensors[f"{norm}.bias"] = weights[f"{layer.name}.norm.bias"]
        else:
            tensors[f"{name}.weight_g"], tensors[f"{name}.weight_v"] = _norm_and_direction(weight)
        tensors[f"{name}.bias"] = weights[f"{layer.name}.bias"]
    for layer in recurrences(config):
        for part in lstm_parts(config):
            tensors[f"{layer.official}.{part}"] = weights[f"{layer.name}.{part}"]
    for k, book in enumerate(weights["codebooks"]):
        prefix = f"quantizer.vq.layers.{k}._codebook"
        tensors[f"{prefix}.embed"] = book
        tensors[f"{prefix}.embed_avg"] = book
        tensors[f"{prefix}.cluster_size"] = np.ones(len(book), np.float32)
        tensors[f"{prefix}.inited"] = np.ones(1, np.float32)
    return tensors


def _transformers_name(official: str) -> str:
    """The official layout to that of 🤗 Transformers, key by key."""
    name = official.replace(".model.", ".layers.")
    name = name.replace(".conv.conv.", ".conv.").replace(".convtr.convtr.", ".conv.")
    name = name.replace(".conv.norm.", ".norm.").replace(".convtr.norm.", ".norm.")
    name = name.replace("quantizer.vq.layers.", "quantizer.layers.")
    return name.replace("._codebook.", ".codebook.")


def to_transformers(weights: Mapping[str, Array], config: CodecConfig) -> Weights:
    """Our names to those of `transformers.EncodecModel`, weight normalisation as parametrised."""
    renamed = {_transformers_name(k): v for k, v in to_official(weights, config).items()}
    g, v = ".weight_g", ".weight_v"
    p = ".parametrizations.weight.original"
    return {key.replace(g, p + "0").replace(v, p + "1"): value for key, value in renamed.items()}


def is_transformers(tensors: Mapping[str, Array]) -> bool:
    """Whether the names are those of 🤗 Transformers."""
    return any(key.startswith("encoder.layers.") for key in tensors)


def is_official(tensors: Mapping[str, Array]) -> bool:
    """Whether the names are those of the official checkpoints."""
    return any(key.startswith("encoder.model.") for key in tensors)
