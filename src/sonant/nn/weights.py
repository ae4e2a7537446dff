"""Weights in and out of the PyTorch networks, as arrays under the names of `sonant.models`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from sonant.errors import WeightsError
from sonant.models.layouts import Weights
from sonant.nn.codec import CodecNetwork
from sonant.nn.conv import Conv1d, ConvTranspose1d


def _name(path: str) -> str:
    return path.replace(".layers.", ".").removesuffix(".layer")


def _convolutions(network: CodecNetwork) -> Iterator[tuple[str, Conv1d | ConvTranspose1d]]:
    for path, module in network.named_modules():
        if isinstance(module, Conv1d | ConvTranspose1d):
            yield _name(path), module


def _plain_parameters(network: CodecNetwork) -> Iterator[tuple[str, Tensor]]:
    """Biases, norms and recurrent weights: all that is stored as it is."""
    for name, layer in _convolutions(network):
        yield f"{name}.bias", layer.bias
        if layer.norm is not None:
            yield f"{name}.norm.weight", layer.norm.weight
            yield f"{name}.norm.bias", layer.norm.bias
    for path, module in network.named_modules():
        if isinstance(module, nn.LSTM):
            for part, parameter in module.named_parameters():
                yield f"{_name(path)}.{part}", parameter


def export_weights(network: CodecNetwork) -> Weights:
    """All weights of a network, weight normalisation folded, float32."""
    weights = {f"{name}.weight": layer.folded_weight() for name, layer in _convolutions(network)}
    weights |= dict(_plain_parameters(network))
    weights["codebooks"] = network.quantizer.codebooks
    return {name: w.detach().float().cpu().numpy().copy() for name, w in weights.items()}


def load_weights(network: CodecNetwork, weights: Mapping[str, np.ndarray], frames: int = 600) -> None:
    """Fill a network; fewer codebooks than it has leave the others to be started by k-means.

    Args:
        frames: frames per training batch, for the moving averages of the codebooks.

    Raises:
        WeightsError: if some are missing or of another size.
    """
    for name, layer in _convolutions(network):
        layer.set_weight(_fitting(weights, f"{name}.weight", layer.folded_weight().shape))
    with torch.no_grad():
        for name, parameter in _plain_parameters(network):
            parameter.copy_(_fitting(weights, name, parameter.shape))
    books = network.quantizer.codebooks
    count = min(len(books), len(weights.get("codebooks", books)))
    network.quantizer.adopt_codebooks(
        _fitting(weights, "codebooks", torch.Size([count, *books.shape[1:]])), frames
    )


def _fitting(weights: Mapping[str, np.ndarray], name: str, shape: torch.Size) -> Tensor:
    if name not in weights:
        raise WeightsError(f"the weights lack {name}")
    if weights[name].shape != shape:
        raise WeightsError(f"{name} is of shape {weights[name].shape}, not {tuple(shape)}")
    return torch.from_numpy(weights[name])
