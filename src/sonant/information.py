"""What a file says about itself."""

from __future__ import annotations

from pathlib import Path

from sonant.container import version0
from sonant.errors import FormatError, WeightsError
from sonant.files import open_ecdc
from sonant.models.registry import known_config


def describe(path: Path) -> dict[str, str | int | float | bool]:
    """Model, duration, rate and size of an .ecdc file; seconds and kbit/s where the model is known.

    Raises:
        FormatError: if the file is none.
    """
    with open_ecdc(path) as file:
        try:
            header = version0.read_header(file)
        except FormatError as error:
            raise FormatError(f"{path}: {error}") from None
    size = path.stat().st_size
    values: dict[str, str | int | float | bool] = {
        "version": 0,
        "model": header.model,
        "samples": header.length,
        "codebooks": header.n_q,
        "language_model": header.lm,
        "bytes": size,
    }
    try:
        config = known_config(header.model)
    except WeightsError:
        return values
    seconds = header.length / config.sample_rate
    return values | {
        "sample_rate": config.sample_rate,
        "channels": config.channels,
        "seconds": round(seconds, 3),
        "nominal_kbps": config.bitrate_of(header.n_q),
        "actual_kbps": round(size * 8 / 1000 / seconds, 3) if seconds else 0.0,
    }
