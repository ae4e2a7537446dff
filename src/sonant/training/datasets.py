"""Where the recordings of public datasets lie on disk, what they are and how they are split.

The splits are those of the paper (appendix A.1), drawn by a hash of the name so that they are the
same everywhere. Every reader only lists; nothing is opened here.
"""

from __future__ import annotations

import csv
import json
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

from sonant.audio import AUDIO_ENDINGS
from sonant.audio.folders import files_below
from sonant.errors import ConfigError
from sonant.training.manifest import MANIFEST_NAME, Recording, read_manifest, split_by_hash

ENDINGS = AUDIO_ENDINGS | {".g722"}
SPLITS = ("train", "validation", "test")
KINDS = ("speech", "music", "general", "effects", "noise", "instrument", "rir")

DNS_SPLIT = {"train": 0.98, "validation": 0.01, "test": 0.01}
COMMON_VOICE_SPLIT = {"train": 0.995, "validation": 0.0025, "test": 0.0025}
JAMENDO_SPLIT = {"train": 0.96, "validation": 0.02, "test": 0.02}
HALVES = {"validation": 0.5, "test": 0.5}
FOLDER_SPLIT = {"train": 0.99, "validation": 0.01}


def audio_files(folder: Path) -> list[Path]:
    """All audio files below a folder, sorted."""
    return files_below(folder, ENDINGS)


def dns_challenge(root: Path) -> Iterator[Recording]:
    """DNS Challenge 4: `clean_fullband`, `noise_fullband` and `impulse_responses`."""
    base = root / "datasets_fullband" if (root / "datasets_fullband").is_dir() else root
    licence = "see the DNS Challenge"
    for folder, kind in (("clean_fullband", "speech"), ("noise_fullband", "noise")):
        for path in audio_files(base / folder):
            first, *rest = path.relative_to(base / folder).parts
            language = first.removesuffix("_speech") if kind == "speech" and rest else ""
            split = split_by_hash(path.name, DNS_SPLIT)
            yield Recording(str(path), kind, split, "DNS Challenge 4", licence, language)
    responses = base / "impulse_responses"
    for path in audio_files(responses if responses.is_dir() else root / "impulse_responses"):
        yield Recording(str(path), "rir", "train", "DNS Challenge 4", licence)


def common_voice(root: Path) -> Iterator[Recording]:
    """Common Voice: `<language>/validated.tsv` beside `<language>/clips`."""
    for table in sorted([*root.glob("validated.tsv"), *root.glob("*/validated.tsv")]):
        for row in _table(table, "\t"):
            path = table.parent / "clips" / row["path"]
            split = split_by_hash(path.name, COMMON_VOICE_SPLIT)
            yield Recording(str(path), "speech", split, "Common Voice", "CC0-1.0", table.parent.name)


def audioset(root: Path) -> Iterator[Recording]:
    """AudioSet: `<name>_segments.csv` beside a folder `<name>_segments` of files named by video."""
    licence = "see the videos"
    for table in sorted(root.glob("*_segments.csv")):
        files: dict[str, Path] = {}
        for path in audio_files(table.with_suffix("")):
            files[path.stem] = path
            files.setdefault(path.stem[:11], path)
            files.setdefault(path.stem.removeprefix("Y")[:11], path)
        with open(table, encoding="utf-8") as lines:
            for line in lines:
                video = line.split(",")[0]
                if line.startswith("#") or video not in files:
                    continue
                split = "train" if "train" in table.stem else split_by_hash(video, HALVES)
                yield Recording(str(files[video]), "general", split, "AudioSet", licence, title=video)


def fsd50k(root: Path) -> Iterator[Recording]:
    """FSD50K: `FSD50K.dev_audio` and `FSD50K.eval_audio`, licences in `FSD50K.metadata`."""
    for part in ("dev", "eval"):
        information = root / "FSD50K.metadata" / f"{part}_clips_info_FSD50K.json"
        clips = json.loads(information.read_text("utf-8")) if information.exists() else {}
        for path in audio_files(root / f"FSD50K.{part}_audio"):
            split = "train" if part == "dev" else split_by_hash(path.name, HALVES)
            clip = clips.get(path.stem, {})
            licence, title = clip.get("license", "CC, see FSD50K"), clip.get("title", "")
            yield Recording(str(path), "general", split, "FSD50K", licence, title=title)


def jamendo(root: Path) -> Iterator[Recording]:
    """MTG-Jamendo: tracks `NN/ID.mp3`, split by artist as the table `*.tsv` names them."""
    artists: dict[str, str] = {}
    for table in sorted([*root.glob("*.tsv"), *root.glob("data/*.tsv")]):
        with open(table, encoding="utf-8") as lines:
            for line in lines:
                track, artist, *_ = [*line.split("\t"), ""]
                artists[track.removeprefix("track_").lstrip("0")] = artist
    for path in audio_files(root):
        track = path.name.split(".")[0]
        split = split_by_hash(artists.get(track, track), JAMENDO_SPLIT)
        yield Recording(str(path), "music", split, "MTG-Jamendo", "CC, see MTG-Jamendo", title=track)


def indexed_corpus(root: Path) -> Iterator[Recording]:
    """A corpus with `index.tsv`: split, kind, lang, package, licence, bytes, path."""
    rows = [row for row in _table(root / "index.tsv", "\t") if row["split"] != "drop"]
    for row in sorted(rows, key=lambda r: (r["split"], r["kind"], r["package"], r["lang"], r["path"])):
        language = "" if row["lang"] == "-" else row["lang"]
        yield Recording(
            str(root / row["path"]),
            row["kind"],
            row["split"],
            row["package"],
            row["licence"],
            language,
            row["path"],
        )


