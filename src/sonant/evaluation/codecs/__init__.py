"""The codecs that people use, behind one small interface, named as `family:kbps`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sonant.errors import ConfigError, SonantError
from sonant.evaluation.codecs.base import CodecUnderTest, Original, Payload, round_trip

__all__ = [
    "CodecSources",
    "CodecUnderTest",
    "Original",
    "Payload",
    "make_codec",
    "make_codecs",
    "round_trip",
]


AVERAGE = "-abr"


@dataclass(frozen=True)
class CodecSources:
    """Where codecs come from that are not in a package.

    `models` maps a family name to what `sonant.load` takes, and with `-abr` after the name stands for its
    files of an average bitrate; `external` maps a name to its encode
    and decode commands.
    """

    models: Mapping[str, str] = field(default_factory=lambda: {"sonant": "24khz"})
    lyra: Path | None = None
    evs: Path | None = None
    external: Mapping[str, tuple[str, str]] = field(default_factory=dict)


def make_codec(spec: str, sources: CodecSources) -> CodecUnderTest:
    """The codec of `family:kbps`, or `reference` for none.

    Raises:
        ConfigError: if there is no such family, or the rate is no number above 0.
        SonantError: if the codec is not at hand, with what is missing.
    """
    if spec == Original.name:
        return Original()
    family, _, rate = spec.rpartition(":")
    try:
        kbps = float(rate)
    except ValueError:
        kbps = math.nan
    if not 0 < kbps < math.inf:
        raise ConfigError(f"{spec}: name a codec as family:kbps, as in opus:12")
    if family in sources.models:
        from sonant.evaluation.codecs.sonant import SonantCodec

        return SonantCodec(sources.models[family], kbps, "Sonant" if family == "sonant" else family)
    if family.endswith(AVERAGE) and (model := family.removesuffix(AVERAGE)) in sources.models:
        from sonant.evaluation.codecs.sonant_abr import SonantAbrCodec

        return SonantAbrCodec(sources.models[model], kbps, "Sonant" if model == "sonant" else model)
    if family in ("opus", "mp3", "aac"):
        from sonant.evaluation.codecs.av_codecs import AvCodec

        return AvCodec(family, kbps)
    if family == "lyra":
        from sonant.evaluation.codecs.lyra import LyraCodec

        return LyraCodec(sources.lyra, kbps)
    from sonant.evaluation.codecs.external import EvsCodec, ExternalCodec

    if family == "evs":
        return EvsCodec(sources.evs, kbps)
    if family in sources.external:
        return ExternalCodec(family, *sources.external[family], kbps)
    known = ", ".join([*sources.models, "opus", "mp3", "aac", "lyra", "evs", *sources.external])
    raise ConfigError(f"{spec}: no such codec; choose among {known}")


def make_codecs(specs: Sequence[str], sources: CodecSources) -> tuple[list[CodecUnderTest], dict[str, str]]:
    """The codecs that can be had, and for each other spec the reason why not; each spec counts once.

    Raises:
        ConfigError: if two specs stand for codecs of one name.
    """
    codecs: dict[str, CodecUnderTest] = {}
    missing = {}
    for spec in dict.fromkeys(spec.strip() for spec in specs):
        try:
            codec = make_codec(spec, sources)
        except SonantError as error:
            missing[spec] = str(error)
            continue
        if codec.name in codecs:
            raise ConfigError(f"{spec}: there is another codec called {codec.name}")
        codecs[codec.name] = codec
    return [*codecs.values()], missing
