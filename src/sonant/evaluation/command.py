"""What `sonant evaluate` is asked for, turned into a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from sonant.audio import AUDIO_ENDINGS
from sonant.audio.folders import files_below
from sonant.errors import ConfigError, SonantError
from sonant.evaluation.cache import default_cache
from sonant.evaluation.codecs import CodecSources, make_codecs
from sonant.evaluation.metrics import METRICS
from sonant.evaluation.results import Results
from sonant.evaluation.run import Plan, reason, run
from sonant.evaluation.sets import (
    EvaluationSet,
    bundled_set,
    folder_set,
    read_manifest,
    with_noise,
)
from sonant.evaluation.speed import speed

BUNDLED = ("validation24", "validation48")
NOISE_SNRS = (5.0, 10.0, 15.0)
SPEED_SECONDS = 20


@dataclass(frozen=True)
class Request:
    """A set, the codecs by their specs, the metrics by their keys."""

    evaluation_set: EvaluationSet
    root: Path
    codecs: tuple[str, ...]
    sources: CodecSources
    metrics: tuple[str, ...]
    cache: Path | None = None
    speed: bool = False


def evaluation_set(audio: Path, sample_rate: int, noise: Path | None, seed: int) -> EvaluationSet:
    """The set that the user names: a bundled list, a manifest, or a folder, with noisy speech if asked.

    Raises:
        ConfigError: if there is no such thing.
    """
    if noise is not None and not audio.is_dir():
        raise ConfigError(f"{audio}: is a list of excerpts; --noise adds to a folder")
    if str(audio) in BUNDLED and not audio.exists():
        return bundled_set(str(audio))
    if audio.suffix.lower() in AUDIO_ENDINGS and audio.is_file():
        raise ConfigError(f"{audio}: is one file of audio; name the folder it is in")
    if audio.is_file():
        return read_manifest(audio)
    if not audio.is_dir():
        raise ConfigError(f"{audio}: no such folder or manifest; bundled lists are {' and '.join(BUNDLED)}")
    if sample_rate not in (24_000, 48_000):
        raise ConfigError(f"--sample-rate is 24000 or 48000, not {sample_rate}")
    found = folder_set(audio, sample_rate, 1 if sample_rate == 24_000 else 2)
    if noise is None:
        return found
    noises = sorted(str(path.resolve()) for path in files_below(noise))
    if not noises:
        raise ConfigError(f"{noise}: holds no audio files")
    return with_noise(found, noises, NOISE_SNRS, seed)


def root_of(audio: Path, root: Path | None) -> Path:
    """Where the paths of a set start from: `root`, the folder that is the set, or that of its manifest.

    Raises:
        ConfigError: if it is a bundled list and there is no root.
    """
    if root is None and str(audio) in BUNDLED and not audio.exists():
        raise ConfigError(f"{audio} lists parts of the corpus: --root CORPUS (recipes/get_corpus.sh)")
    return root or (audio if audio.is_dir() else audio.parent)


def codec_sources(
    channels: int,
    models: Sequence[str],
    lyra: Path | None,
    evs: Path | None,
    external: tuple[str, str, str] | None,
) -> CodecSources:
    """Where codecs come from; `sonant` is the bundled model for the number of channels.

    Raises:
        ConfigError: if a model is not given as NAME=MODEL.
    """
    named = {"sonant": "48khz" if channels == 2 else "24khz"}
    for text in models:
        name, found, place = text.rpartition("=")
        if not found:
            raise ConfigError(f"--model {text}: give NAME=MODEL, as in sonant=my.safetensors")
        named[name] = place
    return CodecSources(named, lyra, evs, {external[0]: external[1:]} if external else {})


def metric_keys(text: str) -> tuple[str, ...]:
    """Keys of metrics by comma, each once; all if empty.

    Raises:
        ConfigError: if one is unknown.
    """
    keys = tuple(dict.fromkeys(key.strip() for key in text.split(","))) if text else tuple(METRICS)
    if unknown := [key for key in keys if key not in METRICS]:
        raise ConfigError(f"no metric {unknown[0]!r}; there are {', '.join(METRICS)}")
    return keys


def evaluate_set(request: Request, jobs: int = 1) -> tuple[Results, Plan]:
    """Run it, with a progress bar on a terminal.

    Raises:
        ConfigError: if none of the codecs can be had, or nothing could be coded.
        OSError: if there can be no folder for the cache.
    """
    codecs, missing = make_codecs(request.codecs, request.sources)
    if not codecs:
        raise ConfigError("no codec to evaluate: " + "; ".join(missing.values()))
    cache = request.cache or default_cache()
    cache.mkdir(parents=True, exist_ok=True)
    plan = Plan(request.evaluation_set, request.root, tuple(codecs), request.metrics, cache)
    console = Console(stderr=True)
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    with bar:
        task = bar.add_task("excerpts", total=len(request.evaluation_set.excerpts))
        results = run(plan, jobs, lambda done, _, name: bar.update(task, completed=done, description=name))
    if not any(row.scores or row.kbps is not None for row in results.rows):
        reasons = [*results.unread(), *(reason for _, reason in results.skipped())]
        raise ConfigError(f"nothing could be measured; the first reason: {reasons[0]}")
    speeds = _speeds(plan, missing) if request.speed else {}
    return replace(results, missing=missing, speed=speeds), plan


def _speeds(plan: Plan, missing: dict[str, str]) -> dict[str, tuple[float, float]]:
    """The speed of each codec; what cannot be measured goes to `missing`."""
    rate = plan.evaluation_set.sample_rate
    for excerpt in reversed(plan.evaluation_set.excerpts):
        try:
            audio = plan.evaluation_set.render(excerpt, plan.root)
        except SonantError:
            continue
        repeats = -(-SPEED_SECONDS * rate // audio.shape[1])
        audio = np.tile(audio, repeats)[:, : SPEED_SECONDS * rate]
        break
    else:
        return {}
    speeds = {}
    for codec in plan.codecs:
        if codec.kbps:
            try:
                speeds[codec.name] = speed(codec, audio, rate)
            except Exception as error:
                missing[f"speed of {codec.name}"] = reason(error)
    return speeds
