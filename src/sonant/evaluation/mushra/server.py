"""Serve a session's page, its audio under blinded names, and take ratings."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

from sonant.evaluation.mushra.results import RatingError, RatingsFile
from sonant.evaluation.mushra.session import Session, read_session
from sonant.web.server import PageHandler, PageServer

RESULTS = "results.csv"
_MAX_BODY = 1 << 20


class _Handler(PageHandler):
    package = "sonant.evaluation.mushra"

    def __init__(self, session: Session, folder: Path, ratings: RatingsFile, *arguments: Any) -> None:
        self._session, self._folder, self._ratings = session, folder, ratings
        super().__init__(*arguments)

    def get(self, path: str) -> None:
        """Trials, audio."""
        if path == "/trials":
            self.send_json(_blinded(self._session, self.query("rater")))
        elif (name := path.removeprefix("/audio/")) in self._session.audio_names():
            self.send_data((self._folder / "audio" / f"{name}.flac").read_bytes(), f"{name}.flac")
        else:
            self.send_nothing()

    def post(self, path: str) -> None:
        """Ratings of one trial."""
        body = self.body(_MAX_BODY)
        if path != "/results" or body is None:
            self.send_problem("these are no ratings")
            return
        try:
            message = json.loads(body)
            self._ratings.add(message if isinstance(message, dict) else {})
        except (ValueError, RatingError) as error:
            self.send_problem(str(error))
        else:
            self.send_json({})


def _blinded(session: Session, rater: str) -> dict[str, Any]:
    return {
        "id": session.id,
        "trials": [
            {"id": trial.id, "reference": trial.open_reference, "stimuli": stimuli}
            for trial, stimuli in session.order(rater)
        ],
    }


def mushra_server(folder: Path, host: str = "127.0.0.1", port: int = 0) -> PageServer:
    """A server for a session folder, bound but not yet running; ratings go to `results.csv` in it.

    Raises:
        ConfigError: if the folder holds no session.
    """
    session = read_session(folder)
    ratings = RatingsFile(session, folder / RESULTS)
    return PageServer((host, port), partial(_Handler, session, folder, ratings))
