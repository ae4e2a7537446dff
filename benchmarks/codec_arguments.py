"""The codecs that several of these programs are told to look at."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from sonant.evaluation.codecs import CodecSources, make_codec
from sonant.evaluation.codecs.base import CodecUnderTest


def add_codecs(parser: argparse.ArgumentParser) -> None:
    """Arguments --codecs and --lyra, beside the --model that they call sonant."""
    parser.add_argument("--codecs", default="sonant:6,opus:6")
    parser.add_argument("--lyra", type=Path)


def chosen_codecs(options: argparse.Namespace) -> Iterator[CodecUnderTest]:
    """What --codecs names, one after the other."""
    sources = CodecSources(models={"sonant": options.model}, lyra=options.lyra)
    for spec in options.codecs.split(","):
        yield make_codec(spec, sources)
