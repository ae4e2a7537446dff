"""What a finished shard holds, noted beside it until its whole pack is there: packing goes on after it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sonant.training.manifest import ANY_NAME, Recording
from sonant.whole_files import replacing

ENDING = ".note"

Contents = tuple[list[Recording], list[str]]
"""What a shard holds, and why other recordings were left out of it."""


def key_of(recordings: Sequence[Recording], settings: object) -> str:
    """Of what goes into a shard, and how: another as soon as a file has another size or time."""
    digest = hashlib.sha256(repr(settings).encode())
    for recording in recordings:
        try:
            state = Path(recording.file).stat()
            found = state.st_size, state.st_mtime_ns
        except (OSError, ValueError):
            found = None
        digest.update(repr((recording, found)).encode(errors=ANY_NAME))
    return digest.hexdigest()


def write_note(shard: Path, key: str, contents: Contents) -> None:
    """Note that a shard is whole; one that holds nothing is not there."""
    packed, problems = contents
    values = {"key": key, "packed": [asdict(recording) for recording in packed], "problems": problems}
    with replacing(_note(shard)) as temporary:
        temporary.write_text(json.dumps(values), encoding="utf-8")


def noted(shard: Path, key: str) -> Contents | None:
    """What a shard holds that was made of the same, None if there is none."""
    values = _read(_note(shard))
    if values is None or values["key"] != key:
        return None
    packed = [Recording(**value) for value in values["packed"]]
    return (packed, values["problems"]) if shard.exists() or not packed else None


def noted_shards(folder: Path) -> set[Path]:
    """The shards in a folder that have a note: those of a pack that was interrupted."""
    notes = folder.glob(f"*{ENDING}")
    return {note.with_suffix("") for note in notes if _read(note) is not None}


def remove_note(shard: Path) -> None:
    """Once the pack has its manifest."""
    _note(shard).unlink(missing_ok=True)


def _read(note: Path) -> dict[str, Any] | None:
    """The values of a note; None where there is none, or something else by its name."""
    try:
        values = json.loads(note.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return values if isinstance(values, dict) and values.keys() == {"key", "packed", "problems"} else None


def _note(shard: Path) -> Path:
    return shard.with_name(shard.name + ENDING)
