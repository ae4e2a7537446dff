"""Serve a session's page, its audio under blinded names, and take ratings."""

from __future__ import annotations

import json
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from sonant.evaluation.mushra.results import RatingError, RatingsFile
from sonant.evaluation.mushra.session import Session, read_session

RESULTS = "results.csv"
_PAGES = {
    "/": ("page.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
}
_MAX_BODY = 1 << 20


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, session: Session, folder: Path, ratings: RatingsFile, *arguments: Any) -> None:
        self._session, self._folder, self._ratings = session, folder, ratings
        super().__init__(*arguments)

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing: the terminal belongs to whoever runs the test."""

    def do_GET(self) -> None:
        """Pages, trials, audio."""
        url = urlsplit(self.path)
        if url.path in _PAGES:
            name, kind = _PAGES[url.path]
            self._send((resources.files("sonant.evaluation.mushra") / name).read_bytes(), kind)
        elif url.path == "/trials":
            rater = parse_qs(url.query).get("rater", [""])[0]
            self._send(json.dumps(_blinded(self._session, rater)).encode(), "application/json")
        elif (name := url.path.removeprefix("/audio/")) in self._session.audio_names():
            self._send((self._folder / "audio" / f"{name}.flac").read_bytes(), "audio/flac")
        else:
            self.send_error(HTTPStatus.NOT_FOUND)

    def do_POST(self) -> None:
        """Ratings of one trial."""
        length = int(self.headers.get("Content-Length") or 0)
        if self.path != "/results" or not 0 < length <= _MAX_BODY:
            self.send_error(HTTPStatus.BAD_REQUEST)
            return
        try:
            message = json.loads(self.rfile.read(length))
            self._ratings.add(message if isinstance(message, dict) else {})
        except (ValueError, RatingError) as error:
            self._send(str(error).encode(), "text/plain; charset=utf-8", HTTPStatus.BAD_REQUEST)
        else:
            self._send(b"", "text/plain", HTTPStatus.OK)

    def _send(self, data: bytes, kind: str, status: HTTPStatus = HTTPStatus.OK) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(data)


def _blinded(session: Session, rater: str) -> dict[str, Any]:
    return {
        "id": session.id,
        "trials": [
            {"id": trial.id, "reference": trial.open_reference, "stimuli": stimuli}
            for trial, stimuli in session.order(rater)
        ],
    }


def mushra_server(folder: Path, host: str = "127.0.0.1", port: int = 0) -> ThreadingHTTPServer:
    """A server for a session folder, bound but not yet running; ratings go to `results.csv` in it.

    Raises:
        ConfigError: if the folder holds no session.
    """
    session = read_session(folder)
    ratings = RatingsFile(session, folder / RESULTS)
    return ThreadingHTTPServer((host, port), partial(_Handler, session, folder, ratings))
