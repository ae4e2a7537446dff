"""`sonant studio`."""

from __future__ import annotations

from typing import Annotated

import typer

from sonant.cli.serving import Host, Port, serve_page


def studio(
    model: Annotated[
        list[str] | None,
        typer.Option(
            "-m", "--model", help="Name, file, folder or hub id; may be repeated; by default all bundled."
        ),
    ] = None,
    seconds: Annotated[
        float, typer.Option(min=1.0, max=86_400, help="Seconds taken of a recording, at most.")
    ] = 120.0,
    host: Host = "127.0.0.1",
    port: Port = 8090,
    browser: Annotated[bool, typer.Option(help="Open the page in a browser.")] = True,
) -> None:
    """Serve a page to hear recordings at every bitrate.

    What is uploaded or recorded there is coded on this machine and kept until the server stops.
    """
    from functools import partial
    from pathlib import Path
    from tempfile import TemporaryDirectory

    from sonant.models.registry import bundled_models
    from sonant.studio.desk import Desk
    from sonant.studio.server import studio_server

    models = model or [path.stem for path in bundled_models()]
    with TemporaryDirectory(prefix="sonant-studio-") as folder:
        serve_page(partial(studio_server, Desk(Path(folder), models, seconds)), host, port, browser)
