"""Tables of a run in Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from sonant.errors import printable
from sonant.evaluation.metrics import METRICS
from sonant.evaluation.report.paper import TABLES, PaperTable
from sonant.evaluation.results import ENTROPY_CODED_RATE, RATE, Results, attributed
from sonant.evaluation.statistics import Mean

NOTHING = "–"


def literal(text: str) -> str:
    """Text on one line, in which `*`, `<`, `|` and backslashes mean nothing."""
    return re.sub(r"([\\*<|])", r"\\\1", printable(text))


def without_escapes(text: str) -> str:
    """What `literal` was made from, on one line."""
    return re.sub(r"\\([\\*<|])", r"\1", text)


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; the first column to the left, the others to the right."""
    lines = [header, ["---"] + ["--:"] * (len(header) - 1), *rows]
    return "\n".join("| " + " | ".join(map(literal, line)) + " |" for line in lines)


def cell(mean: Mean | None, interval: bool = True) -> str:
    """`value [low, high]` to two decimals."""
    if mean is None:
        return NOTHING
    known = interval and mean.low is not None
    return f"{mean.value:.2f}" + (f" [{mean.low:.2f}, {mean.high:.2f}]" if known else "")


def _rate(results: Results, codec: str, quantity: str = RATE) -> str:
    mean = results.mean(codec, quantity)
    return NOTHING if mean is None or mean.value == 0 else f"{mean.value:.2f}"


def metric_table(results: Results, key: str, interval: bool = True) -> str:
    """One metric: a row per codec, a column per category; empty where it has no value at all."""
    rows = [
        [codec, _rate(results, codec)]
        + [cell(results.mean(codec, key, [category]), interval) for category in results.categories]
        for codec in results.codecs
    ]
    known = [row for row in rows if set(row[2:]) != {NOTHING}]
    return table(["codec", "kbps", *results.categories], known) if known else ""


def rate_table(results: Results) -> str:
    """Measured rates by category, and the entropy-coded ones where a language model was run."""
    coded = any(results.mean(codec, ENTROPY_CODED_RATE) for codec in results.codecs)
    quantities = (RATE, ENTROPY_CODED_RATE) if coded else (RATE,)
    header = ["codec"] + [
        category if quantity == RATE else f"{category}, entropy coded"
        for quantity in quantities
        for category in results.categories
    ]
    rows = [
        [codec]
        + [
            cell(results.mean(codec, quantity, [category]), interval=False)
            for quantity in quantities
            for category in results.categories
        ]
        for codec in results.codecs
        if (mean := results.mean(codec, RATE)) and mean.value > 0
    ]
    return table(header, rows)


def _title(key: str) -> str:
    metric = METRICS[key]
    unit = f" ({metric.unit})" if metric.unit else ""
    direction = {1: "more is better", -1: "less is better", 0: "describes"}[metric.better]
    return f"{metric.title}{unit}: {direction}"


def _speed(results: Results, codec: str) -> str:
    pair = results.speed.get(codec)
    return NOTHING if pair is None else f"{pair[0]:.1f} / {pair[1]:.1f}"


def _speed_rows(results: Results) -> list[list[str]]:
    return [[codec, f"{pair[0]:.1f}", f"{pair[1]:.1f}"] for codec, pair in results.speed.items()]


def paper_table(results: Results, paper: PaperTable) -> str | None:
    """The paper's figures with ours beside them; None where the run has nothing for it."""
    categories = [c for c in results.categories if paper.categories is None or c in paper.categories]
    groups = [[category] for category in categories] if paper.by_category else [categories]
    header = ["", *(f"paper: {column}" for column in paper.columns), "ours", "kbps"]
    if has_entropy := any(results.mean(codec, ENTROPY_CODED_RATE) for codec in results.codecs):
        header.append("entropy coded")
    for group in groups:
        where = f", {group[0]}" if paper.by_category else ""
        header += [("speed" if key == "speed" else METRICS[key].title) + where for key in paper.measured]
    rows, found = [], False
    for row in paper.rows:
        ours = next((name for name in row.ours if name in results.codecs), None)
        line = [row.label, *row.cells]
        if ours is None:
            rows.append(line + [NOTHING] * (len(header) - len(line)))
            continue
        values = [
            _speed(results, ours)
            if key == "speed"
            else cell(results.mean(ours, key, group), interval=False)
            for group in groups
            for key in paper.measured
        ]
        found = found or set(values) != {NOTHING}
        entropy = [_rate(results, ours, ENTROPY_CODED_RATE)] if has_entropy else []
        rows.append([*line, ours, _rate(results, ours), *entropy, *values])
    return table(header, rows) if found and categories else None


def quick_table(results: Results) -> str:
    """The most telling metrics without intervals, for a terminal."""
    parts = []
    for key in results.metrics:
        if values := metric_table(results, key, interval=False):
            parts += [_title(key), values, ""]
    return "\n".join([*parts, *_gaps(results)])


def _gaps(results: Results) -> list[str]:
    lines = [f"- {attributed(spec, reason)}" for spec, reason in results.missing.items()]
    lines += [f"- {reason}" for reason in results.unread()]
    for (codec, reason), excerpts in results.skipped().items():
        where = ", ".join(excerpts[:3]) + (f" and {len(excerpts) - 3} more" if len(excerpts) > 3 else "")
        lines.append(f"- {codec} on {where}: {reason}")
    return ["Skipped:", "", *map(printable, lines), ""] if lines else []


def report(results: Results, command: str, pictures: Sequence[tuple[str, str]]) -> str:
    """The whole report.

    Args:
        command: what made it.
        pictures: titles and relative paths of plots.
    """
    counts = {
        category: len({row.excerpt for row in results.rows if row.category == category})
        for category in results.categories
    }
    layout = {1: "mono", 2: "stereo"}.get(results.channels, f"{results.channels} channels")
    lines = [
        f"# Evaluation on {literal(results.set_name)}",
        "",
        f"{results.sample_rate / 1000:g} kHz {layout}; excerpts: "
        + ", ".join(f"{count} {literal(category)}" for category, count in counts.items())
        + ". Rates are measured (payload bits over duration). In brackets: 95 % confidence interval of the "
        "mean, by bootstrap over excerpts.",
        "",
        "Made by:",
        "",
        "```",
        command,
        "```",
        "",
        *map(literal, _gaps(results)),
    ]
    lines += ["## Rates (kbit/s)", "", rate_table(results), ""]
    for key in results.metrics:
        if values := metric_table(results, key):
            lines += [f"## {_title(key)}", "", values, ""]
    if results.speed:
        lines += ["## Speed, × real time on one thread (not reproducible to the digit)", ""]
        lines += [table(["codec", "encode", "decode"], _speed_rows(results)), ""]
    fitting = [paper for paper in TABLES if paper.channels == results.channels]
    tables = [(paper, paper_table(results, paper)) for paper in fitting]
    if any(text for _, text in tables):
        lines += [
            "## Beside the paper",
            "",
            "Other audio: compare orders, not digits.",
            "",
        ]
        for paper, text in tables:
            if text:
                lines += [f"### Table {paper.number}: {paper.title}", "", text, ""]
    for title, path in pictures:
        lines += [f"## {literal(title)}", "", f"![{literal(title)}]({path})", ""]
    return "\n".join(lines).rstrip() + "\n"
