"""Draw the validation lists of the bundled weights from a corpus folder with its `index.tsv`.

    python -m sonant.evaluation.selection CORPUS

writes `lists/validation24.json` and `lists/validation48.json` beside this file: 5 s excerpts of
packages that are never trained on, drawn with a fixed seed.
"""

from __future__ import annotations

import csv
import itertools
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

from sonant.audio import Audio, open_source
from sonant.audio.libsndfile import UNKNOWN_LENGTH, AudioFile, file_name
from sonant.audio.sources import read_source
from sonant.errors import AudioError
from sonant.evaluation.sets import PAUSE_SECONDS, Clip, EvaluationSet, Excerpt, Layer

SEED = 20221024
SECONDS = 5.0
FLOOR = -80.0
LANGUAGES = ("da", "en", "fr", "uk", "lt", "ru", "nn", "de", "el", "gl", "sl", "wa")
SNRS = (15.0, 10.0, 5.0)
FULL_BAND_RATE = 44_100


def _files(corpus: Path, package: str, kind: str, language: str = "-") -> list[tuple[str, float]]:
    """Path and seconds of the full-band recordings of a package that hold something, in order."""
    with open(corpus / "index.tsv", newline="") as file:
        rows = [
            row["path"]
            for row in csv.DictReader(file, delimiter="\t")
            if (row["package"], row["kind"], row["lang"]) == (package, kind, language)
            and row["split"].startswith("validation")
        ]
    found = []
    for path in sorted(rows):
        try:
            samples, rate = _length(corpus / path)
        except (soundfile.LibsndfileError, AudioError):
            continue
        if rate >= FULL_BAND_RATE and samples / rate > 0.2:
            found.append((path, samples / rate))
    return found


def _length(path: Path) -> tuple[int, int]:
    """Samples and their rate; a file that does not tell how many it has is read."""
    with AudioFile(file_name(path)) as file:
        samples, rate = file.frames, file.samplerate
    return samples if samples < UNKNOWN_LENGTH else _read(path)[0].shape[1], rate


def _read(path: Path) -> tuple[Audio, int]:
    """`[channels, samples]`, and their rate."""
    source = open_source(path)
    return read_source(source, str(path), source.sample_rate, source.channels), source.sample_rate


def _fill(files: Iterator[tuple[str, float]]) -> tuple[Clip, ...]:
    """Whole files end to end until the excerpt is full."""
    clips, filled = [], 0.0
    while filled < SECONDS:
        path, seconds = next(files)
        clips.append(Clip(path))
        filled += seconds + PAUSE_SECONDS
    return tuple(clips)


def _speech(corpus: Path, random: np.random.Generator) -> list[Excerpt]:
    noises = _files(corpus, "qabcs-data", "effects")
    order = itertools.cycle(random.permutation(len(noises)).tolist())
    clean, noisy = [], []
    for number, language in enumerate(LANGUAGES):
        files = iter(_files(corpus, "ktuberling-data", "speech", language))
        clean.append(Excerpt(f"clean-{language}", "clean speech", True, (Layer(_fill(files)),)))
        noise = Layer(_fill(noises[i] for i in order), SNRS[number % len(SNRS)])
        noisy.append(Excerpt(f"noisy-{language}", "noisy speech", True, (Layer(_fill(files)), noise)))
    return clean + noisy


def _place(corpus: Path, path: str, seconds: float, random: np.random.Generator) -> float:
    """A start whose excerpt is neither the fade at the ends nor quieter than half the file."""
    audio, rate = _read(corpus / path)
    wanted = np.sqrt(np.mean(np.square(audio, dtype=float))) / 2
    length = int(SECONDS * rate)
    while True:
        start = round(float(random.uniform(0, seconds - SECONDS - 0.1)), 1)
        part = audio[:, int(start * rate) :][:, :length]
        if np.sqrt(np.mean(np.square(part, dtype=float))) > wanted:
            return start


def _music(
    corpus: Path, package: str, category: str, count: int, random: np.random.Generator
) -> list[Excerpt]:
    """Excerpts of songs in turn; a song in two stems (`song` and `guitar` in one folder) is their sum."""
    files = [(p, s) for p, s in _files(corpus, package, "music") if s > SECONDS + 1]
    files.sort(key=lambda item: (item[1] < 60, item[0]))
    songs = [(p, s) for p, s in files if not p.endswith("/guitar.ogg")]
    excerpts = []
    for number, (path, seconds) in enumerate(itertools.islice(itertools.cycle(songs), count)):
        start = _place(corpus, path, seconds, random)
        stems = [path] + [p for p in [str(Path(path).with_name("guitar.ogg"))] if (corpus / p).exists()]
        layers = tuple(Layer((Clip(stem, start, SECONDS),)) for stem in stems)
        excerpts.append(Excerpt(f"{package.split('-')[0]}-{number + 1:02d}", category, False, layers))
    return excerpts


def select(corpus: Path) -> list[EvaluationSet]:
    """The two validation lists."""
    random = np.random.default_rng(SEED)
    excerpts = _speech(corpus, random)
    excerpts += _music(corpus, "freecol", "music 1", 12, random)
    excerpts += _music(corpus, "fretsonfire-songs-sectoid", "music 2", 12, random)
    stereo = _music(corpus, "starfighter-data", "music", 12, random)
    return [
        EvaluationSet("validation24", 24_000, 1, tuple(excerpts), SECONDS, True, FLOOR),
        EvaluationSet("validation48", 48_000, 2, tuple(stereo), SECONDS, True, FLOOR),
    ]


if __name__ == "__main__":
    for evaluation_set in select(Path(sys.argv[1])):
        target = Path(__file__).parent / "lists" / f"{evaluation_set.name}.json"
        target.write_text(evaluation_set.to_json(), encoding="utf-8")
