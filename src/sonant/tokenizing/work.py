"""Coding one recording, in whatever process."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sonant.audio import model_blocks, open_source
from sonant.codes import Codes, join
from sonant.errors import AudioError, WeightsError
from sonant.loading import load
from sonant.tokenizing.inputs import Item


@dataclass(frozen=True)
class Settings:
    """What all recordings of a folder are coded with; `weights` is the SHA-256 of the model's."""

    model: str
    bitrate: float
    weights: str


class Tokenizer:
    """Codes recordings, in blocks: nearest entries, of which a lower bitrate has the first.

    Raises:
        WeightsError: if the model is not here, or has other weights.
    """

    def __init__(self, settings: Settings) -> None:
        self._codec, self._bitrate = load(settings.model, beam=1), settings.bitrate
        if self._codec.weights_hash != settings.weights:
            raise WeightsError(f"{settings.model}: has other weights on this machine")

    def __call__(self, item: Item) -> Codes:
        """The codes of a recording.

        Raises:
            AudioError: if it cannot be read, holds no samples, or a manifest could not tell its name.
        """
        try:
            item.path.encode()
        except UnicodeEncodeError:
            raise AudioError(f"{item.path}: its name is not in UTF-8; give it another") from None
        config = self._codec.config
        source = open_source(Path(item.path))
        stream = self._codec.encoder(self._bitrate)
        blocks = model_blocks(source, item.path, config.sample_rate, config.channels)
        codes = join([*map(stream.push, blocks), stream.finish()])
        if not codes.frames:
            raise AudioError(f"{item.path}: holds no samples")
        return codes


def row_of(item: Item, codes: Codes, settings: Settings, sample_rate: int) -> dict[str, Any]:
    """What the manifest says of a recording."""
    row = {
        "path": os.path.abspath(item.path),  # noqa: PTH100 - Path would follow no `..`
        "seconds": round(codes.length / sample_rate, 6),
        "length": codes.length,
        "frames": codes.frames,
        "n_q": codes.n_q,
        "bitrate": settings.bitrate,
        "model": settings.model,
        "weights": settings.weights,
    }
    return row if codes.scales is None else {**row, "scales": codes.scales.tolist()}
