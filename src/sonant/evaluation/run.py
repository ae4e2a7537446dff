"""Run codecs over a set: every excerpt through every codec, every metric on the result.

What cannot be measured becomes a skipped row with its reason; the rest goes on. Work is cached by
content, so that a run that was cut off, or has one codec more, computes only what is missing.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from sonant import entropy
from sonant.audio import Audio
from sonant.container.writer import CHUNK_SECONDS
from sonant.errors import SonantError
from sonant.evaluation.cache import Cache, audio_hash, content_hash
from sonant.evaluation.codecs.base import CodecUnderTest, Payload, round_trip
from sonant.evaluation.codecs.sonant import SonantCodec, code_identity
from sonant.evaluation.metrics import METRICS
from sonant.evaluation.results import Results, Row
from sonant.evaluation.sets import EvaluationSet, Excerpt
from sonant.parallel import in_order

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Plan:
    """What to measure, and where the audio and the cache are."""

    evaluation_set: EvaluationSet
    root: Path
    codecs: tuple[CodecUnderTest, ...]
    metrics: tuple[str, ...]
    cache: Path


def decoded_audio(
    codec: CodecUnderTest, reference: Audio, sample_rate: int, cache: Cache
) -> tuple[Audio, Payload]:
    """Audio through a codec and what was sent, from the cache if it is there."""
    key = content_hash(codec.identity, audio_hash(reference, sample_rate))
    found = cache.decoded(key)
    if found is None:
        found = round_trip(codec, reference, sample_rate)
        cache.add_decoded(key, *found)
    return found


def _scores(
    excerpt: Excerpt, plan: Plan, reference: Audio, degraded: Audio, cache: Cache
) -> tuple[dict[str, float], dict[str, str]]:
    rate = plan.evaluation_set.sample_rate
    key = content_hash(audio_hash(reference, rate), audio_hash(degraded, rate))
    known = cache.scores(key)
    fresh: dict[str, float] = {}
    scores: dict[str, float] = {}
    skipped: dict[str, str] = {}
    for name in plan.metrics:
        metric = METRICS[name]
        if metric.speech and not excerpt.speech:
            continue
        value = known.get(metric.identity)
        if value is None:
            try:
                value = fresh[metric.identity] = metric.measure(reference, degraded, rate)
            except Exception as error:
                skipped[name] = f"{metric.title}: {reason(error)}"
                continue
        if np.isfinite(value):
            scores[name] = value
        else:
            skipped[name] = f"{metric.title}: no finite score"
    if fresh:
        cache.add_scores(key, fresh)
    return scores, skipped


def _entropy_coded_bits(codec: CodecUnderTest, payload: Payload, cache: Cache) -> int | None:
    if not isinstance(codec, SonantCodec) or (model := codec.language_model_hash) is None:
        return None
    code = code_identity(entropy)
    key = content_hash("entropy coded", model, code, f"{CHUNK_SECONDS} s", payload.data)
    known = cache.scores(key)
    if not known:
        known = {"bits": codec.entropy_coded_bits(payload)}
        cache.add_scores(key, known)
    bits: int | None = known["bits"]
    return bits


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0] or type(error).__name__


def reason(error: Exception) -> str:
    """What an error says; of one that we did not foresee the first line, with its type and place."""
    if isinstance(error, (SonantError, OSError)):
        return str(error) or type(error).__name__
    where = traceback.extract_tb(error.__traceback__)[-1]
    return f"{_first_line(error)} ({type(error).__name__} in {where.name})"


def _rows(plan: Plan, excerpt: Excerpt, skipped: dict[str, str]) -> list[Row]:
    """The rows of an excerpt of which nothing has been measured."""
    return [
        Row(excerpt.name, excerpt.category, codec.name, codec.family, codec.kbps, skipped=skipped)
        for codec in plan.codecs
    ]


def measure_excerpt(plan: Plan, excerpt: Excerpt) -> list[Row]:
    """The rows of one excerpt, one per codec."""
    cache = Cache(plan.cache)
    rate = plan.evaluation_set.sample_rate
    try:
        reference = plan.evaluation_set.render(excerpt, plan.root)
    except Exception as error:
        return _rows(plan, excerpt, {"audio": reason(error)})
    rows = []
    for codec, row in zip(plan.codecs, _rows(plan, excerpt, {}), strict=True):
        try:
            degraded, payload = decoded_audio(codec, reference, rate, cache)
        except Exception as error:
            rows.append(replace(row, skipped={"codec": reason(error)}))
            continue
        scores, skipped = _scores(excerpt, plan, reference, degraded, cache)
        per_second = rate / reference.shape[1] / 1000
        try:
            coded = _entropy_coded_bits(codec, payload, cache)
        except Exception as error:
            coded, skipped["entropy coding"] = None, reason(error)
        rows.append(
            replace(
                row,
                kbps=payload.bits * per_second,
                entropy_coded_kbps=None if coded is None else coded * per_second,
                scores=scores,
                skipped=skipped,
            )
        )
    return rows


def _measuring(plan: Plan) -> Callable[[Excerpt], list[Row]]:
    return partial(measure_excerpt, plan)


def run(plan: Plan, jobs: int = 1, progress: Progress | None = None) -> Results:
    """All rows, in the order of the set and of the codecs, however many processes make them.

    Args:
        progress: called with the number of excerpts done, that of all, and the name of the last one.

    Raises:
        SonantError: if no process can begin to work.
    """
    excerpts = plan.evaluation_set.excerpts
    rows: list[Row] = []
    measured = in_order(partial(_measuring, plan), excerpts, min(jobs, len(excerpts)))
    for number, (excerpt, made) in enumerate(measured, 1):
        rows += _rows(plan, excerpt, {"process": str(made)}) if isinstance(made, SonantError) else made
        if progress:
            progress(number, len(excerpts), excerpt.name)
    one = plan.evaluation_set
    return Results(one.name, one.sample_rate, one.channels, plan.metrics, tuple(rows))