def folder(root: Path, kind: str = "general") -> Iterator[Recording]:
    """Any folder; a first level named after a kind, or train / validation / test, says so."""
    for path in audio_files(root):
        parts = path.relative_to(root).parts[:-1]
        found = next((part for part in parts if part in KINDS), kind)
        split = next((part for part in parts if part in SPLITS), None)
        title = str(path.relative_to(root))
        yield Recording(
            str(path), found, split or split_by_hash(title, FOLDER_SPLIT), root.name, title=title
        )


def tar_archive(path: Path, kind: str = "general") -> Iterator[Recording]:
    """Audio in an uncompressed tar, or in all tars of a folder, read in place.

    Raises:
        ConfigError: if a tar is damaged or compressed.
    """
    for archive in sorted(path.glob("*.tar")) if path.is_dir() else [path]:
        try:
            with tarfile.open(archive, "r:") as tar:
                for member in tar:
                    if member.isfile() and Path(member.name).suffix.lower() in ENDINGS:
                        split = split_by_hash(member.name, FOLDER_SPLIT)
                        yield Recording(
                            str(archive),
                            kind,
                            split,
                            archive.stem,
                            title=member.name,
                            offset=member.offset_data,
                            size=member.size,
                        )
        except (tarfile.TarError, OSError) as error:
            raise ConfigError(f"{archive}: is not an uncompressed tar ({error})") from None


def path_list(path: Path, kind: str = "general") -> Iterator[Recording]:
    """A text file: on each line a path, and after tabs, if wanted, kind and split.

    Raises:
        ConfigError: if it is no text in UTF-8, or names a split that there is not.
    """
    try:
        lines = path.read_text("utf-8-sig").split("\n")
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: is no list; name a folder, a tar, a list or a manifest") from None
    for line in lines:
        name, *rest = line.strip().split("\t")
        if not name or name.startswith("#"):
            continue
        split = rest[1] if len(rest) > 1 else split_by_hash(name, FOLDER_SPLIT)
        if split not in SPLITS:
            known = ", ".join(SPLITS)
            raise ConfigError(f"{path}: {name} is of the split {split!r}; choose one of {known}")
        yield Recording(str(path.parent / name), rest[0] if rest else kind, split, path.stem, title=name)


def _table(path: Path, delimiter: str) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8-sig") as file:
        return list(csv.DictReader(file, delimiter=delimiter, quoting=csv.QUOTE_NONE))


LAYOUTS: dict[str, Callable[[Path], Iterator[Recording]]] = {
    "dns4": dns_challenge,
    "common-voice": common_voice,
    "audioset": audioset,
    "fsd50k": fsd50k,
    "jamendo": jamendo,
    "index": indexed_corpus,
}


def _detect(root: Path) -> str:
    signs = {
        "index": [root / "index.tsv"],
        "dns4": [root / "datasets_fullband", root / "clean_fullband"],
        "common-voice": [*root.glob("validated.tsv"), *root.glob("*/validated.tsv")],
        "audioset": list(root.glob("*_segments.csv")),
        "fsd50k": [root / "FSD50K.dev_audio", root / "FSD50K.eval_audio"],
        "jamendo": [*root.glob("data/autotagging*.tsv"), *root.glob("autotagging*.tsv")],
    }
    for layout, places in signs.items():
        if any(place.exists() for place in places):
            return layout
    return "tar" if any(root.glob("*.tar")) else "folder"


def list_recordings(root: Path, layout: str = "auto", kind: str = "general") -> list[Recording]:
    """The recordings at `root`: a folder in a known layout or in none, a tar, a list, a manifest.

    Args:
        root: where to look.
        layout: dns4, common-voice, audioset, fsd50k, jamendo, index, folder, tar, list, manifest or
            auto, which finds out.
        kind: what folders, tars and lists hold, unless they say otherwise.

    Raises:
        ConfigError: if there is nothing there, something of an unknown kind, a path that cannot be, or a
            table that is damaged.
    """
    if not root.exists():
        raise ConfigError(f"{root}: no such file or folder")
    if layout == "auto":
        if root.is_dir():
            layout = "manifest" if (root / MANIFEST_NAME).exists() else _detect(root)
        else:
            layout = {".tar": "tar", ".jsonl": "manifest"}.get(root.suffix, "list")
    plain = {"folder": folder, "tar": tar_archive, "list": path_list}
    if layout in LAYOUTS:
        try:
            found = list(LAYOUTS[layout](root))
        except (AttributeError, KeyError, TypeError, ValueError, csv.Error) as error:
            raise ConfigError(f"{root}: its tables are not those of {layout} ({error})") from None
    elif layout in plain:
        found = list(plain[layout](root, kind))
    elif layout == "manifest":
        found = read_manifest(root)
    else:
        known = ", ".join([*LAYOUTS, *plain, "manifest"])
        raise ConfigError(f"unknown layout {layout!r}; choose one of {known}")
    if not found:
        raise ConfigError(f"{root}: holds no recordings in the layout {layout!r}")
    for recording in found:
        if "\0" in recording.file:
            raise ConfigError(f"{root}: names a file with a zero byte, which no path holds")
        if recording.kind not in KINDS:
            known = ", ".join(KINDS)
            raise ConfigError(f"{recording.name}: is of the kind {recording.kind!r}; choose one of {known}")
    return found
