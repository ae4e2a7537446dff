"""Codes on disk: a file for each recording, or Parquet files of many."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from sonant.codes import Codes
from sonant.errors import AudioError, SonantError, extra_missing
from sonant.tensor_files import write_tensors
from sonant.tokenizing.inputs import Item
from sonant.whole_files import replacing_output

SHARD_CODES = 1 << 25
LONGEST_NAME = 235  # bytes, so that a temporary name beside it has at most 255

Row = dict[str, Any]


class CodesWriter(Protocol):
    """Takes codes; gives the rows of the manifest whose codes are safe on disk."""

    def check(self, item: Item) -> None:
        """Raise SonantError if its codes would replace those of another recording."""

    def add(self, name: str, row: Row, codes: Codes) -> list[Row]:
        """Take one recording's.

        Raises:
            AudioError: if there can be no file of its name.
        """

    def finish(self) -> list[Row]:
        """Write what is left."""


class FileWriter:
    """One file for each recording, `NAME.npy` or `NAME.safetensors`."""

    def __init__(self, folder: Path, ending: str, done: list[Row]) -> None:
        self._folder, self._ending = folder, ending
        self._done = {row["codes"]: row["path"] for row in done}

    def check(self, item: Item) -> None:
        """See `CodesWriter.check`."""
        if other := self._done.get(f"{item.name}{self._ending}"):
            raise SonantError(
                f"{item.path} and {other} would have one name in {self._folder}; choose another folder"
            )

    def add(self, name: str, row: Row, codes: Codes) -> list[Row]:
        """See `CodesWriter.add`."""
        file = f"{name}{self._ending}"
        target = self._folder / file
        if len(os.fsencode(target.name)) > LONGEST_NAME:
            raise AudioError(f"{row['path']}: its name is too long for a file of codes; give it another")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise AudioError(
                f"{row['path']}: a file has the name of the folder for its codes; rename one of them"
            ) from None
        if target.is_dir():
            raise AudioError(
                f"{row['path']}: a folder has the name of the file for its codes; rename one of them"
            )
        save = _save_npy if self._ending == ".npy" else _save_safetensors
        with replacing_output(target) as temporary:
            save(temporary, row, codes)
        return [{"codes": file, **row}]

    def finish(self) -> list[Row]:
        """See `CodesWriter.finish`."""
        return []


class ParquetWriter:
    """Files `codes-00000.parquet` … of about 64 MB of codes, that 🤗 Datasets opens.

    Raises:
        MissingDependencyError: without pyarrow.
    """

    def __init__(self, folder: Path, done: list[Row]) -> None:
        try:
            import pyarrow.parquet  # noqa: F401
        except ImportError:
            raise extra_missing("Parquet needs pyarrow", "parquet") from None
        self._folder = folder
        self._number = len({row["codes"] for row in done})
        self._rows: list[Row] = []
        self._waiting: list[Codes] = []

    def check(self, item: Item) -> None:
        """Files of many never replace one another."""

    def add(self, name: str, row: Row, codes: Codes) -> list[Row]:
        """See `CodesWriter.add`."""
        self._rows.append(row)
        self._waiting.append(codes)
        enough = sum(waiting.values.size for waiting in self._waiting) >= SHARD_CODES
        return self.finish() if enough else []

    def finish(self) -> list[Row]:
        """See `CodesWriter.finish`."""
        if not self._rows:
            return []
        import pyarrow as pa
        import pyarrow.parquet as pq

        rows, waiting = self._rows, self._waiting
        columns = {
            key: pa.array([row[key] for row in rows]) for key in rows[0] if key not in ("scales", "codes")
        }
        if "scales" in rows[0]:
            columns["scales"] = pa.array([row["scales"] for row in rows], pa.list_(pa.float32()))
        values = [list(codes.values) for codes in waiting]
        columns["codes"] = pa.array(values, pa.list_(pa.list_(pa.int16())))
        file = f"codes-{self._number:05d}.parquet"
        table = pa.table(columns)
        with replacing_output(self._folder / file) as temporary:
            pq.write_table(table, temporary, compression="zstd")
        self._number += 1
        self._rows, self._waiting = [], []
        return [{"codes": file, **row} for row in rows]


def make_writer(folder: Path, kind: str, done: list[Row]) -> CodesWriter:
    """The writer of a format; `done` are the rows of a run that goes on.

    Raises:
        SonantError: if there is no such format.
    """
    if kind == "parquet":
        return ParquetWriter(folder, done)
    if kind not in ("npy", "safetensors"):
        raise SonantError(f"codes are written as npy, safetensors or parquet, not as {kind}")
    return FileWriter(folder, f".{kind}", done)


def _save_npy(path: Path, row: Row, codes: Codes) -> None:
    array = io.BytesIO()
    np.save(array, codes.values)
    path.write_bytes(array.getbuffer())  # np.save itself would not say why it cannot write a file


def _save_safetensors(path: Path, row: Row, codes: Codes) -> None:
    tensors: dict[str, np.ndarray[Any, Any]] = {"codes": codes.values}
    if codes.scales is not None:
        tensors["scales"] = codes.scales
    write_tensors(path, tensors, {key: str(value) for key, value in row.items() if key != "scales"})
