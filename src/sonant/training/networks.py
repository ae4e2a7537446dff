"""The networks that a recipe asks for."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from sonant.errors import ConfigError
from sonant.models.store import load_weights as load_weights_file
from sonant.nn.codec import CodecNetwork
from sonant.nn.discriminators import Discriminators, multi_scale_stft
from sonant.nn.initialization import initialise
from sonant.nn.soft_quantizers import DiffQuantizer, GumbelQuantizer
from sonant.nn.waveform_discriminators import ResidualSTFTDiscriminator, multi_period, multi_scale
from sonant.nn.weights import load_weights
from sonant.training.judges import load_discriminators
from sonant.training.recipe import Recipe


def frames_per_batch(recipe: Recipe) -> int:
    """Latent vectors in one batch, over all processes."""
    data, model = recipe.data, recipe.model
    return data.batch_size * model.frames_for(int(data.seconds * model.sample_rate))


def build_codec(recipe: Recipe) -> CodecNetwork:
    """A codec with fresh weights, or those that the recipe starts from.

    Raises:
        ConfigError: if the recipe starts a codec without codebooks from weights.
        WeightsError: if the weights cannot be read or are of another size.
    """
    model = recipe.model
    network = CodecNetwork(model, recipe.beam)
    initialise(network)
    if recipe.start:
        if recipe.quantizer != "rvq":
            raise ConfigError(f"a run with the quantizer {recipe.quantizer!r} cannot start from weights")
        weights, _ = load_weights_file(Path(recipe.start))
        load_weights(network, weights, frames_per_batch(recipe))
    if recipe.quantizer == "diffq":
        replacement: nn.Module = DiffQuantizer(model.dimension, model.bits_per_code)
        network.quantizer = replacement  # type: ignore[assignment]
    elif recipe.quantizer == "gumbel":
        replacement = GumbelQuantizer(model.dimension, model.n_q, model.bins)
        network.quantizer = replacement  # type: ignore[assignment]
    if recipe.decoder_only:
        network.encoder.requires_grad_(False)
    return network


def build_discriminators(recipe: Recipe) -> dict[int, Discriminators]:
    """Discriminators by number of codebooks; the key 0 stands for all, none if the recipe has none.

    Raises:
        WeightsError: if the weights to start from cannot be read or are of others.
    """
    part = recipe.discriminator
    if part.start_step < 0:
        return {}
    keys = sorted(set(recipe.codebook_choices)) if part.per_bandwidth else [0]
    discriminators = {key: _discriminators(recipe) for key in keys}
    if part.start:
        load_discriminators(Path(part.start), discriminators)
    return discriminators


def _discriminators(recipe: Recipe) -> Discriminators:
    part, scales = recipe.discriminator, list[nn.Module]()
    for kind in part.kinds:
        if kind == "ms-stft":
            scales += multi_scale_stft(part.windows, part.filters)
        elif kind == "mpd":
            scales += multi_period(part.filters)
        elif kind == "msd":
            scales += multi_scale(part.filters)
        else:
            scales.append(ResidualSTFTDiscriminator(filters=part.filters))
    return Discriminators(scales)
