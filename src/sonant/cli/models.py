"""`sonant models`."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer


def models(as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """List the models that can be used by name."""
    from sonant.models.registry import OFFICIAL_NAMES, bundled_models, known_config

    rows: list[dict[str, Any]] = []
    for name in [path.stem for path in bundled_models()] + list(OFFICIAL_NAMES):
        config = known_config(name)
        rows.append(
            {
                "name": name,
                "sample_rate": config.sample_rate,
                "channels": config.channels,
                "kbps": list(config.bandwidths),
                "where": OFFICIAL_NAMES.get(name, "bundled"),
            }
        )
    if as_json:
        typer.echo(json.dumps(rows))
        return
    for row in rows:
        rates = ", ".join(f"{rate:g}" for rate in row["kbps"])
        kind = "mono" if row["channels"] == 1 else "stereo"
        typer.echo(f"{row['name']:<14} {row['sample_rate']} Hz {kind:<6}  {rates} kbps  ({row['where']})")
