"""Pictures of a run: rate-quality curves, spectrogram strips, use of the codebooks; PNG files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sonant.audio import Audio
from sonant.evaluation.metrics import METRICS
from sonant.evaluation.metrics.signal import FLOOR, magnitudes
from sonant.evaluation.results import ENTROPY_CODED_RATE, RATE, Results

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")
MARKERS = "osD^vP*X"
TICKS = (0.75, 1.5, 3, 6, 12, 24, 48, 96, 192, 384)
ENTROPY_CODED = {"linestyle": ":", "markerfacecolor": "none", "markersize": 4}


def _pyplot() -> Any:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    pyplot.rcParams.update(
        {
            "font.size": 9,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "grid.alpha": 0.3,
            "legend.frameon": False,
            "savefig.dpi": 110,
            "savefig.bbox": "tight",
            "text.parse_math": False,
        }
    )
    return pyplot


def _style(place: int) -> dict[str, str]:
    """Colour and marker of the line with a number; 64 differ."""
    turn, colour = divmod(place, len(COLOURS))
    return {"color": COLOURS[colour], "marker": MARKERS[(colour + turn) % len(MARKERS)]}


def _families(results: Results) -> dict[str, list[str]]:
    """Codecs with a rate by family, in order."""
    families: dict[str, list[str]] = {}
    for codec in results.codecs:
        mean = results.mean(codec, RATE)
        if mean is not None and mean.value > 0:
            families.setdefault(results.family(codec), []).append(codec)
    return families


def curves(results: Results, key: str, path: Path) -> bool:
    """Mean and 95 % band over the measured rate, a panel per category; False if there is nothing to show.

    Where a language model was run, an open marker on a dotted line shows the same quality at its
    entropy-coded rate.
    """
    panels = [
        category
        for category in results.categories
        if any(results.mean(codec, key, [category]) for codec in results.codecs)
    ]
    families = _families(results)
    if not panels or not families:
        return False
    pyplot = _pyplot()
    limits = _limits(results)
    figure, axes = pyplot.subplots(
        1, len(panels), figsize=(3.1 * len(panels) + 0.6, 3.2), sharey=True, squeeze=False
    )
    for axis, category in zip(axes[0], panels, strict=True):
        for place, (family, codecs) in enumerate(families.items()):
            _curve(axis, results, key, category, codecs, family, _style(place))
        axis.set_xscale("log")
        axis.set_xticks(TICKS, [f"{tick:g}" for tick in TICKS])
        axis.minorticks_off()
        axis.set(title=category, xlabel="kbit/s, measured")
        axis.set_xlim(limits)
    handles, labels = axes[0][0].get_legend_handles_labels()
    if any(results.mean(codec, ENTROPY_CODED_RATE) for codec in results.codecs):
        handles.append(pyplot.Line2D([], [], color="#555555", marker="o", **ENTROPY_CODED))
        labels.append("entropy coded")
    metric = METRICS[key]
    axes[0][0].set_ylabel(metric.title + (f" ({metric.unit})" if metric.unit else ""))
    figure.legend(
        handles,
        labels,
        loc="upper center",
        ncols=min(8, len(labels)),
        bbox_to_anchor=(0.5, -0.02),
    )
    figure.savefig(path)
    pyplot.close(figure)
    return True


def _limits(results: Results) -> tuple[float, float]:
    """Between which rates all points lie."""
    rates = [
        mean.value
        for codec in results.codecs
        for category in results.categories
        for quantity in (RATE, ENTROPY_CODED_RATE)
        if (mean := results.mean(codec, quantity, [category])) and mean.value > 0
    ]
    return min(rates) / 1.6, max(rates) * 1.3


def _curve(
    axis: Any,
    results: Results,
    key: str,
    category: str,
    codecs: Sequence[str],
    family: str,
    style: Mapping[str, str],
) -> None:
    points, coded = [], []
    for codec in codecs:
        rate, mean = results.mean(codec, RATE, [category]), results.mean(codec, key, [category])
        if rate is not None and mean is not None:
            low, high = (mean.value if end is None else end for end in (mean.low, mean.high))
            points.append((rate.value, mean.value, low, high))
            if smaller := results.mean(codec, ENTROPY_CODED_RATE, [category]):
                coded.append((smaller.value, mean.value))
    if not points:
        axis.plot([], [], label=family, **style)
        return
    rates, values, lows, highs = zip(*sorted(points), strict=True)
    axis.plot(rates, values, label=family, markersize=4, linewidth=1.4, **style)
    axis.fill_between(rates, lows, highs, color=style["color"], alpha=0.15, linewidth=0)
    if len(points) == 1 and lows != highs:
        axis.errorbar(
            rates, values, [[values[0] - lows[0]], [highs[0] - values[0]]], color=style["color"], capsize=2
        )
    if coded:
        axis.plot(*zip(*sorted(coded), strict=True), **ENTROPY_CODED, **style)


def spectrograms(strips: Sequence[tuple[str, Audio]], sample_rate: int, title: str, path: Path) -> None:
    """Log spectrograms, −10 to −90 dB, of the same excerpt through several codecs, in two columns."""
    pyplot = _pyplot()
    rows = -(-len(strips) // 2)
    figure, axes = pyplot.subplots(
        rows,
        2,
        figsize=(10, 1.35 * rows + 0.4),
        sharex=True,
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    for axis in axes.flat[len(strips) :]:
        axis.set_axis_off()
    for axis in axes.flat[max(0, len(strips) - 2) : len(strips)]:
        axis.tick_params(labelbottom=True)
        axis.set_xlabel("s")
    for axis, (name, audio) in zip(axes.flat, strips, strict=False):
        mono = audio.mean(axis=0)
        levels = 20 * np.log10(magnitudes(mono, 1024).T + FLOOR)
        extent = (0.0, len(mono) / sample_rate, 0.0, sample_rate / 2000)
        axis.imshow(levels, origin="lower", aspect="auto", extent=extent, cmap="magma", vmin=-90, vmax=-10)
        axis.grid(False)
        axis.text(
            0.01,
            0.93,
            name,
            transform=axis.transAxes,
            va="top",
            color="white",
            fontsize=8,
            fontweight="bold",
        )
    for axis in axes[:, 0]:
        axis.set_ylabel("kHz")
    figure.suptitle(title, fontsize=10)
    figure.savefig(path, dpi=70)
    pyplot.close(figure)


def codebook_use(codes: Mapping[str, NDArray[np.int16]], bins: int, path: Path) -> None:
    """Entropy and share of entries in use of every codebook, a line per category.

    Args:
        codes: `[n_q, frames]` of each category.
        bins: entries of a codebook.
    """
    pyplot = _pyplot()
    figure, (entropy_axis, used_axis) = pyplot.subplots(1, 2, figsize=(9, 2.8))
    for place, (category, values) in enumerate(codes.items()):
        counts = np.stack([np.bincount(book, minlength=bins) for book in values])
        share = counts / counts.sum(axis=1, keepdims=True)
        entropy = -(share * np.log2(np.where(share > 0, share, 1))).sum(axis=1)
        books = np.arange(1, len(values) + 1)
        style = {"color": COLOURS[place % len(COLOURS)], "marker": ".", "label": category}
        entropy_axis.plot(books, entropy, **style)
        used_axis.plot(books, 100 * (counts > 0).mean(axis=1), **style)
    entropy_axis.axhline(np.log2(bins), color="#999999", linewidth=0.8)
    entropy_axis.set(xlabel="codebook", ylabel="entropy (bits)", ylim=(0, np.log2(bins) + 0.5))
    used_axis.set(xlabel="codebook", ylabel=f"entries used (% of {bins})", ylim=(0, 102))
    entropy_axis.legend(loc="lower left")
    figure.tight_layout()
    figure.savefig(path)
    pyplot.close(figure)


def mushra_scores(
    scores: Mapping[str, Mapping[str, tuple[float, float]]], categories: Sequence[str], path: Path
) -> None:
    """Mean and half width of the interval of each system, a group of points per category.

    A half width that is not finite is not drawn.
    """
    pyplot = _pyplot()
    figure, axis = pyplot.subplots(figsize=(1.6 + 1.1 * len(categories) * max(1, len(scores) / 6), 3.4))
    width = 0.8 / max(1, len(scores))
    for place, (system, by_category) in enumerate(scores.items()):
        points = [
            (index - 0.4 + width * (place + 0.5), *by_category[category])
            for index, category in enumerate(categories)
            if category in by_category
        ]
        if points:
            x, means, halves = (np.array(values) for values in zip(*points, strict=True))
            known = np.where(np.isfinite(halves), halves, np.nan)
            axis.errorbar(x, means, known, capsize=3, markersize=5, label=system, ls="", **_style(place))
    axis.set(ylim=(min(0, axis.get_ylim()[0]), max(102, axis.get_ylim()[1])), ylabel="MUSHRA")
    axis.set_xticks(range(len(categories)), categories)
    axis.set_yticks(range(0, 101, 20))
    axis.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    figure.savefig(path)
    pyplot.close(figure)
