"""What can go wrong, as sentences for the user: the command line prints them and exits with 2."""

from __future__ import annotations


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
