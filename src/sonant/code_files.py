"""Codes as .ecdc files, for those who have codes in place of audio; `Recording.codes` is the way back."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from sonant.codec import Codec
from sonant.codes import Codes
from sonant.container.writer import CHUNK_SECONDS, FileWriter
from sonant.language_models import language_model
from sonant.origin import new_header
from sonant.outputs import check_target, ecdc_output


def write(
    codes: Codes | Iterable[Codes],
    target: str | Path | BinaryIO,
    model: Codec,
    *,
    lm: bool = True,
    tags: dict[str, str] | None = None,
    chunk: float = CHUNK_SECONDS,
    overwrite: bool = False,
) -> None:
    """Write codes as a version 1 .ecdc file, as they are: none are searched for.

    Args:
        codes: of a whole recording, or its pieces in order, as a stream gives them.
        target: the .ecdc file, `-` for standard output, or anything that takes bytes.
        model: the codec that made them.
        lm: code with the language model, if the codec has one.
        tags, chunk, overwrite: as for `sonant.compress`.

    Raises:
        SonantError: one sentence on what is wrong.
    """
    network = language_model(model) if lm else None
    if isinstance(target, str | Path):
        check_target(None, target, overwrite)
    with ecdc_output(target) as file:
        writer = FileWriter(file, model.config, new_header(model, network, tags=tags), network, chunk)
        decoder = model.decoder()
        for piece in [codes] if isinstance(codes, Codes) else codes:
            decoder.check(piece)
            writer.write(piece)
        writer.finish()
