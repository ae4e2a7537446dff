"""The optional packages of evaluation, asked for before anything is measured."""

from __future__ import annotations

from importlib.util import find_spec

from sonant.errors import extra_missing


def require(*packages: str) -> None:
    """Raise MissingDependencyError unless these can be imported."""
    if missing := [package for package in packages if find_spec(package) is None]:
        raise extra_missing(f"evaluation needs {', '.join(missing)}", "eval")
