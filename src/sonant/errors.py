"""What can go wrong, as sentences for the user: the command line prints them and exits with 2."""

from __future__ import annotations


def printable(text: str) -> str:
    """Text out of a file as a terminal may have it: what could move its cursor is written as escapes."""
    return text if text.isprintable() else text.encode("unicode_escape").decode("ascii")


class SonantError(Exception):
    """Base of all errors a user can cause; its text says what is wrong and what to do."""


class ConfigError(SonantError, ValueError):
    """A model or a setting that cannot be."""


class AudioError(SonantError, ValueError):
    """Audio that cannot be read, written or coded."""


class FormatError(SonantError, ValueError):
    """Bytes that are not a valid .ecdc file."""


class WeightsError(SonantError):
    """Weights that are missing, damaged or of another model."""


class MissingDependencyError(SonantError):
    """An optional package that is needed now."""


def extra_missing(needed: str, extra: str) -> MissingDependencyError:
    """What needs which package of an extra; pip takes the extra of the Sonant that is installed."""
    return MissingDependencyError(f"{needed}: pip install 'sonant[{extra}]'")
