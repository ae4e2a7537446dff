"""A corpus into codes, from where the last run stopped."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TextIO

from sonant.codes import Codes
from sonant.errors import AudioError, SonantError
from sonant.loading import load
from sonant.parallel import in_order, processes
from sonant.tokenizing.inputs import Item, find_items
from sonant.tokenizing.summary import Progress, Summary
from sonant.tokenizing.work import Settings, Tokenizer, row_of
from sonant.tokenizing.writers import Row, make_writer
from sonant.whole_files import remove_partials, write_output

MANIFEST, SETTINGS, FAILED = "manifest.jsonl", "settings.json", "failed.jsonl"

Results = Iterator[tuple[Item, Codes | SonantError]]
Engine = Callable[[Settings, Sequence[Item], int], Results]


def tokenize(
    inputs: Sequence[Path],
    folder: Path,
    *,
    model: str = "24khz",
    bitrate: float | None = None,
    kind: str = "npy",
    jobs: int = 1,
    engine: str = "local",
    progress: Progress | None = None,
) -> Summary:
    """Code recordings into a folder of codes with a manifest.

    What the folder has already is not coded again; a recording that fails does not stop the rest,
    and is listed in `failed.jsonl`.

    Args:
        inputs: as for `find_items`.
        folder: for the codes, `manifest.jsonl` and `settings.json`.
        model, bitrate: as for `sonant.load` and `Codec.encode`.
        kind: `npy` or `safetensors`, a file for each recording, or `parquet`, files of many.
        jobs: processes, or with Ray actors; 0 for one on each core.
        engine: `local`, or `ray` for a Ray cluster.
        progress: told of every recording.

    Raises:
        SonantError: if the folder holds codes made with other settings, or of other recordings under the
            same names, inputs cannot be found, or there is no such format or number of jobs.
    """
    jobs = processes(jobs)
    items = find_items(inputs)
    codec = load(model)
    settings = Settings(model, codec.config.chosen_bitrate(bitrate), codec.weights_hash)
    results = _engine(engine)
    folder.mkdir(parents=True, exist_ok=True)
    chosen: dict[str, object] = {**asdict(settings), "format": kind}
    with _undamaged(folder / MANIFEST):
        done = _resume(folder, chosen)
        coded_before = {_place(row["path"]) for row in done}
    writer = make_writer(folder, kind, done)
    missing = [item for item in items if _place(item.path) not in coded_before]
    for item in missing:
        writer.check(item)
    if not (folder / SETTINGS).exists():
        write_output(folder / SETTINGS, json.dumps(chosen) + "\n")
    summary = Summary(before=len(items) - len(missing))
    failures: list[str] = []
    (folder / FAILED).unlink(missing_ok=True)
    with open(folder / MANIFEST, "a", encoding="utf-8") as manifest:
        try:
            for number, (item, result) in enumerate(results(settings, missing, jobs), 1):
                rows: list[Row] = []
                if not isinstance(result, SonantError):
                    row = row_of(item, result, settings, codec.config.sample_rate)
                    try:
                        rows = writer.add(item.name, row, result)
                    except AudioError as error:
                        result = error
                if isinstance(result, SonantError):
                    failures.append(str(result))
                    _append(folder / FAILED, {"path": item.path, "error": str(result)})
                else:
                    _write(manifest, rows)
                    summary.coded += 1
                    summary.seconds += row["seconds"]
                if progress:
                    progress(summary.before + number, len(items), summary)
        finally:
            _write(manifest, writer.finish())
    summary.failures = tuple(failures)
    return summary


def _place(path: str) -> str:
    """A file, however its folder is written; a link is another recording than what it leads to."""
    folder, name = os.path.split(path)
    return str(Path(os.path.realpath(folder), name))


def _engine(name: str) -> Engine:
    if name == "local":
        return _local
    if name == "ray":
        from sonant.tokenizing.ray_engine import check_ray, on_ray

        check_ray()
        return on_ray
    raise SonantError(f"there is no engine {name}; choose local or ray")


def _local(settings: Settings, items: Sequence[Item], jobs: int) -> Results:
    yield from in_order(partial(Tokenizer, settings), items, min(jobs, max(1, len(items))))


def _resume(folder: Path, settings: dict[str, object]) -> list[Row]:
    """The rows of what is done; a last line that was not finished is cut off."""
    known = folder / SETTINGS
    if known.exists():
        with _undamaged(known):
            before = json.loads(known.read_text(encoding="utf-8"))
        if before != settings:
            raise SonantError(f"{folder}: holds codes made with other settings; choose another folder")
    else:
        remove_partials(known)
        if any(folder.iterdir()):
            raise SonantError(f"{folder}: is not empty and holds no codes; choose another folder")
    manifest = folder / MANIFEST
    if not manifest.exists():
        return []
    data = manifest.read_bytes()
    whole = whole_lines(data)
    if len(whole) < len(data):
        os.truncate(manifest, len(whole))
    return [json.loads(line) for line in whole.splitlines()]


def whole_lines(manifest: bytes) -> bytes:
    """A manifest without the line that a run had begun when it was killed."""
    return manifest[: manifest.rfind(b"\n") + 1]


@contextmanager
def _undamaged(file: Path) -> Iterator[None]:
    """What is read there is as it was written.

    Raises:
        SonantError: if it is not.
    """
    try:
        yield
    except (ValueError, KeyError, TypeError):
        raise SonantError(f"{file}: is damaged; choose another folder") from None


def _write(manifest: TextIO, rows: list[Row]) -> None:
    if rows:
        manifest.write("".join(_line(row) for row in rows))
        manifest.flush()


def _append(path: Path, row: Row) -> None:
    with open(path, "a", encoding="utf-8") as file:
        file.write(_line(row))


def _line(row: Row) -> str:
    """A row of a manifest; names that UTF-8 has no bytes for are escaped."""
    text = json.dumps(row, ensure_ascii=False)
    return (text if text.isprintable() else json.dumps(row)) + "\n"
