"""Ratings on disk, in the columns of pymushra, so that its tools read them too."""

from __future__ import annotations

import csv
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from sonant.errors import ConfigError
from sonant.evaluation.mushra.session import Session

COLUMNS = (
    "wm_type",
    "wm_testId",
    "wm_id",
    "wm_date",
    "responses_stimulus",
    "responses_score",
    "responses_time",
    "questionaire_uuid",
)
MAX_RATER_LENGTH = 64


@dataclass(frozen=True)
class Rating:
    """A score from 0 to 100 that one rater gave one system in one trial."""

    rater: str
    trial: str
    system: str
    score: float


class RatingError(ConfigError):
    """Ratings that do not belong to the session."""


class RatingsFile:
    """`results.csv` of a session, appended to by many requests at once."""

    def __init__(self, session: Session, path: Path) -> None:
        self._session, self._path = session, path
        self._trials = {trial.id: trial for trial in session.trials}
        self._lock = threading.Lock()

    def add(self, message: dict[str, Any]) -> None:
        """Append the ratings of one trial as the page sends them: `rater`, `trial`, `ratings`.

        Raises:
            RatingError: unless every stimulus of the trial has one score from 0 to 100.
        """
        try:
            rater, trial = str(message["rater"]), self._trials[message["trial"]]
            given = {
                str(r["stimulus"]): (float(r["score"]), float(r.get("time", 0))) for r in message["ratings"]
            }
        except (KeyError, TypeError, ValueError, OverflowError):
            raise RatingError("ratings of no trial of this session") from None
        if not 0 < len(rater) <= MAX_RATER_LENGTH or not rater.replace("-", "").isalnum():
            raise RatingError("a rater's name is letters, digits and dashes")
        if set(given) != set(trial.stimuli) or len(message["ratings"]) != len(given):
            raise RatingError("a trial needs one rating for each of its sounds")
        if not all(0 <= score <= 100 for score, _ in given.values()):
            raise RatingError("a score is from 0 to 100")
        date = datetime.now(timezone.utc).isoformat(timespec="seconds")
        rows = [
            (
                "mushra",
                self._session.id,
                trial.id,
                date,
                trial.stimuli[name],
                f"{score:g}",
                f"{t:.0f}",
                rater,
            )
            for name, (score, t) in given.items()
        ]
        with self._lock:
            is_new = not self._path.exists()
            with open(self._path, "a", newline="", encoding="utf-8") as file:
                writer = csv.writer(file, delimiter=";")
                if is_new:
                    writer.writerow(COLUMNS)
                writer.writerows(rows)


def read_ratings(path: Path, session: Session) -> list[Rating]:
    """The session's ratings in a file; where one was given twice, the last one.

    Raises:
        ConfigError: if there are none of this session, columns are missing, or a score cannot be.
    """
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file, delimiter=";"))
        latest = {
            (row["questionaire_uuid"], row["wm_id"], row["responses_stimulus"]): float(
                row["responses_score"]
            )
            for row in rows
            if row["wm_testId"] == session.id
        }
    except FileNotFoundError:
        raise ConfigError(f"{path}: holds no ratings yet; sonant mushra serve asks for them") from None
    except (OSError, KeyError, ValueError, TypeError, csv.Error) as error:
        raise ConfigError(f"{path}: holds no ratings in pymushra's columns ({error})") from None
    if odd := [score for score in latest.values() if not 0 <= score <= 100]:
        raise ConfigError(f"{path}: a score is from 0 to 100, not {odd[0]:g}")
    if not latest:
        raise ConfigError(f"{path}: holds no ratings of test {session.id} yet")
    return [Rating(*key, score) for key, score in latest.items()]


def raters_of(ratings: Sequence[Rating]) -> list[str]:
    """Raters, in the order of their first rating."""
    return list(dict.fromkeys(rating.rater for rating in ratings))
