"""A session on disk: blinded audio files, and a key that says what each of them is.

`session.json` holds the trials and, for every blinded name, the system behind it; `audio/` holds the
files. Only the server reads `session.json`: the page sees blinded names.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from sonant.errors import ConfigError

REFERENCE = "reference"
ANCHOR = "anchor35"


@dataclass(frozen=True)
class Trial:
    """One excerpt: the blinded name of the open reference, and of each system to rate.

    `stimuli` maps blinded names to systems, the hidden reference and the low anchor among them.
    """

    id: str
    category: str
    open_reference: str
    stimuli: dict[str, str]


@dataclass(frozen=True)
class Session:
    """A listening test."""

    id: str
    seed: int
    trials: tuple[Trial, ...]

    def order(self, rater: str) -> list[tuple[Trial, list[str]]]:
        """The trials and the blinded names in each, shuffled by seed and rater."""
        random = np.random.default_rng([self.seed, *rater.encode()])
        shuffled = [self.trials[i] for i in random.permutation(len(self.trials))]
        return [(trial, random.permutation(sorted(trial.stimuli)).tolist()) for trial in shuffled]

    def audio_names(self) -> set[str]:
        """All blinded names."""
        return {name for trial in self.trials for name in (trial.open_reference, *trial.stimuli)}

    def write(self, folder: Path) -> None:
        """Write `session.json`."""
        text = json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n"
        (folder / "session.json").write_text(text, encoding="utf-8")


def read_session(folder: Path) -> Session:
    """Read a session.

    Raises:
        ConfigError: if the folder holds none.
    """
    try:
        found = json.loads((folder / "session.json").read_text(encoding="utf-8"))
        return Session(found["id"], found["seed"], tuple(Trial(**trial) for trial in found["trials"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{folder}: holds no listening test ({error}); `sonant mushra prepare`") from None
