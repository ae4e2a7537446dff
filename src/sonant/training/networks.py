"""The networks that a recipe asks for."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

from torch import nn

from sonant.config import CodecConfig
from sonant.errors import WeightsError
from sonant.models.registry import load_model
from sonant.nn.codec import CodecNetwork
from sonant.nn.deepening import start_as_shallower
from sonant.nn.discriminators import Discriminators, multi_scale_stft
from sonant.nn.initialization import initialise
from sonant.nn.soft_quantizers import DiffQuantizer, GumbelQuantizer
from sonant.nn.waveform_discriminators import ResidualSTFTDiscriminator, multi_period, multi_scale
from sonant.nn.weights import load_weights
from sonant.nn.widening import start_as_narrower
from sonant.training.discriminator_files import load_discriminators
from sonant.training.recipe import Recipe

MAY_DIFFER = ("name", "n_q", "bandwidths")


def frames_per_batch(recipe: Recipe) -> int:
    """Latent vectors in one batch, over all processes."""
    data, model = recipe.data, recipe.model
    return data.batch_size * model.frames_for(int(data.seconds * model.sample_rate))


def build_codec(recipe: Recipe, resumes: bool = False) -> CodecNetwork:
    """A codec with fresh weights, or those that the recipe starts from.

    A run that resumes has its own, and what it started from need not be there any more.

    Raises:
        WeightsError: if the weights cannot be read or are of another model.
    """
    model = recipe.model
    network = CodecNetwork(model, recipe.beam, recipe.codebook_decay)
    initialise(network)
    if recipe.start and not resumes:
        _start_from(network, recipe.start, frames_per_batch(recipe))
    if recipe.quantizer == "diffq":
        replacement: nn.Module = DiffQuantizer(model.dimension, model.bits_per_code)
        network.quantizer = replacement  # type: ignore[assignment]
    elif recipe.quantizer == "gumbel":
        replacement = GumbelQuantizer(model.dimension, model.n_q, model.bins)
        network.quantizer = replacement  # type: ignore[assignment]
    if recipe.decoder_only:
        network.encoder.requires_grad_(False)
    return network


def _start_from(network: CodecNetwork, name: str, frames: int) -> None:
    """Begin as a model that is alike, or has fewer residual units or filters."""
    found, wanted = load_model(name), network.config
    units, filters = found.config.n_residual_layers, found.config.n_filters
    shallower = units < wanted.n_residual_layers and wanted.norm != "time_group_norm"
    narrower = filters < wanted.n_filters and wanted.n_filters % filters == 0
    wide = replace(wanted, n_residual_layers=units) if shallower else wanted
    narrow = replace(wide, n_filters=filters) if narrower else wide
    _check_same_model(name, found.config, narrow)
    begun = CodecNetwork(narrow) if shallower or narrower else network
    load_weights(begun, found.weights, frames)
    if narrower:
        wider = CodecNetwork(wide) if shallower else network
        start_as_narrower(wider, begun)
        begun = wider
    if shallower:
        start_as_shallower(network, begun)


def _check_same_model(path: str, found: CodecConfig, wanted: CodecConfig) -> None:
    other = asdict(wanted)
    for key, value in asdict(found).items():
        if key not in MAY_DIFFER and value != other[key]:
            raise WeightsError(f"{path}: its model has {key} = {value}, that of the recipe {other[key]}")


def build_discriminators(recipe: Recipe, resumes: bool = False) -> dict[int, Discriminators]:
    """Discriminators by number of codebooks; the key 0 stands for all, none if the recipe has none.

    They begin as `build_codec` says.

    Raises:
        WeightsError: if the weights to start from cannot be read or are of others.
    """
    part = recipe.discriminator
    if part.start_step < 0:
        return {}
    keys = sorted(set(recipe.codebook_choices)) if part.per_bandwidth else [0]
    discriminators = {key: _discriminators(recipe) for key in keys}
    if part.start and not resumes:
        load_discriminators(Path(part.start), discriminators)
    return discriminators


def _discriminators(recipe: Recipe) -> Discriminators:
    part, scales = recipe.discriminator, list[nn.Module]()
    for kind in part.kinds:
        if kind == "ms-stft":
            scales += multi_scale_stft(part.windows, part.filters)
        elif kind == "mpd":
            scales += multi_period(part.period_filters)
        elif kind == "msd":
            scales += multi_scale(part.filters)
        else:
            scales.append(ResidualSTFTDiscriminator(filters=part.filters))
    return Discriminators(scales, part.emphasis, part.band)
