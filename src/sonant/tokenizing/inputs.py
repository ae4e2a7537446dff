"""Which recordings to code, and what to call their codes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sonant.audio.folders import files_below
from sonant.errors import SonantError

MANIFEST_ENDINGS = frozenset({".jsonl", ".txt"})


@dataclass(frozen=True)
class Item:
    """A recording to code.

    Attributes:
        path: of the audio file.
        name: what its codes are called, without an ending: a path relative to the output folder.
    """

    path: str
    name: str

    def __str__(self) -> str:
        return self.path


def find_items(inputs: Sequence[Path]) -> list[Item]:
    """The recordings that inputs name, each input's in the order of their names or of the manifest.

    Args:
        inputs: audio files; folders, searched with all folders in them; manifests, either JSON lines
            with the key `path` or `file`, or a text file with a path a line. Paths in a manifest are
            relative to its folder.

    Raises:
        SonantError: if an input does not exist, is no manifest, or two recordings have one name.
    """
    items = [item for path in inputs for item in _items(path, len(inputs) > 1)]
    if not items:
        raise SonantError("no audio files there")
    names: dict[str, str] = {}
    for item in items:
        if (other := names.setdefault(item.name, item.path)) != item.path:
            raise SonantError(f"{item.path} and {other} would have one name; code them into two folders")
    if len(names) < len(items):
        raise SonantError(f"{len(items) - len(names)} recordings are named twice")
    return items


def _items(path: Path, several: bool) -> Iterator[Item]:
    if path.is_dir():
        prefix = Path(path.resolve().name) if several else Path()
        for file in files_below(path):
            yield Item(str(file), (prefix / file.relative_to(path)).as_posix())
    elif not path.exists():
        raise SonantError(f"{path}: no such file or folder")
    elif path.suffix.lower() in MANIFEST_ENDINGS:
        for line in _lines(path):
            yield Item(str(path.parent / line), inside(Path(line)))
    else:
        yield Item(str(path), path.name)


def inside(path: Path) -> str:
    """A path that cannot lead out of the folder it is joined to."""
    return Path(*(part for part in path.parts if part not in ("..", path.anchor))).as_posix()


def _lines(manifest: Path) -> Iterator[str]:
    try:
        lines = manifest.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError:
        raise SonantError(f"{manifest}: is no text in UTF-8") from None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        if "\0" in line:
            raise SonantError(f"{manifest}: line {number} holds a zero byte, which no path does")
        if manifest.suffix.lower() == ".txt":
            yield line.strip()
            continue
        try:
            values = json.loads(line)
            path = values["path"] if "path" in values else values["file"]
        except (ValueError, KeyError, TypeError, RecursionError):
            path = None
        if not isinstance(path, str) or "\0" in path:
            raise SonantError(f"{manifest}: line {number} is no JSON with a path")
        yield path
