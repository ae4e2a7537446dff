"""Which language model belongs to a codec."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from sonant.codec import Codec
from sonant.entropy.float_lm import FloatLanguageModel, load_float_lm
from sonant.entropy.integer_lm import IntegerLanguageModel
from sonant.entropy.lm_store import is_of_another_kind, load_language_model
from sonant.errors import WeightsError
from sonant.models.registry import IN_A_FOLDER

ENDING = ".lm.safetensors"
LM_IN_A_FOLDER = "lm.safetensors"


def language_model(codec: Codec) -> IntegerLanguageModel | None:
    """The integer model that was trained for a codec's weights, None if there is none.

    It lies beside the weights, `NAME.lm.safetensors` with `NAME.safetensors`, or `lm.safetensors` with
    `model.safetensors`; weights without a `location` have none.

    Raises:
        WeightsError: if there is one that is damaged or has another number of entries in a codebook.
    """
    place = codec.location
    if place is None:
        return None
    file = place.with_suffix(ENDING)
    if place.is_dir():
        file = place / LM_IN_A_FOLDER
    elif place.name == IN_A_FOLDER and not file.exists():
        file = place.with_name(LM_IN_A_FOLDER)
    if not file.exists() or (file.name == LM_IN_A_FOLDER and is_of_another_kind(file)):
        return None
    state = file.stat()
    model = _loaded(file, codec.weights_hash, state.st_mtime_ns, state.st_size)
    if model.bins != codec.config.bins:
        raise WeightsError(f"{file}: is for {model.bins} entries in a codebook, not {codec.config.bins}")
    return model


@lru_cache(maxsize=4)
def _loaded(file: Path, codec_hash: str, changed: int, size: int) -> IntegerLanguageModel:
    """A file that was replaced is read again: its time or its size is another."""
    return load_language_model(file, codec_hash)


def official_language_model(codec: Codec) -> FloatLanguageModel:
    """The official float model of a codec, from the folder of its weights.

    Raises:
        WeightsError: if it is not there.
        MissingDependencyError: without PyTorch.
    """
    place, rate = codec.location, codec.config.sample_rate // 1000
    found: list[Path] = []
    if place is not None:
        folder = place if place.is_dir() else place.parent
        found = [*folder.glob(f"encodec_lm_{rate}khz*.th"), *folder.glob(LM_IN_A_FOLDER)]
    if not found:
        raise WeightsError(
            f"version 0 files coded with a language model need encodec_lm_{rate}khz*.th or lm.safetensors "
            f"beside the weights of {codec.name}; name that folder with -m"
        )
    return load_float_lm(found[0], codec.config)
