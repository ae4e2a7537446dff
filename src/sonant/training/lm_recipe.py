"""The recipe of a language model: one TOML file."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sonant.config import LanguageModelConfig
from sonant.errors import ConfigError
from sonant.training.recipe_values import (
    AT_LEAST_TWO,
    NOT_NEGATIVE,
    OPTIMIZERS,
    POSITIVE,
    PRECISIONS,
    THREADS,
    Ranges,
    build,
    check_choice,
    parse_override,
    read_toml,
)

KIND = "language_model"


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
        frames: of a training sequence and of a chunk of a file.
        codebooks, codebook_weights: numbers of codebooks that a batch may have, and how often.
        codebook_start: begin from the codec's codebooks.
        start: `checkpoint.pt` of a run, or an integer model, to begin from instead.
        random_offset: positions start anywhere below this; 0 for always at the start.
        batch_size: sequences per step, over all processes together.
        optimizer: `adam` is AdamW; `muon` is Muon for the matrices inside the network, AdamW for the rest.
        learning_rate: the highest; by a cosine it falls to 2 % of that over the run.
        weight_decay: of AdamW.
        warmup_steps: over which the learning rate rises at first, in a straight line.
        gradient_clip: the largest norm of a step's gradient.
        steps: of the whole run.
        log_every: steps between lines of the log.
        checkpoint_minutes: between checkpoints.
        precision: `32-true`, or `bf16-mixed` for processors with bfloat16 instructions.
        threads: of tokenising and training, up to 256; 0 for as many as there are.
        devices: processes that train on this machine, each on a device; several machines go by torchrun.
        seed: of the weights to begin with, and of what batches are made of.
    """

    model: LanguageModelConfig
    kind: str
    codec: str
    pack: str
    hours: dict[str, float]
    crop_seconds: float = 20.0
    frames: int = 375
    codebooks: tuple[int, ...] = (2, 4, 8, 16)
    codebook_weights: tuple[float, ...] = (1.0, 2.0, 2.0, 1.0)
    codebook_start: bool = True
    start: str | None = None
    random_offset: int = 0
    batch_size: int = 8
    optimizer: str = "adam"
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    warmup_steps: int = 50
    gradient_clip: float = 1.0
    steps: int = 20_000
    log_every: int = 20
    checkpoint_minutes: float = 5.0
    precision: str = "32-true"
    threads: int = 0
    devices: int = 1
    seed: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as checkpoints keep them."""
        return asdict(self)

    def check_crop(self, frames: int) -> None:
        """Raise ConfigError where a training sequence is longer than tokenised crops, of so many frames."""
        if self.frames > frames:
            raise ConfigError(f"frames is {self.frames}, more than the {frames} of crop_seconds")


RANGES: Ranges = {
    "model.n_q": POSITIVE,
    "model.bins": AT_LEAST_TWO,
    "model.dim": POSITIVE,
    "model.num_layers": POSITIVE,
    "model.num_heads": POSITIVE,
    "model.feed_forward": POSITIVE,
    "model.past_context": POSITIVE,
    "model.step_feed_forward": NOT_NEGATIVE,
    "hours": NOT_NEGATIVE,
    "crop_seconds": POSITIVE,
    "frames": POSITIVE,
    "codebooks": POSITIVE,
    "codebook_weights": NOT_NEGATIVE,
    "random_offset": NOT_NEGATIVE,
    "batch_size": POSITIVE,
    "learning_rate": NOT_NEGATIVE,
    "weight_decay": NOT_NEGATIVE,
    "warmup_steps": POSITIVE,
    "gradient_clip": ("more than 0", lambda x: x > 0),
    "steps": POSITIVE,
    "log_every": POSITIVE,
    "checkpoint_minutes": NOT_NEGATIVE,
    "threads": THREADS,
    "devices": POSITIVE,
    "seed": NOT_NEGATIVE,
}


def recipe_from_dict(values: dict[str, Any]) -> LanguageModelRecipe:
    """Build a recipe from plain values.

    Raises:
        ConfigError: on unknown or missing keys, or values that cannot be.
    """
    recipe = build(LanguageModelRecipe, values, RANGES)
    check_choice("precision", recipe.precision, PRECISIONS)
    check_choice("optimizer", recipe.optimizer, OPTIMIZERS)
    _check_codebooks(recipe)
    model = recipe.model
    if model.dim % 2 or model.dim % model.num_heads:
        raise ConfigError(f"model.dim is {model.dim}; it is even and a multiple of model.num_heads")
    if model.step_feed_forward and not model.conditioned:
        raise ConfigError("model.step_feed_forward is for models with model.conditioned")
    return recipe


def _check_codebooks(recipe: LanguageModelRecipe) -> None:
    if not recipe.codebooks or len(recipe.codebooks) != len(recipe.codebook_weights):
        raise ConfigError("codebooks and codebook_weights are of one length, one number at least")
    if max(recipe.codebooks) > recipe.model.n_q:
        raise ConfigError("the recipe trains more codebooks than its model has")
    if not any(recipe.codebook_weights):
        raise ConfigError("codebook_weights has none above 0")


def is_lm_recipe(path: Path) -> bool:
    """Whether a file is the recipe of a language model rather than of a codec."""
    try:
        return bool(read_toml(path).get("kind") == KIND)
    except ConfigError:
        return False


def load_lm_recipe(path: Path, overrides: list[str] | None = None) -> LanguageModelRecipe:
    """Read a recipe, with `key=value` or `section.key=value` overrides whose values are TOML.

    Raises:
        ConfigError: if the file or an override cannot be understood.
    """
    values = read_toml(path)
    for override in overrides or []:
        (*sections, key), value = parse_override(override)
        place = values
        for section in sections:
            if not isinstance(place.get(section), dict):
                place[section] = {}
            place = place[section]
        place[key] = value
    return recipe_from_dict(values)
