"""Finding weights by name, path or hub id, in any of the layouts they come in."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from safetensors import SafetensorError, safe_open

from sonant.config import CodecConfig
from sonant.errors import ConfigError, WeightsError, extra_missing
from sonant.models import layouts, store
from sonant.models.hub import download
from sonant.models.layouts import Array, Weights
from sonant.models.official import HUB_NAMES, config_from_transformers, infer_config
from sonant.models.shapes import check_weights

BUNDLED = Path(__file__).parent
LAYOUTS = (".safetensors", ".th")
IN_A_FOLDER = "model.safetensors"
CHECKSUM_DIGITS = 8
OFFICIAL_CHECKPOINTS = ("encodec_24khz-d7cc33bc", "encodec_48khz-7e698e3e")
"""Names that the official tool checks: they end in the beginning of the file's SHA-256."""
OFFICIAL_NAMES = {repository.removeprefix("facebook/"): repository for repository in HUB_NAMES}


class Model(NamedTuple):
    """A model as it was found.

    Attributes:
        digest: SHA-256 of the file, in hexadecimal.
        shared: whether the weights are in a layout that other programs read, too.
        path: the file or folder.
    """

    config: CodecConfig
    weights: Weights
    digest: str
    shared: bool
    path: Path


def bundled_models() -> list[Path]:
    """The codecs that come with the package, by name."""
    return sorted(path for path in BUNDLED.glob("*.safetensors") if "." not in path.stem)


def is_bundled(name: str) -> bool:
    """Whether it is the name of a bundled model."""
    return BUNDLED / f"{name}.safetensors" in bundled_models()


def bundled_hash(name: str) -> str:
    """SHA-256 of the weights that are bundled under a name, in hexadecimal."""
    return store.weights_hash(BUNDLED / f"{name}.safetensors")


def is_known(name: str) -> bool:
    """Whether it is the name of a bundled or an official model."""
    return name in OFFICIAL_NAMES or is_bundled(name)


def find_model(name: str) -> tuple[Path, str]:
    """The file or folder of a model, and what it is called there.

    Args:
        name: a bundled name, an official name, a path, or a hub id.

    Raises:
        WeightsError: if there is none.
    """
    if name in OFFICIAL_NAMES:
        return download(OFFICIAL_NAMES[name]), name
    if is_bundled(name):
        return BUNDLED / f"{name}.safetensors", name
    path = Path(os.path.expanduser(name))  # noqa: PTH111 - Path's raises for users that are not there
    if os.path.exists(path):  # noqa: PTH110 - Path.exists raises on names that no file can have
        place = path.absolute().parent if path.name == IN_A_FOLDER else path.absolute()
        return path, place.name if place.is_dir() else place.stem
    if name.count("/") == 1 and path.suffix not in LAYOUTS:
        official = {repository: known for known, repository in OFFICIAL_NAMES.items()}
        return download(name), official.get(name, name)
    known = ", ".join([p.stem for p in bundled_models()] + list(OFFICIAL_NAMES))
    raise WeightsError(f"{name}: no such model; known are {known}, a file, a folder, or a hub id")


def known_config(name: str) -> CodecConfig:
    """The config of a bundled or official model, without loading its weights.

    Raises:
        WeightsError: if it is neither.
    """
    if name in OFFICIAL_NAMES:
        return HUB_NAMES[OFFICIAL_NAMES[name]]
    if is_bundled(name):
        return store.load_config(BUNDLED / f"{name}.safetensors")
    raise WeightsError(f"{name}: no such model")


def load_model(name: str) -> Model:
    """A model by its name, path or hub id.

    Raises:
        WeightsError: if it cannot be found, is damaged, or its tensors are not those of its config.
        MissingDependencyError: for a `.th` checkpoint without PyTorch.
    """
    path, title = find_model(name)
    config_file = path / "config.json" if path.is_dir() else path.with_name("config.json")
    file = path / IN_A_FOLDER if path.is_dir() else path
    if not file.exists():
        raise WeightsError(f"{path}: holds no {IN_A_FOLDER}")
    digest = store.weights_hash(file)
    shared = file.suffix == ".th" or not store.is_sonant(file)
    if shared:
        tensors = _read_checkpoint(file, digest) if file.suffix == ".th" else _read_safetensors(file)
        config, weights = _from_layout(tensors, config_file, title, digest)
    else:
        weights, config = store.load_weights(file)
    try:
        check_weights(weights, config)
    except WeightsError as error:
        raise WeightsError(f"{file}: {error}") from None
    return Model(config, weights, digest, shared, path)


def _from_layout(
    tensors: Mapping[str, Array], config_file: Path, name: str, digest: str
) -> tuple[CodecConfig, Weights]:
    if layouts.is_transformers(tensors):
        try:
            values = json.loads(config_file.read_text())
        except (OSError, ValueError, RecursionError) as error:
            raise WeightsError(f"{config_file}: these weights need it ({error})") from None
        try:
            config = config_from_transformers(values, name)
        except (ConfigError, AttributeError, TypeError, ValueError, ArithmeticError) as error:
            raise WeightsError(f"{config_file}: is of no model that can be built here ({error})") from None
        return config, layouts.from_transformers(tensors, config)
    if layouts.is_official(tensors):
        config = replace(infer_config(tensors), name=_without_checksum(name, digest))
        return config, layouts.from_official(tensors, config)
    raise WeightsError(f"{name}: these weights are of no codec that is known here")


def _without_checksum(name: str, digest: str) -> str:
    brief, _, end = name.rpartition("-")
    return brief if brief and len(end) >= CHECKSUM_DIGITS and digest.startswith(end) else name


def _read_safetensors(path: Path) -> dict[str, Array]:
    try:
        with safe_open(path, framework="np") as file:
            return {key: np.asarray(file.get_tensor(key), np.float32) for key in list(file.keys())}
    except (SafetensorError, OSError, TypeError, AttributeError) as error:  # types that NumPy has not
        raise WeightsError(f"{path}: cannot read the weights ({error})") from None


def _read_checkpoint(path: Path, digest: str) -> dict[str, Array]:
    """An official `.th` file."""
    if path.stem in OFFICIAL_CHECKPOINTS and _without_checksum(path.stem, digest) == path.stem:
        raise WeightsError(f"{path}: is damaged (wrong checksum); fetch it again")
    try:
        from sonant.models.checkpoint import read_checkpoint
    except ImportError:
        raise extra_missing(f"{path}: reading .th checkpoints needs PyTorch", "train") from None
    return read_checkpoint(path)
