"""Codes on disk: what `sonant tokenize` wrote, and arrays of any other program."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from sonant.codes import Codes
from sonant.config import CodecConfig
from sonant.errors import FormatError, SonantError, extra_missing
from sonant.tokenizing.inputs import inside
from sonant.tokenizing.run import MANIFEST, whole_lines


@dataclass(frozen=True, eq=False)
class Coded:
    """The codes of one recording.

    Attributes:
        file: .npy, .safetensors or .parquet.
        name: of the recording, relative to the folder that its audio goes to.
        known: what is told of it, as in a line of the manifest.
        place: its row in a Parquet file.
    """

    file: Path
    name: str
    known: Mapping[str, Any] = field(default_factory=dict)
    place: int = 0

    def __str__(self) -> str:
        return f"{self.file}: {self.name}" if self.file.suffix == ".parquet" else str(self.file)


def find_codes(inputs: Sequence[Path]) -> list[Coded]:
    """The codes that inputs name: folders of `sonant tokenize`, and files .npy and .safetensors.

    Raises:
        SonantError: if an input is none of them, or two recordings have one name.
    """
    found = [coded for path in inputs for coded in _codes(path)]
    twice = [name for name, count in Counter(coded.name for coded in found).items() if count > 1]
    if twice:
        raise SonantError(f"two recordings have the name {twice[0]}; decode them into two folders")
    return found


def _codes(path: Path) -> Iterator[Coded]:
    if path.is_dir():
        yield from _of_a_folder(path)
    elif not path.exists():
        raise SonantError(f"{path}: no such file or folder")
    elif path.suffix == ".npy":
        yield Coded(path, path.stem)
    elif path.suffix == ".safetensors":
        yield Coded(path, path.stem, _told_by(path))
    else:
        raise SonantError(f"{path}: is neither .npy nor .safetensors, nor a folder of sonant tokenize")


def _of_a_folder(folder: Path) -> Iterator[Coded]:
    try:
        rows = _rows((folder / MANIFEST).read_bytes())
        files, paths = [Path(row["codes"]) for row in rows], [Path(row["path"]) for row in rows]
        if not all(file.name for file in files):
            raise ValueError("a row names no file")
    except OSError:
        raise SonantError(f"{folder}: has no {MANIFEST}, as sonant tokenize writes it") from None
    except (ValueError, KeyError, TypeError):
        raise SonantError(f"{folder / MANIFEST}: is damaged") from None
    above = _common_folder(paths)
    places: Counter[Path] = Counter()
    for row, file, path in zip(rows, files, paths, strict=True):
        own = path.relative_to(above) if path.is_relative_to(above) else path
        name = own if file.suffix == ".parquet" else file.with_suffix("")
        yield Coded(folder / inside(file), inside(name), row, places[file])
        places[file] += 1


def _rows(manifest: bytes) -> list[dict[str, Any]]:
    """All rows but a last one that a run had only begun when it was killed.

    Raises:
        ValueError: if another is no JSON, or the only one is none.
    """
    whole = whole_lines(manifest)
    rows = [json.loads(line) for line in whole.splitlines()]
    try:
        return rows + [json.loads(line) for line in manifest[len(whole) :].splitlines()]
    except ValueError:
        if not rows:
            raise
        return rows


def _common_folder(paths: Sequence[Path]) -> Path:
    """The folder that all of them are in, or none where some are absolute and some are not."""
    try:
        return Path(os.path.commonpath([path.parent for path in paths]))
    except ValueError:
        return Path()


def _told_by(path: Path) -> dict[str, Any]:
    with _opened(path) as file:
        told: dict[str, Any] = file.metadata() or {}
    if "length" in told:
        try:
            told["length"] = int(told["length"])
        except ValueError:
            raise FormatError(f"{path}: tells a length of {told['length']!r}") from None
    return told


def _opened(path: Path) -> Any:
    try:
        return safe_open(path, framework="np")
    except (SafetensorError, OSError) as error:
        raise FormatError(f"{path}: is no safetensors file ({error})") from None


def read_codes(coded: Coded, config: CodecConfig) -> Codes:
    """The codes of a recording, for a model of this kind.

    Without a known length they are all that the frames give.

    Raises:
        FormatError: if they cannot be read or are no codes.
    """
    readers = {".npy": _from_npy, ".safetensors": _from_safetensors, ".parquet": _from_parquet}
    values, scales = readers[coded.file.suffix](coded)
    values = values[0] if values.ndim == 3 and len(values) == 1 else values
    if values.ndim != 2 or not np.issubdtype(values.dtype, np.integer):
        raise FormatError(f"{coded}: holds {values.dtype} {list(values.shape)}, not codes [n_q, frames]")
    if not 0 <= int(values.min(initial=0)) <= int(values.max(initial=0)) < config.bins:
        raise FormatError(f"{coded}: codes are from 0 to {config.bins - 1}")
    if scales is None and "scales" in coded.known:
        scales = np.asarray(coded.known["scales"], np.float32)
    length = coded.known.get("length")
    if length is None:
        length = _whole_length(coded, values.shape[1], config)
    return Codes(np.ascontiguousarray(values, dtype=np.int16), int(length), scales)


def _whole_length(coded: Coded, frames: int, config: CodecConfig) -> int:
    if config.segment_length is None or config.segment_stride is None:
        return frames * config.hop_length
    segments, rest = divmod(frames, config.frames_for(config.segment_length))
    if rest:
        raise FormatError(f"{coded}: {frames} frames are no whole segments, and their length is not told")
    return segments * config.segment_stride


def _from_npy(coded: Coded) -> tuple[NDArray[Any], None]:
    try:
        return np.load(coded.file, allow_pickle=False), None
    except (OSError, ValueError) as error:
        raise FormatError(f"{coded}: is no array of NumPy ({error})") from None


def _from_safetensors(coded: Coded) -> tuple[NDArray[Any], NDArray[np.float32] | None]:
    with _opened(coded.file) as file:
        names = set(file.keys())
        if "codes" not in names:
            raise FormatError(f"{coded}: holds no tensor of the name codes")
        return file.get_tensor("codes"), file.get_tensor("scales") if "scales" in names else None


def _from_parquet(coded: Coded) -> tuple[NDArray[Any], None]:
    try:
        state = coded.file.stat()
        column = _parquet_column(coded.file, state.st_mtime_ns, state.st_size)
    except (OSError, ValueError, KeyError) as error:
        raise FormatError(f"{coded.file}: is no Parquet file of codes ({error})") from None
    if coded.place >= len(column):
        raise FormatError(f"{coded}: has fewer rows than the manifest")
    try:
        return np.stack([row.values.to_numpy() for row in column[coded.place].values]), None
    except (AttributeError, TypeError, ValueError):
        raise FormatError(f"{coded}: holds no codes [n_q, frames]") from None


@lru_cache(maxsize=1)
def _parquet_column(path: Path, changed: int, size: int) -> Any:
    """The codes of a file, which are read again once it was replaced."""
    try:
        import pyarrow.parquet as pq
    except ImportError:
        raise extra_missing("Parquet needs pyarrow", "parquet") from None
    return pq.read_table(path, columns=["codes"])["codes"]
