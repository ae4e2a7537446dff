"""The audio files of a folder."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from sonant.audio.sources import AUDIO_ENDINGS


def files_below(folder: Path, endings: Collection[str] = AUDIO_ENDINGS) -> list[Path]:
    """The files with one of these endings in a folder and in all folders in it, sorted.

    Links are followed, except to a folder that they are in.
    """
    found: list[Path] = []
    above: dict[Path, tuple[str, ...]] = {}
    for place, folders, names in os.walk(folder, followlinks=True):
        inside = (*above.pop(Path(place), ()), os.path.realpath(place))
        folders[:] = [name for name in folders if os.path.realpath(Path(place, name)) not in inside]
        above.update((Path(place, name), inside) for name in folders)
        found += [Path(place, name) for name in names]
    return sorted(path for path in found if path.suffix.lower() in endings and path.is_file())
