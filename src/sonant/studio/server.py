"""Serve the page: models, recordings handed in, their versions."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from typing import Any

from sonant.errors import SonantError
from sonant.studio.desk import Desk, Take
from sonant.web.server import PageHandler, PageServer

LARGEST = 200 << 20


class _Handler(PageHandler):
    package = "sonant.studio"

    def __init__(self, desk: Desk, *arguments: Any) -> None:
        self._desk = desk
        super().__init__(*arguments)

    def get(self, path: str) -> None:
        """The models, the files of takes."""
        if path == "/models":
            self.send_json(self._desk.models())
            return
        take, name = self._take_of(path)
        file = self._desk.file(take, name) if take else None
        if file is None:
            self.send_nothing()
        else:
            self.send_data(file.read_bytes(), name)

    def post(self, path: str) -> None:
        """`/takes?name=` with a file as body, `/takes/NUMBER/versions?model=&bitrate=` without."""
        try:
            if path == "/takes":
                self._hand_in()
            else:
                self._send_version(path)
        except SonantError as error:
            self.send_problem(str(error))

    def _hand_in(self) -> None:
        data = self.body(LARGEST)
        if data is None:
            self.send_problem(f"a recording has 1 byte to {LARGEST >> 20} MB")
        else:
            self.send_json(asdict(self._desk.hand_in(self.query("name"), data)))

    def _send_version(self, path: str) -> None:
        take, name = self._take_of(path)
        if take is None or name != "versions":
            self.send_nothing()
            return
        try:
            bitrate = float(self.query("bitrate"))
        except ValueError:
            self.send_problem("give a model and a bitrate in kbit/s")
            return
        self.send_json(asdict(self._desk.version(take, self.query("model"), bitrate)))

    def _take_of(self, path: str) -> tuple[Take | None, str]:
        """The take and the rest of `/takes/NUMBER/REST`."""
        match path.split("/"):
            case ["", "takes", number, rest]:
                return self._desk.take(number), rest
        return None, ""


def studio_server(desk: Desk, host: str = "127.0.0.1", port: int = 0) -> PageServer:
    """A server for a desk, bound but not yet running."""
    return PageServer((host, port), partial(_Handler, desk))
