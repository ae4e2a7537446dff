"""`sonant export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def export(
    model: Annotated[str, typer.Argument(help="Name, file, folder or hub id.")],
    onnx: Annotated[Path | None, typer.Option(help="New folder for ONNX graphs.")] = None,
    transformers: Annotated[Path | None, typer.Option(help="New folder for 🤗 Transformers.")] = None,
    beam: Annotated[
        int | None,
        typer.Option(min=1, help="Width of the ONNX quantisers' beam search; by default as `encode`."),
    ] = None,
) -> None:
    """Write a model for ONNX Runtime or for 🤗 Transformers."""
    from sonant.engine.export import export_onnx
    from sonant.errors import SonantError
    from sonant.loading import load
    from sonant.models.export import export_transformers
    from sonant.outputs import check_new_folder

    if onnx is None and transformers is None:
        raise SonantError("nothing to export to; give --onnx DIR or --transformers DIR")
    for folder in (onnx, transformers):
        if folder is not None:
            check_new_folder(folder)
    codec = load(model, beam=beam)
    if onnx is not None:
        export_onnx(codec.config, codec.weights, onnx, codec.beam)
    if transformers is not None:
        export_transformers(codec.config, dict(codec.weights), transformers)
