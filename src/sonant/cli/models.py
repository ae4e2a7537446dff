"""`sonant models`."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer


def models(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List the models that can be used by name."""
    from sonant.models.registry import OFFICIAL_NAMES, bundled_models, known_config

    rows: list[dict[str, Any]] = []
    bundled = {path.stem: path for path in bundled_models()}
    for name in [*bundled, *OFFICIAL_NAMES]:
        config, file = known_config(name), bundled.get(name)
        rows.append(
            {
                "name": name,
                "sample_rate": config.sample_rate,
                "channels": config.channels,
                "kbps": list(config.bandwidths),
                "where": OFFICIAL_NAMES.get(name, "bundled"),
                "bytes": file.stat().st_size if file else None,
            }
        )
    if as_json:
        typer.echo(json.dumps(rows))
        return
    for row in rows:
        rates = ", ".join(f"{rate:g}" for rate in row["kbps"])
        kind = "mono" if row["channels"] == 1 else "stereo"
        size = f", {row['bytes'] / 1e6:.0f} MB" if row["bytes"] else ""
        sound = f"{row['sample_rate']} Hz {kind:<6}  {rates} kbit/s"
        typer.echo(f"{row['name']:<14} {sound}  ({row['where']}{size})")
