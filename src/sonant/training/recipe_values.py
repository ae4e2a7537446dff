"""Values of recipes: read from TOML and overrides, each checked for its type and its range."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from math import inf
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from sonant.engine.backend import MOST_THREADS
from sonant.errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Values = dict[str, Any]
Range = tuple[str, Callable[[float], bool]]
Ranges = Mapping[str, Range]
Built = TypeVar("Built")

POSITIVE: Range = ("more than 0", lambda x: 0 < x < inf)
NOT_NEGATIVE: Range = ("0 or more", lambda x: 0 <= x < inf)
AT_LEAST_TWO: Range = ("2 or more", lambda x: 2 <= x < inf)
SHARE: Range = ("between 0 and 1", lambda x: 0 <= x <= 1)
THREADS: Range = (f"0 to {MOST_THREADS}", lambda x: 0 <= x <= MOST_THREADS)
DECAY: Range = ("0 or more and below 1", lambda x: 0 <= x < 1)

PRECISIONS = ("32-true", "bf16-mixed")
OPTIMIZERS = ("adam", "muon")

WORDS = {
    bool: ("true or false", "truths"),
    int: ("a whole number", "whole numbers"),
    float: ("a number", "numbers"),
    str: ("text", "texts"),
}


def _fits(kind: Any, value: Any) -> bool:
    """Whether a value is of a type, where a whole number is a number and a list a tuple."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Literal:
        return value in parts
    if origin in (Union, UnionType):
        return any(_fits(part, value) for part in parts)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            return False
        if parts[-1] is Ellipsis:
            return all(_fits(parts[0], item) for item in value)
        return len(value) == len(parts) and all(map(_fits, parts, value))
    if origin is dict:
        return isinstance(value, dict) and all(_fits(parts[1], item) for item in value.values())
    if kind in (int, float):
        return isinstance(value, kind | int) and not isinstance(value, bool)
    return kind is Any or isinstance(value, kind)


def _described(kind: Any, several: bool = False) -> str:
    """What a type is in a sentence."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Literal:
        return f"one of {', '.join(parts)}"
    if origin in (Union, UnionType):
        return " or ".join(_described(part) for part in parts if part is not NoneType)
    if origin is tuple:
        count = "" if parts[-1] is Ellipsis else f"{len(parts)} "
        return f"a list of {count}{_described(parts[0], True)}"
    if origin is dict:
        inner = "" if parts[1] is Any else f" of {_described(parts[1], True)}"
        return f"tables{inner}" if several else f"a table{inner}"
    return WORDS[kind][several]


def shown(value: Any) -> str:
    """A value as it stands in a recipe."""
    return json.dumps(value, ensure_ascii=False, default=str)


def checked(kind: Any, value: Any, ranges: Ranges, name: str) -> Any:
    """A value of a type and in its range; lists as tuples, tables as their dataclasses."""
    if is_dataclass(kind):
        return build(kind, value, ranges, name)  # type: ignore[arg-type]
    if not _fits(kind, value):
        raise ConfigError(f"{name} is {_described(kind)}, not {shown(value)}")
    if name in ranges and value is not None:
        words, holds = ranges[name]
        items = value.values() if isinstance(value, dict) else value
        if not all(map(holds, items if isinstance(items, Iterable) else [items])):
            raise ConfigError(f"{name} is {words}, not {shown(value)}")
    return tuple(value) if isinstance(value, list) else value


def build(kind: type[Built], values: Any, ranges: Ranges, name: str = "") -> Built:
    """A dataclass of a recipe from plain values, each of its type and in its range.

    Args:
        kind: the dataclass; those within it are tables.
        values: by the names of its fields.
        ranges: by names as `section.key`.
        name: of the section, none for a whole recipe.

    Raises:
        ConfigError: on unknown or missing keys, or values that cannot be.
    """
    where = f"[{name}]" if name else "the recipe"
    if not isinstance(values, dict):
        raise ConfigError(f"{name} is a table, not {shown(values)}")
    parts = {part.name: part for part in fields(kind)}  # type: ignore[arg-type]
    if unknown := set(values) - set(parts):
        raise ConfigError(f"unknown key in {where}: {', '.join(sorted(unknown))}")
    needed = [n for n, part in parts.items() if part.default is part.default_factory is MISSING]
    if missing := [n for n in needed if n not in values]:
        raise ConfigError(f"{where} lacks {', '.join(missing)}")
    hints, prefix = get_type_hints(kind), f"{name}." if name else ""
    return kind(**{key: checked(hints[key], x, ranges, prefix + key) for key, x in values.items()})


def check_choice(name: str, value: str, known: tuple[str, ...]) -> None:
    """Raise ConfigError unless a value is one of those that are known."""
    if value not in known:
        raise ConfigError(f"{name} is {value!r}; choose one of {', '.join(known)}")


def read_toml(path: Path) -> Values:
    """The values of a file.

    Raises:
        ConfigError: if it cannot be read or is no TOML.
    """
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from None


def parse_override(text: str) -> tuple[list[str], Any]:
    """The names and the value of `section.key=value`; what is no TOML is text.

    Raises:
        ConfigError: if it is not of that form.
    """
    key, equals, value = text.partition("=")
    if not equals:
        raise ConfigError(f"{text!r} is not of the form section.key=value")
    try:
        return key.split("."), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return key.split("."), value
