"""Post-screening and means of a listening test, as in the paper's section 4.3."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sonant.evaluation.mushra.results import Rating, raters_of
from sonant.evaluation.mushra.session import ANCHOR, REFERENCE, Session
from sonant.evaluation.report.markdown import table
from sonant.evaluation.report.plots import mushra_scores

REFERENCE_FLOOR, REFERENCE_SHARE = 90.0, 0.2
ANCHOR_CEILING, ANCHOR_SHARE = 80.0, 0.5


@dataclass(frozen=True)
class Score:
    """Mean over `count` raters and the half width of its 95 % confidence interval (Student's t)."""

    mean: float
    half_width: float
    count: int


def rejected_raters(ratings: Sequence[Rating]) -> dict[str, str]:
    """Raters to leave out, with the reason.

    The paper's rule: who rates the hidden reference under 90 in at least 20 % of the trials, or the
    low anchor over 80 in more than 50 %.
    """
    rejected = {}
    for rater in raters_of(ratings):
        own = [rating for rating in ratings if rating.rater == rater]
        low = [rating.score < REFERENCE_FLOOR for rating in own if rating.system == REFERENCE]
        high = [rating.score > ANCHOR_CEILING for rating in own if rating.system == ANCHOR]
        if low and np.mean(low) >= REFERENCE_SHARE:
            rejected[rater] = f"hidden reference under 90 in {np.mean(low):.0%} of the trials"
        elif high and np.mean(high) > ANCHOR_SHARE:
            rejected[rater] = f"low anchor over 80 in {np.mean(high):.0%} of the trials"
    return rejected


def mean_score(scores: Sequence[float]) -> Score:
    """Mean and 95 % interval; the interval of a single value is not known (infinite)."""
    from scipy.stats import t

    count = len(scores)
    if count < 2:
        return Score(float(np.mean(scores)), math.inf, count)
    half = t.ppf(0.975, count - 1) * np.std(scores, ddof=1) / math.sqrt(count)
    return Score(float(np.mean(scores)), float(half), count)


@dataclass(frozen=True)
class MushraReport:
    """Means by system and category, over the raters that were kept."""

    session: str
    kept: tuple[str, ...]
    rejected: dict[str, str]
    categories: tuple[str, ...]
    scores: dict[str, dict[str, Score]]

    def markdown(self) -> str:
        """Table of means, best system first."""
        rows = [
            [system] + [_cell(by_category.get(category)) for category in ("all", *self.categories)]
            for system, by_category in self.scores.items()
        ]
        lines = [
            f"# Listening test {self.session}",
            "",
            f"MUSHRA, mean ± 95 % confidence interval over raters; {len(self.kept)} kept, "
            f"{len(self.rejected)} left out.",
            "",
            table(["system", "all", *self.categories], rows),
            "",
            *(f"- left out {rater}: {reason}" for rater, reason in self.rejected.items()),
        ]
        return "\n".join(lines).rstrip() + "\n"


def _cell(score: Score | None) -> str:
    if score is None:
        return "–"
    return f"{score.mean:.1f}" + (f"±{score.half_width:.1f}" if math.isfinite(score.half_width) else "")


def _raters_means(ratings: Sequence[Rating]) -> list[float]:
    own = [[r.score for r in ratings if r.rater == rater] for rater in raters_of(ratings)]
    return [float(np.mean(scores)) for scores in own]


def summarise(session: Session, ratings: Sequence[Rating]) -> MushraReport:
    """Leave out raters as the paper does, and average what is left.

    Ratings of one rater are alike: a mean is that of raters' means, and so is its interval.
    """
    rejected = rejected_raters(ratings)
    kept = [rating for rating in ratings if rating.rater not in rejected]
    category_of = {trial.id: trial.category for trial in session.trials}
    categories = tuple(dict.fromkeys(category_of.values()))
    scores: dict[str, dict[str, Score]] = {}
    for system in dict.fromkeys(s for trial in session.trials for s in trial.stimuli.values()):
        own = [rating for rating in kept if rating.system == system]
        groups = {"all": _raters_means(own)}
        for category in categories:
            groups[category] = _raters_means([r for r in own if category_of.get(r.trial) == category])
        scores[system] = {group: mean_score(means) for group, means in groups.items() if means}
    ordered = sorted(scores, key=lambda system: -scores[system]["all"].mean if scores[system] else 1)
    kept_raters = tuple(rater for rater in raters_of(ratings) if rater not in rejected)
    return MushraReport(session.id, kept_raters, rejected, categories, {s: scores[s] for s in ordered})


def write_mushra_report(report: MushraReport, folder: Path) -> None:
    """Write `mushra.md`, `mushra.json` and `mushra.png`."""
    folder.mkdir(parents=True, exist_ok=True)
    text = report.markdown()
    if any(report.scores.values()):
        plotted = {
            system: {c: (s.mean, s.half_width) for c, s in by_category.items() if c != "all"}
            for system, by_category in report.scores.items()
        }
        mushra_scores(plotted, report.categories, folder / "mushra.png")
        text += "\n![Means and 95 % confidence intervals](mushra.png)\n"
    (folder / "mushra.md").write_text(text, encoding="utf-8")
    text = json.dumps(_as_json(asdict(report)), indent=1, ensure_ascii=False)
    (folder / "mushra.json").write_text(text + "\n", encoding="utf-8")


def _as_json(value: Any) -> Any:
    """The same with null for what is not finite, as JSON has no word for it."""
    if isinstance(value, dict):
        return {key: _as_json(v) for key, v in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
