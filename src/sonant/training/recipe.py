"""Recipes: one TOML file says everything about a training run."""

from __future__ import annotations

import tomllib
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any

from sonant.config import CodecConfig
from sonant.errors import ConfigError


@dataclass(frozen=True)
class DataRecipe:
    """What a batch is made of. `strategies` are `{weight, sources}`; see `training.mixing`."""

    pack: str
    batch_size: int = 8
    seconds: float = 1.0
    gain_db: tuple[float, float] = (-10.0, 6.0)
    full_band_share: float = 0.5
    strategies: tuple[dict[str, Any], ...] = (
        {"weight": 0.32, "kinds": ["music"]},
        {"weight": 0.32, "kinds": ["speech"]},
        {"weight": 0.24, "kinds": ["speech", "noise"]},
        {"weight": 0.12, "kinds": ["speech", "effects", "noise"]},
    )


@dataclass(frozen=True)
class LossRecipe:
    """Weights of the losses; `commitment` stays outside the balancer (paper, section 3.4)."""

    time: float = 0.1
    mel: float = 1.0
    generator: float = 3.0
    feature: float = 3.0
    commitment: float = 1.0
    balancer: bool = True


@dataclass(frozen=True)
class DiscriminatorRecipe:
    """The MS-STFT discriminator; `start_step` < 0 trains without one."""

    start_step: int = -1
    filters: int = 32
    windows: tuple[int, ...] = (2048, 1024, 512, 256, 128)
    update_probability: float = 2 / 3
    learning_rate: float = 3e-4
    warmup_steps: int = 500


@dataclass(frozen=True)
class OptimizerRecipe:
    """Adam, with the rate falling by a cosine from `learning_rate` to `final_rate`."""

    learning_rate: float = 3e-4
    final_rate: float = 3e-4
    betas: tuple[float, float] = (0.5, 0.9)
    warmup_steps: int = 100
    gradient_clip: float = 1.0
    average_decay: float = 0.999


@dataclass(frozen=True)
class RunRecipe:
    """How long and on what."""

    steps: int = 100_000
    precision: str = "32-true"
    threads: int = 0
    warm_start_steps: int = 150
    checkpoint_minutes: float = 5.0
    log_every: int = 50
    seed: int = 0


@dataclass(frozen=True)
class Recipe:
    """A whole training run. `start` names weights to begin from; `codebooks` are the n_q drawn."""

    model: CodecConfig
    data: DataRecipe
    start: str | None = None
    codebooks: tuple[int, ...] = ()
    loss: LossRecipe = field(default_factory=LossRecipe)
    discriminator: DiscriminatorRecipe = field(default_factory=DiscriminatorRecipe)
    optimizer: OptimizerRecipe = field(default_factory=OptimizerRecipe)
    run: RunRecipe = field(default_factory=RunRecipe)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as checkpoints and cards keep them."""
        return asdict(self)


SECTIONS: dict[str, type] = {
    "model": CodecConfig,
    "data": DataRecipe,
    "loss": LossRecipe,
    "discriminator": DiscriminatorRecipe,
    "optimizer": OptimizerRecipe,
    "run": RunRecipe,
}


def _frozen(values: Any) -> Any:
    return tuple(values) if isinstance(values, list) else values


def recipe_from_dict(values: dict[str, Any]) -> Recipe:
    """Build a recipe from plain values.

    Raises:
        ConfigError: on unknown keys or missing sections.
    """
    built: dict[str, Any] = {}
    for key, value in values.items():
        section = SECTIONS.get(key)
        if section is None:
            built[key] = _frozen(value)
            continue
        assert is_dataclass(section)
        if unknown := set(value) - {f.name for f in fields(section)}:
            raise ConfigError(f"unknown key in [{key}]: {', '.join(sorted(unknown))}")
        built[key] = section(**{k: _frozen(v) for k, v in value.items()})
    try:
        return Recipe(**built)
    except TypeError as error:
        raise ConfigError(f"recipe: {error}") from None


def load_recipe(path: Path, overrides: list[str] | None = None) -> Recipe:
    """Read a recipe, with `section.key=value` overrides whose values are TOML.

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
