from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sonant.evaluation.codecs import CodecSources, make_codecs
from sonant.evaluation.codecs.sonant import SonantCodec
from sonant.evaluation.report import markdown, plots
from sonant.evaluation.report.page import render
from sonant.evaluation.report.paper import TABLES
from sonant.evaluation.report.write import _file_names, write_report
from sonant.evaluation.results import Results, Row
from sonant.evaluation.run import Plan, run
from sonant.evaluation.sets import folder_set

from .conftest import RATE

PNG = b"\x89PNG"


@pytest.fixture
def plan(folder: Path) -> Plan:
    codecs, _ = make_codecs(["reference", "sonant:3", "sonant:6", "opus:12"], CodecSources())
    metrics = ("si_snr", "mel", "bandwidth")
    return Plan(folder_set(folder, RATE, 1), folder, tuple(codecs), metrics, folder.parent / "cache")


def test_a_report_is_whole_and_the_same_twice(plan: Plan, tmp_path: Path) -> None:
    results = run(plan)
    outs = [tmp_path / "one", tmp_path / "two"]
    for out in outs:
        write_report(results, plan, "sonant evaluate x", out)
    text = (outs[0] / "report.md").read_text()
    assert "| Sonant 6 | 6.00 |" in text
    assert "### Table 3" in text
    assert "sonant evaluate x" in text
    pictures = re.findall(r"\((plots/.*png)\)", text)
    for name in ("si_snr", "mel", "spectrograms-speech", "spectrograms-music", "codebooks-Sonant"):
        assert f"plots/{name}.png" in pictures
    assert "plots/bandwidth.png" not in pictures, "what only describes has no curve"
    assert all((outs[0] / picture).read_bytes().startswith(PNG) for picture in pictures)
    html = (outs[0] / "index.html").read_text()
    assert html.count("<audio") == 2 * 4, "the reference and three codecs, in two categories"
    assert not re.search(r'(src|href)="(?!data:)', html), "the page needs nothing else"
    for path in sorted(p.relative_to(outs[0]) for p in outs[0].rglob("*") if p.is_file()):
        assert (outs[0] / path).read_bytes() == (outs[1] / path).read_bytes(), path


def results_of(*rows: Row) -> Results:
    return Results("s", RATE, 1, ("si_snr", "visqol_audio"), rows, {"evs:9.6": "EVS needs its programs"})


def test_the_paper_s_figures_stand_beside_ours() -> None:
    rows = [
        Row("x", category, "Sonant 6", "Sonant", 6, 6.0, 4.2, {"si_snr": 7.0 + i, "visqol_audio": 4.0})
        for i, category in enumerate(("clean speech", "music 1"))
    ]
    tables = {paper.number: markdown.paper_table(results_of(*rows), paper) for paper in TABLES}
    row = next(line for line in tables["1"].split("\n") if "83.1±2.7" in line)
    assert row.endswith("| Sonant 6 | 6.00 | 4.20 | 7.00 | 4.00 | 8.00 | 4.00 |")
    assert "| EnCodec, streamable | 6.67 | 4.35 | Sonant 6 | 6.00 | 4.20 | 7.50 | 4.00 |" in tables["3"]
    assert tables["5"] is None, "no speed was measured"
    assert all(len({line.count("|") for line in text.split("\n")}) == 1 for text in tables.values() if text)


def test_rates_and_speed_have_tables() -> None:
    row = Row("x", "music", "Sonant 6", "Sonant", 6, 6.0, 4.1, {"si_snr": 7.0})
    results = replace(results_of(row), speed={"Sonant 6": (30.0, 29.5)})
    text = markdown.report(results, "sonant evaluate", [])
    assert "| codec | music | music, entropy coded |" in text
    assert "| Sonant 6 | 6.00 | 4.10 |" in text
    assert "| Sonant 6 | 30.0 | 29.5 |" in text
    table_5 = next(paper for paper in TABLES if paper.number == "5")
    assert "| EnCodec 24 kHz | 9.8 | 10.4 | 1.6 | 1.6 | Sonant 6 | 6.00 | 4.10 | 30.0 / 29.5 |" in (
        markdown.paper_table(results, table_5) or ""
    )


def test_curves_show_every_point_and_say_what_the_dotted_line_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from matplotlib import pyplot

    figures: list[Any] = []
    monkeypatch.setattr(pyplot, "close", figures.append)
    rows = [
        Row("x", category, "Sonant 1.5", "Sonant", 1.5, 1.5, coded, {"si_snr": 1.0})
        for category, coded in (("music", 0.5), ("speech $a_b$", 1.4))
    ]
    assert plots.curves(results_of(*rows), "si_snr", tmp_path / "x.png")
    for axis in figures[0].axes:
        low, high = axis.get_xlim()
        assert all(low < x < high for line in axis.lines for x in line.get_xdata())
    assert [text.get_text() for text in figures[0].legends[0].get_texts()] == ["Sonant", "entropy coded"]


