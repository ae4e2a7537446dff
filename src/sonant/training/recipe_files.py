"""Recipes as TOML: files, their bases and variants, overrides."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

from sonant.errors import ConfigError
from sonant.training.recipe import Recipe
from sonant.training.recipe_sections import LossRecipe
from sonant.training.recipe_values import (
    AT_LEAST_TWO,
    DECAY,
    NOT_NEGATIVE,
    POSITIVE,
    SHARE,
    THREADS,
    Ranges,
    Values,
    build,
    checked,
    parse_override,
    read_toml,
)

RANGES: Ranges = {
    "beam": POSITIVE,
    "codebook_decay": DECAY,
    "run_up": NOT_NEGATIVE,
    "model.sample_rate": POSITIVE,
    "model.channels": POSITIVE,
    "model.dimension": POSITIVE,
    "model.n_filters": POSITIVE,
    "model.ratios": POSITIVE,
    "model.kernel_size": POSITIVE,
    "model.last_kernel_size": POSITIVE,
    "model.residual_kernel_size": POSITIVE,
    "model.n_residual_layers": NOT_NEGATIVE,
    "model.dilation_base": POSITIVE,
    "model.compress": POSITIVE,
    "model.lstm_layers": NOT_NEGATIVE,
    "model.n_q": POSITIVE,
    "model.bins": AT_LEAST_TWO,
    "model.bandwidths": POSITIVE,
    "model.segment": POSITIVE,
    "model.overlap": DECAY,
    "data.batch_size": POSITIVE,
    "data.seconds": POSITIVE,
    "data.full_band_share": SHARE,
    "data.reverberation": SHARE,
    "data.workers": NOT_NEGATIVE,
    **{f"loss.{part.name}": NOT_NEGATIVE for part in fields(LossRecipe) if part.type == "float"},
    "discriminator.filters": POSITIVE,
    "discriminator.period_filters": POSITIVE,
    "discriminator.emphasis": SHARE,
    "discriminator.band": ("more than 0 and at most 1", lambda x: 0 < x <= 1),
    "discriminator.windows": POSITIVE,
    "discriminator.update_probability": SHARE,
    "discriminator.learning_rate": NOT_NEGATIVE,
    "discriminator.warmup_steps": NOT_NEGATIVE,
    "optimizer.learning_rate": NOT_NEGATIVE,
    "optimizer.final_rate": NOT_NEGATIVE,
    "optimizer.betas": DECAY,
    "optimizer.warmup_steps": NOT_NEGATIVE,
    "optimizer.gradient_clip": ("more than 0", lambda x: x > 0),
    "optimizer.average_decay": DECAY,
    "run.steps": POSITIVE,
    "run.devices": POSITIVE,
    "run.threads": THREADS,
    "run.warm_start_steps": NOT_NEGATIVE,
    "run.transform_crops": NOT_NEGATIVE,
    "run.checkpoint_minutes": NOT_NEGATIVE,
    "run.log_every": POSITIVE,
    "run.listen_every": NOT_NEGATIVE,
    "run.seed": ("0 or more and below 2**32", lambda x: 0 <= x < 2**32),
}


def recipe_from_dict(values: Values) -> Recipe:
    """Build a recipe from plain values.

    Raises:
        ConfigError: on unknown keys, missing sections or values that cannot be.
    """
    return build(Recipe, values, RANGES)


def _merged(base: Values, changes: Values) -> Values:
    """`changes` over `base`, table by table."""
    result = dict(base)
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = _merged(result[key], value) if both else value
    return result


def _resolved(name: str, changed_by: tuple[str, ...] = ()) -> Values:
    """The values of `FILE.toml` or `FILE.toml:VARIANT`, over those of the base."""
    if name in changed_by:
        raise ConfigError(f"{name}: is a base of itself")
    stem, _, variant = name.partition(".toml:")
    path = Path(f"{stem}.toml" if variant else name)
    values = read_toml(path)
    variants = _variants(values)
    if variant not in variants and (variant or variants):
        known = ", ".join(variants) or "none"
        asked = f"has no variant {variant!r}" if variant else "needs a variant"
        raise ConfigError(f"{path}: {asked}; it has {known}, to be named as RECIPE:VARIANT")
    values = _merged(values, variants.get(variant, {}))
    base = checked(str | None, values.pop("base", None), {}, "base")
    if base is None:
        return values
    return _merged(_resolved(str(path.parent / base), (*changed_by, name)), values)


def recipe_variants(path: Path) -> list[str]:
    """The names of a recipe file's variants."""
    return list(_variants(read_toml(path)))


def _variants(values: Values) -> dict[str, Values]:
    """Take the tables of the variants, by name, out of the values of a file."""
    tables: dict[str, Values] = checked(
        dict[str, dict[str, Any]], values.pop("variants", {}), {}, "variants"
    )
    return tables


def load_recipe(path: Path | str, overrides: list[str] | None = None) -> Recipe:
    """Read `recipe.toml` or `recipe.toml:variant`.

    A recipe may name a `base` (another recipe, or one of its variants, beside it) whose values it
    changes, and hold `[variants.NAME]` tables that change its own. Overrides are
    `section.key=value` with TOML values, and come last.

    Raises:
        ConfigError: if the file, a variant or an override cannot be understood.
    """
    values = _resolved(str(path))
    for override in overrides or []:
        names, value = parse_override(override)
        for name in reversed(names):
            value = {name: value}
        values = _merged(values, value)
    return recipe_from_dict(values)
