"""The answers of a page's server: its own files, data, JSON, and problems as one sentence."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import PurePosixPath
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

KINDS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".flac": "audio/flac",
    ".ecdc": "application/octet-stream",
}
PAGE_KINDS = (".html", ".css", ".js")
GONE = (ConnectionError, TimeoutError)
MOST_DIGITS = 20
"""Of a length that are looked at: more than memory has."""


def _address(name: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(name)
    except ValueError:
        return None


class PageServer(ThreadingHTTPServer):
    """Answers each request in a thread of its own, at an address of either version of IP."""

    def __init__(self, address: tuple[str, int], handler: Callable[..., BaseHTTPRequestHandler]) -> None:
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say what went wrong, unless it is that the browser went away."""
        if not isinstance(sys.exc_info()[1], GONE):
            super().handle_error(request, client_address)


class PageHandler(BaseHTTPRequestHandler):
    """Serves a page and the files that all pages share.

    Attributes:
        package: the one that holds page.html and the files it names.
    """

    protocol_version = "HTTP/1.1"
    timeout = 60
    package: ClassVar[str]

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing: the terminal belongs to whoever started the server."""

    def do_GET(self) -> None:
        """A file of the page, or what the page asks for."""
        self._answer(self._get)

    def do_POST(self) -> None:
        """What the page hands in; pages of others may not."""
        self._answer(self._post)

    def _get(self, path: str) -> None:
        if not self._send_page(path):
            self.get(path)

    def _post(self, path: str) -> None:
        origin = self.headers.get("Origin")
        if origin is not None and origin.partition("://")[2] != self.headers.get("Host"):
            self.send_problem("this comes from the page of another server", HTTPStatus.FORBIDDEN)
        else:
            self.post(path)

    def _answer(self, how: Callable[[str], None]) -> None:
        self._expect_body()
        if not self._is_called_as_ours():
            self.send_problem("this server has another name", HTTPStatus.FORBIDDEN)
            return
        try:
            how(urlsplit(self.path).path)
        except GONE:
            raise
        except Exception:
            self.close_connection = True
            self.send_problem(
                "something went wrong; the server's terminal says what", HTTPStatus.INTERNAL_SERVER_ERROR
            )
            raise

    def _is_called_as_ours(self) -> bool:
        """Whether a server for this machine alone is called by an address or as localhost.

        Another site can give a name of its own the address of this machine (DNS rebinding), and its page
        would then count as one of this server.
        """
        try:
            name = urlsplit(f"//{self.headers.get('Host', '')}").hostname or "localhost"
        except ValueError:
            return False
        here = _address(str(self.connection.getsockname()[0]))
        return not (here and here.is_loopback) or name == "localhost" or _address(name) is not None

    def _expect_body(self) -> None:
        """What is sent with a request and not read would be taken for the next request."""
        self._keep = not self.close_connection
        announced = "Transfer-Encoding" in self.headers or self.headers.get("Content-Length", "0") != "0"
        self.close_connection = announced or self.close_connection

    def get(self, path: str) -> None:
        """Answer a page that asks for what is no file of it."""
        self.send_nothing()

    def post(self, path: str) -> None:
        """Answer a page that hands something in."""
        self.send_nothing()

    def query(self, key: str) -> str:
        """A value of the URL's query, empty if it is not there."""
        return parse_qs(urlsplit(self.path).query).get(key, [""])[0]

    def _send_page(self, path: str) -> bool:
        name = "page.html" if path == "/" else path.removeprefix("/")
        if PurePosixPath(name).suffix not in PAGE_KINDS:
            return False
        for package in (self.package, "sonant.web"):
            for file in resources.files(package).iterdir():
                if file.name == name:
                    self.send_data(file.read_bytes(), name)
                    return True
        return False

    def send_data(self, data: bytes, name: str) -> None:
        """Answer with data of the kind that a file of this name has."""
        self._send(data, KINDS[PurePosixPath(name).suffix], HTTPStatus.OK)

    def send_json(self, value: Any) -> None:
        """Answer with JSON."""
        self._send(json.dumps(value).encode(), "application/json", HTTPStatus.OK)

    def send_problem(self, sentence: str, status: HTTPStatus = HTTPStatus.BAD_REQUEST) -> None:
        """Answer with what is wrong."""
        self._send(sentence.encode(), "text/plain; charset=utf-8", status)

    def send_nothing(self) -> None:
        """Answer that there is nothing."""
        self.send_problem("there is nothing here", HTTPStatus.NOT_FOUND)

    def body(self, largest: int) -> bytes | None:
        """What was sent, up to so many bytes; None if it is nothing, more, or was cut off."""
        length = self.headers.get("Content-Length") or ""
        size = int(length[:MOST_DIGITS]) if length.isdecimal() else 0
        if not 0 < size <= largest:
            return None
        data = self.rfile.read(size)
        if len(data) < size:
            return None
        self.close_connection = not self._keep
        return data

    def _send(self, data: bytes, kind: str, status: HTTPStatus) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Cache-Control", "no-store")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(data)
