"""How commands serve a page until they are stopped."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from sonant.errors import ConfigError

if TYPE_CHECKING:
    from http.server import ThreadingHTTPServer

Host = Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 lets other machines in.")]
Port = Annotated[int, typer.Option(min=0, max=65_535, help="Port to listen on; 0 takes any free one.")]


def serve_page(
    make: Callable[[str, int], ThreadingHTTPServer], host: str, port: int, browser: bool = False
) -> None:
    """Serve until Ctrl-C; say where, or show it in a browser.

    Raises:
        ConfigError: if the port cannot be had.
    """
    try:
        server = make(host, port)
    except OSError as error:
        raise ConfigError(f"cannot serve on {host}:{port} ({error.strerror}); try another --port") from None
    name = f"[{host}]" if ":" in host else host
    address = f"http://{name}:{server.server_port}/"
    typer.echo(f"{address}  (Ctrl-C ends)", err=True)
    if browser:
        import webbrowser

        webbrowser.open(address)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        server.server_close()
