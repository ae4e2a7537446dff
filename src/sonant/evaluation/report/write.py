"""Write a report folder: `report.md`, `report.json`, `index.html` and `plots/`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import chain, count
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sonant.audio import Audio
from sonant.evaluation.cache import Cache
from sonant.evaluation.codecs.sonant import SonantCodec, read_codes
from sonant.evaluation.metrics import METRICS
from sonant.evaluation.report import markdown, plots
from sonant.evaluation.report.page import page
from sonant.evaluation.results import Results
from sonant.evaluation.run import Plan, decoded_audio
from sonant.evaluation.sets import Excerpt


def write_report(results: Results, plan: Plan, command: str, out: Path, players: int = 1) -> None:
    """Write everything under `out`.

    Args:
        command: what made the results, shown in the report.
        players: excerpts per category that can be heard on the page.
    """
    (out / "plots").mkdir(parents=True, exist_ok=True)
    pictures = [*_curves(results, out), *_spectrograms(plan, out), *_codebooks(plan, out)]
    text = markdown.report(results, command, pictures)
    (out / "report.md").write_text(text, encoding="utf-8")
    (out / "report.json").write_text(results.to_json(), encoding="utf-8")
    heard = []
    for excerpt in plan.evaluation_set.first(players).excerpts:
        if systems := _systems(plan, excerpt):
            heard.append((f"{excerpt.category}: {excerpt.name}", systems))
    html = page(text, out, heard, plan.evaluation_set.sample_rate)
    (out / "index.html").write_text(html, encoding="utf-8")


def _systems(plan: Plan, excerpt: Excerpt) -> dict[str, Audio]:
    """The excerpt itself and through every codec that can code it; empty if it cannot be read."""
    try:
        reference = plan.evaluation_set.render(excerpt, plan.root)
    except Exception:
        return {}
    systems = {"reference": reference}
    for codec in plan.codecs:
        try:
            rate = plan.evaluation_set.sample_rate
            systems[codec.name] = decoded_audio(codec, reference, rate, Cache(plan.cache))[0]
        except Exception:
            continue
    return systems


def _curves(results: Results, out: Path) -> Iterator[tuple[str, str]]:
    for key in results.metrics:
        relative = f"plots/{key}.png"
        if METRICS[key].better and plots.curves(results, key, out / relative):
            yield f"{METRICS[key].title} over the rate", relative


def _file_names(kind: str, names: Sequence[str]) -> dict[str, str]:
    """A path under the report's folder for each name, all different."""
    paths: dict[str, str] = {}
    for name in names:
        stem = f"plots/{kind}-" + re.sub(r"[^\w.-]+", "-", name)
        numbered = (f"{stem}-{number}" for number in count(1))
        paths[name] = next(path for path in chain([stem], numbered) if path not in paths.values())
    return {name: f"{path}.png" for name, path in paths.items()}


def _spectrograms(plan: Plan, out: Path) -> Iterator[tuple[str, str]]:
    paths = _file_names("spectrograms", plan.evaluation_set.categories)
    for excerpt in plan.evaluation_set.first(1).excerpts:
        strips = list(_systems(plan, excerpt).items())
        if strips:
            relative = paths[excerpt.category]
            title = f"Spectrograms, {excerpt.category}"
            plots.spectrograms(strips, plan.evaluation_set.sample_rate, excerpt.name, out / relative)
            yield title, relative


def _codebooks(plan: Plan, out: Path) -> Iterator[tuple[str, str]]:
    """Use of the codebooks by the highest rate of each Sonant model."""
    highest: dict[str, SonantCodec] = {}
    for codec in plan.codecs:
        if isinstance(codec, SonantCodec) and codec.kbps >= highest.get(codec.family, codec).kbps:
            highest[codec.family] = codec
    paths = _file_names("codebooks", [*highest])
    for family, codec in highest.items():
        codes: dict[str, list[NDArray[np.int16]]] = {}
        for excerpt in plan.evaluation_set.excerpts:
            try:
                reference = plan.evaluation_set.render(excerpt, plan.root)
                payload = decoded_audio(
                    codec, reference, plan.evaluation_set.sample_rate, Cache(plan.cache)
                )[1]
            except Exception:
                continue
            codes.setdefault(excerpt.category, []).append(read_codes(payload).values)
        if codes:
            joined = {category: np.concatenate(parts, axis=1) for category, parts in codes.items()}
            plots.codebook_use(joined, codec.bins, out / paths[family])
            yield f"Use of the codebooks, {codec.name}", paths[family]