def test_sixty_systems_look_different_and_unknown_intervals_are_not_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from matplotlib import pyplot

    figures: list[Any] = []
    monkeypatch.setattr(pyplot, "close", figures.append)
    scores = {f"s{i}": {"music": (95.0, 10.0 if i else math.inf)} for i in range(60)}
    plots.mushra_scores(scores, ["music"], tmp_path / "x.png")
    (axis,) = figures[0].axes
    bars = axis.containers
    assert len({(bar.lines[0].get_color(), bar.lines[0].get_marker()) for bar in bars}) == 60
    assert axis.get_ylim()[1] > 105
    segments = [bar.lines[2][0].get_segments()[0] for bar in bars[:2]]
    assert len(segments[0]) == 0 < len(segments[1])


def test_categories_of_any_name_have_files_of_their_own(plan: Plan, tmp_path: Path) -> None:
    excerpts = tuple(
        replace(excerpt, category=category, name=f"{excerpt.name} $a_b$")
        for excerpt, category in zip(plan.evaluation_set.excerpts, ("a/b", "a|b"), strict=True)
    )
    odd = replace(plan, evaluation_set=replace(plan.evaluation_set, excerpts=excerpts), metrics=("mel",))
    write_report(run(odd), odd, "sonant evaluate x", tmp_path)
    pictures = sorted(path.name for path in (tmp_path / "plots").glob("spectrograms*"))
    assert pictures == ["spectrograms-a-b-1.png", "spectrograms-a-b.png"]
    assert "<th>a|b</th>" in (tmp_path / "index.html").read_text()


def test_names_stand_for_themselves_in_markdown_and_on_the_page(tmp_path: Path) -> None:
    reason = "a<i>b: c\nd: cannot be read (C:\\*)"
    rows = [
        Row("x", "a|b*<i>\nc", "Opus 6", "Opus", 6, 6.0, scores={"si_snr": 1.0}),
        Row("y", "music", "Opus 6", "Opus", 6, skipped={"codec": reason}),
    ]
    text = markdown.report(results_of(*rows), "sonant evaluate", [])
    assert "| codec | kbps | a\\|b\\*\\<i>\\\\nc | music |" in text
    assert "- Opus 6 on y: a\\<i>b: c\\\\nd: cannot be read (C:\\\\\\\\\\*)" in text
    html = render(text, tmp_path)
    assert "<th>a|b*&lt;i&gt;\\nc</th><th>music</th>" in html
    assert "<li>Opus 6 on y: a&lt;i&gt;b: c\\nd: cannot be read (C:\\\\*)</li>" in html


def test_a_metric_without_a_value_has_no_table() -> None:
    row = Row("x", "music", "Opus 6", "Opus", 6, 6.0, scores={"si_snr": 1.0})
    for text in (markdown.report(results_of(row), "", []), markdown.quick_table(results_of(row))):
        assert "SI-SNR (dB)" in text
        assert "ViSQOL audio:" not in text


def test_a_codec_that_falls_over_leaves_the_rest_of_a_report(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fall_over(*_: object) -> None:
        raise RuntimeError("no memory")

    monkeypatch.setattr(SonantCodec, "encode", fall_over)
    plan = replace(plan, metrics=("si_snr",))
    write_report(run(plan), plan, "sonant evaluate x", tmp_path)
    text = (tmp_path / "report.md").read_text()
    assert "- Sonant 6 on music/good.wav, speech/good.wav: no memory (RuntimeError in fall_over)" in text
    assert "codebooks-Sonant" not in text


def test_names_that_look_like_numbered_ones_have_files_of_their_own() -> None:
    paths = _file_names("kind", ["x-y-2", "x y", "x/y", "x|y"])
    assert [*paths.values()] == [f"plots/kind-x-y{number}.png" for number in ("-2", "", "-1", "-3")]


def test_gaps_are_named() -> None:
    rows = [
        Row(excerpt, "music", codec, "Sonant", 6, skipped=skipped)
        for codec in ("Sonant 3", "Sonant 6")
        for excerpt, skipped in (("x", {"audio": "x: is silent"}), ("y", {"audio": "odd"}))
    ]
    rows += [Row(name, "music", "Opus 6", "Opus", 6, skipped={"codec": "no"}) for name in ("z", "a")]
    text = markdown.quick_table(results_of(*rows))
    assert "- evs:9.6: EVS needs its programs" in text
    assert text.count("is silent") == 1
    assert "\n- x: is silent\n- y: odd\n- Opus 6 on z, a: no\n" in text


def test_an_excerpt_is_named_even_where_the_reason_holds_its_name() -> None:
    reasons = {"1": "clip1: is silent", "a/b.wav": "/corpus/a/b.wav: no such file", "s": "s: is silent"}
    rows = [Row(name, "music", "c", "c", 6, skipped={"audio": why}) for name, why in reasons.items()]
    assert results_of(*rows).unread() == [
        "1: clip1: is silent",
        "/corpus/a/b.wav: no such file",
        "s: is silent",
    ]


def test_a_codec_that_there_is_not_is_named_once() -> None:
    _, missing = make_codecs(["foo:3"], CodecSources())
    text = markdown.quick_table(replace(results_of(), missing=missing))
    assert "\n- foo:3: no such codec" in text
