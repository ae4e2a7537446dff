"""The clean speech of validation24, as several of these programs take it."""

from __future__ import annotations

import argparse
from pathlib import Path

from sonant.audio import Audio
from sonant.evaluation.sets import bundled_set


def speech_parser(description: str | None, excerpts: int) -> argparse.ArgumentParser:
    """Arguments CORPUS, --model and --excerpts."""
    parser = argparse.ArgumentParser(description=(description or "").splitlines()[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--model", default="24khz")
    parser.add_argument("--excerpts", type=int, default=excerpts)
    return parser


def clean_speech(corpus: Path, excerpts: int) -> tuple[list[Audio], int]:
    """The first excerpts, `[1, T]` each, and their rate."""
    chosen = bundled_set("validation24").first(excerpts)
    clips = [chosen.render(e, corpus) for e in chosen.excerpts if e.category == "clean speech"]
    return clips, chosen.sample_rate
