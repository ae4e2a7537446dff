"""The recipe of a language model: one TOML file."""

from __future__ import annotations

import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from sonant.config import LanguageModelConfig
from sonant.errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


KIND = "language_model"
PRECISIONS = ("32-true", "bf16-mixed")


@dataclass(frozen=True)
class LanguageModelRecipe:
    """How a language model is trained.

    Attributes:
        model: its sizes.
        kind: `language_model`, by which `sonant train` knows what it is.
        codec: name or path of the codec whose codes it models.
        pack: folder of the packed corpus that is tokenised.
        hours: how much of each kind to tokenise, `<split>-<kind>`.
        crop_seconds: length of a tokenised crop.
        frame_rate: frames per second of the codec.
        frames: of a training sequence and of a chunk of a file.
        codebooks, codebook_weights: numbers of codebooks that a batch may have, and how often.
        codebook_start: begin from the codec's codebooks.
        start: `checkpoint.pt` of a run, or an integer model, to begin from instead.
        random_offset: positions start anywhere below this; 0 for always at the start.
        precision: `32-true`, or `bf16-mixed` for processors with bfloat16 instructions.
        threads: of tokenising and training; 0 for as many as there are.
    """

    model: LanguageModelConfig
    kind: str
    codec: str
    pack: str
    hours: dict[str, float]
    crop_seconds: float = 20.0
    frame_rate: float = 75.0
    frames: int = 375
    codebooks: tuple[int, ...] = (2, 4, 8, 16)
    codebook_weights: tuple[float, ...] = (1.0, 2.0, 2.0, 1.0)
    codebook_start: bool = True
    start: str | None = None
    random_offset: int = 0
    batch_size: int = 8
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    warmup_steps: int = 50
    gradient_clip: float = 1.0
    steps: int = 20_000
    log_every: int = 20
    checkpoint_minutes: float = 5.0
    precision: str = "32-true"
    threads: int = 0
    seed: int = 0


def recipe_from_dict(values: dict[str, Any]) -> LanguageModelRecipe:
    """Build a recipe from plain values.

    Raises:
        ConfigError: on unknown or missing keys.
    """
    plain: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
    if unknown := set(plain) - {field.name for field in fields(LanguageModelRecipe)}:
        raise ConfigError(f"unknown key in the recipe: {', '.join(sorted(unknown))}")
    plain["model"] = LanguageModelConfig.from_dict(plain.get("model", {}))
    try:
        recipe = LanguageModelRecipe(**plain)
    except TypeError as error:
        raise ConfigError(f"recipe: {error}") from None
    if recipe.precision not in PRECISIONS:
        raise ConfigError(f"precision is one of {', '.join(PRECISIONS)}, not {recipe.precision}")
    if max(recipe.codebooks) > recipe.model.n_q:
        raise ConfigError("the recipe trains more codebooks than its model has")
    return recipe


def is_lm_recipe(path: Path) -> bool:
    """Whether a file is the recipe of a language model rather than of a codec."""
    try:
        return tomllib.loads(path.read_text()).get("kind") == KIND
    except (OSError, ValueError):
        return False


def load_lm_recipe(path: Path, overrides: list[str] | None = None) -> LanguageModelRecipe:
    """Read a recipe, with `key=value` or `section.key=value` overrides whose values are TOML.

    Raises:
        ConfigError: if the file or an override cannot be understood.
    """
    try:
        values = tomllib.loads(path.read_text())
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: {error}") from None
    for override in overrides or []:
        name, _, text = override.partition("=")
        try:
            value = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            value = text
        *sections, key = name.split(".")
        place = values
        for section in sections:
            place = place.setdefault(section, {})
        place[key] = value
    return recipe_from_dict(values)
