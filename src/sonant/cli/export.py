"""`sonant export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def export(
    model: Annotated[str, typer.Argument(help="Name, file, folder or hub id.")],
    onnx: Annotated[Path | None, typer.Option(help="Folder for ONNX graphs.")] = None,
    transformers: Annotated[Path | None, typer.Option(help="Folder for 🤗 Transformers.")] = None,
) -> None:
    """Write a model for ONNX Runtime or for 🤗 Transformers."""
    from sonant.engine.export import export_onnx
    from sonant.errors import SonantError
    from sonant.models.export import export_transformers
    from sonant.models.registry import load_model

    if onnx is None and transformers is None:
        raise SonantError("nothing to export to; give --onnx DIR or --transformers DIR")
    config, weights, *_ = load_model(model)
    if onnx is not None:
        export_onnx(config, weights, onnx)
    if transformers is not None:
        export_transformers(config, weights, transformers)
