from __future__ import annotations

import csv
import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from sonant.cli import main
from sonant.errors import AudioError, ConfigError
from sonant.evaluation.metrics.loudness import loudness
from sonant.evaluation.metrics.signal import bandwidth
from sonant.evaluation.mushra.prepare import _at_loudness, _equally_loud, low_anchor, prepare
from sonant.evaluation.mushra.report import (
    mean_score,
    rejected_raters,
    summarise,
    write_mushra_report,
)
from sonant.evaluation.mushra.results import COLUMNS, Rating, RatingError, RatingsFile, read_ratings
from sonant.evaluation.mushra.server import RESULTS, mushra_server
from sonant.evaluation.mushra.session import ANCHOR, REFERENCE, Session, Trial, read_session
from sonant.evaluation.run import Plan
from sonant.evaluation.sets import folder_set
from webdriver import browser, browser_is_here

from .conftest import RATE, Halving

TRUE_MEANS = {REFERENCE: 98.0, "near": 85.0, "far": 55.0, ANCHOR: 20.0}


@pytest.fixture
def session(folder: Path, tmp_path: Path) -> Path:
    """A prepared session of two excerpts and two systems."""
    codecs = (Halving("near", 0.9), Halving("far", 0.3))
    prepare(Plan(folder_set(folder, RATE, 1), folder, codecs, (), tmp_path / "c"), tmp_path / "s", seed=3)
    return tmp_path / "s"


@contextmanager
def served(session: Path) -> Iterator[str]:
    server = mushra_server(session)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read()


def post(url: str, message: Any) -> int:
    request = urllib.request.Request(url, json.dumps(message).encode(), method="POST")
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def simulate(base: str, session: Session, rater: str, random: np.random.Generator, careless: bool) -> None:
    """Rate all trials as someone who hears the true means, or as someone who does not listen."""
    key = {name: system for trial in session.trials for name, system in trial.stimuli.items()}
    for trial in json.loads(get(f"{base}/trials?rater={rater}"))["trials"]:
        ratings = []
        for name in trial["stimuli"]:
            mean = random.uniform(0, 100) if careless else random.normal(TRUE_MEANS[key[name]], 2)
            ratings.append({"stimulus": name, "score": float(np.clip(round(mean), 0, 100))})
        assert post(f"{base}/results", {"rater": rater, "trial": trial["id"], "ratings": ratings}) == 200


def test_a_session_is_blind_equally_loud_and_has_its_anchors(session: Path) -> None:
    found = read_session(session)
    assert {trial.category for trial in found.trials} == {"music", "speech"}
    for trial in found.trials:
        assert set(trial.stimuli.values()) == {REFERENCE, ANCHOR, "near", "far"}
        assert trial.open_reference not in trial.stimuli
        audio = {
            name: soundfile.read(session / "audio" / f"{name}.flac", dtype="float32")[0][None]
            for name in (trial.open_reference, *trial.stimuli)
        }
        levels = [loudness(samples, RATE) for samples in audio.values()]
        assert max(levels) - min(levels) < 0.05
        anchor = next(name for name, system in trial.stimuli.items() if system == ANCHOR)
        assert bandwidth(audio[anchor][0], RATE) < 3.9
        hidden = next(name for name, system in trial.stimuli.items() if system == REFERENCE)
        assert np.array_equal(audio[hidden], audio[trial.open_reference])


def test_a_session_is_the_same_by_seed_and_never_overwrites(
    session: Path, folder: Path, tmp_path: Path
) -> None:
    plan = Plan(
        folder_set(folder, RATE, 1), folder, (Halving("near", 0.9), Halving("far", 0.3)), (), tmp_path
    )
    again = prepare(plan, tmp_path / "again", seed=3)
    assert again == read_session(session) != prepare(plan, tmp_path / "other", seed=4)
    with pytest.raises(ConfigError, match="is not empty"):
        prepare(plan, session, seed=3)


def test_orders_differ_between_raters_but_not_for_one(session: Path) -> None:
    found = read_session(session)
    orders = [found.order(f"rater{i}") for i in range(20)]
    assert found.order("rater0") == orders[0]
    assert len({str(order) for order in orders}) > 10
    assert all(sorted(names) == sorted(trial.stimuli) for trial, names in orders[0])


def test_the_page_learns_no_system(session: Path) -> None:
    with served(session) as base:
        told = get(f"{base}/trials?rater=x").decode()
        assert not any(system in told.replace('"reference":', "") for system in (*TRUE_MEANS, "Halving"))
        for path in ("session.json", "results.csv", "audio/../session.json", "audio/nothing"):
            with pytest.raises(urllib.error.HTTPError, match="404"):
                get(f"{base}/{path}")


def test_simulated_raters_are_recovered_and_the_careless_left_out(session: Path) -> None:
    found = read_session(session)
    random = np.random.default_rng(0)
    with served(session) as base:
        for number in range(12):
            simulate(base, found, f"rater-{number}", random, careless=number in (3, 7))
    ratings = read_ratings(session / RESULTS, found)
    assert len(ratings) == 12 * 2 * 4
    report = summarise(found, ratings)
    assert set(report.rejected) == {"rater-3", "rater-7"}
    assert list(report.scores) == [REFERENCE, "near", "far", ANCHOR]
    for system, mean in TRUE_MEANS.items():
        score = report.scores[system]["all"]
        assert abs(score.mean - mean) < 2 * score.half_width + 0.5
        assert score.count == 10
    with open(session / RESULTS, newline="") as file:
        assert tuple(next(csv.reader(file, delimiter=";"))) == COLUMNS


@pytest.mark.parametrize(
    "change",
    [
        {"trial": "none"},
        {"rater": ""},
        {"rater": "a;b"},
        {"ratings": []},
        {"ratings": "x"},
        {"score": 101},
        {"score": float("nan")},
    ],
)
def test_ratings_that_do_not_fit_are_refused(session: Path, change: dict[str, Any]) -> None:
    trial = read_session(session).trials[0]
    score = change.get("score", 50)
    good = {
        "rater": "r-1",
        "trial": trial.id,
        "ratings": [{"stimulus": name, "score": score} for name in trial.stimuli],
    }
    with served(session) as base:
        message = good | {key: value for key, value in change.items() if key != "score"}
        assert post(f"{base}/results", message) == 400
        assert not (session / RESULTS).exists()


def ratings_of(rater: str, references: list[float], anchors: list[float]) -> list[Rating]:
    pairs = [(REFERENCE, references), (ANCHOR, anchors)]
    return [Rating(rater, str(i), system, v) for system, values in pairs for i, v in enumerate(values)]


def test_screening_is_the_paper_s() -> None:
    ratings = [
        *ratings_of("fine", [100.0] * 9 + [89], [10.0] * 10),
        *ratings_of("deaf", [100.0] * 8 + [89, 89], [10.0] * 10),
        *ratings_of("fond", [100.0] * 10, [81.0] * 5 + [80] * 5),
        *ratings_of("fonder", [100.0] * 10, [81.0] * 6 + [80] * 4),
    ]
    assert set(rejected_raters(ratings)) == {"deaf", "fonder"}


def test_the_interval_is_student_s() -> None:
    score = mean_score([80.0, 90.0, 100.0])
    assert (score.mean, score.count) == (90.0, 3)
    assert score.half_width == pytest.approx(4.3027 * 10 / 3**0.5, rel=1e-4)
    assert mean_score([7.0]).half_width == float("inf")


def test_the_interval_is_over_raters_whose_own_ratings_are_alike() -> None:
    """Ten strict and ten kind raters of 24 excerpts are 20 samples, not 480."""
    names = {f"n{i}": f"system {i}" for i in range(2)}
    trials = tuple(Trial(f"t{i}", "music", "open", names) for i in range(24))
    ratings = [
        Rating(f"r{rater}", trial.id, system, 60.0 + 10 * (-1) ** rater)
        for rater in range(20)
        for trial in trials
        for system in names.values()
    ]
    score = summarise(Session("s", 1, trials), ratings).scores["system 0"]["all"]
    assert score == mean_score([50.0, 70.0] * 10)
    assert score.half_width == pytest.approx(2.093 * 10.26 / 20**0.5, rel=1e-3)


def test_a_category_may_have_any_name(tmp_path: Path) -> None:
    session = Session("s", 1, (Trial("t", "Infinity $a_b$", "open", {"n": "near"}),))
    write_mushra_report(summarise(session, [Rating("r", "t", "near", 80.0)]), tmp_path)
    scores = json.loads((tmp_path / "mushra.json").read_text())["scores"]["near"]
    assert scores["Infinity $a_b$"] == {"mean": 80.0, "half_width": None, "count": 1}


def test_a_session_that_cannot_be_made_leaves_nothing_in_the_way(folder: Path, tmp_path: Path) -> None:
    excerpts = folder_set(folder, RATE, 1)
    bad, good = (
        Plan(excerpts, folder, (Halving("near", crash=crash),), (), tmp_path / "c")
        for crash in (True, False)
    )
    with pytest.raises(AudioError, match=r"good\.wav through near: the decoder fell over"):
        prepare(bad, tmp_path / "new" / "s", seed=1)
    assert not any((tmp_path / "new").iterdir())
    assert prepare(good, tmp_path / "new" / "s", seed=1) == read_session(tmp_path / "new" / "s")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["s"]


def test_a_report_is_written(session: Path, tmp_path: Path) -> None:
    found = read_session(session)
    with served(session) as base:
        simulate(base, found, "r", np.random.default_rng(1), careless=False)
    write_mushra_report(summarise(found, read_ratings(session / RESULTS, found)), tmp_path / "out")
    text = (tmp_path / "out" / "mushra.md").read_text()
    assert "| system | all | music | speech |" in text
    assert json.loads((tmp_path / "out" / "mushra.json").read_text())["kept"] == ["r"]
    assert (tmp_path / "out" / "mushra.png").read_bytes().startswith(b"\x89PNG")


def test_ratings_of_another_test_are_left_out(session: Path, folder: Path, tmp_path: Path) -> None:
    plan = Plan(folder_set(folder, RATE, 1), folder, (Halving("near", 0.9),), (), tmp_path)
    found, other = read_session(session), prepare(plan, tmp_path / "other", seed=4)
    for place, test, rater in ((session, found, "r"), (tmp_path / "other", other, "o")):
        with served(place) as base:
            simulate(base, test, rater, np.random.default_rng(1), careless=False)
    theirs = (tmp_path / "other" / RESULTS).read_text()
    with open(session / RESULTS, "a", newline="") as file:
        file.write(theirs.partition("\n")[2])
    assert {rating.rater for rating in read_ratings(session / RESULTS, found)} == {"r"}
    with pytest.raises(ConfigError, match=f"holds no ratings of test {found.id}"):
        read_ratings(tmp_path / "other" / RESULTS, found)


def test_prepare_and_report_by_command(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "session"
    options = ["--codecs", "opus:12", "--cache", str(tmp_path / "c")]
    with pytest.raises(SystemExit) as ended:
        main(["mushra", "prepare", str(folder), str(out), *options])
    assert not ended.value.code
    assert len(read_session(out).trials) == 2
    with pytest.raises(SystemExit) as ended:
        main(["mushra", "prepare", str(folder), str(tmp_path / "new"), *options, "--seed", "-1"])
    assert ended.value.code == 2
    assert "--seed" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        main(["mushra", "report", str(out)])
    assert ended.value.code == 2
    assert "holds no ratings" in capsys.readouterr().err


@pytest.mark.skipif(not browser_is_here(), reason="needs chromium and chromedriver")
@pytest.mark.parametrize("mobile", [False, True])
def test_the_page_in_a_browser(session: Path, mobile: bool) -> None:
    """A rater who presses keys, or taps; what they rate arrives under the right names."""
    found = read_session(session)
    key = {name: system for trial in found.trials for name, system in trial.stimuli.items()}
    size = (390, 844) if mobile else (1000, 800)
    with served(session) as base, browser(*size, mobile=mobile) as page:
        page.open(base)
        page.wait("!document.querySelector('#start').disabled")
        if mobile:
            page.click("#start")
        else:
            page.press("Enter")
        for number in range(2):
            page.wait(
                f"trial && number === {number} && document.querySelector('#message').textContent === ''"
            )
            assert page.run("return document.documentElement.scrollWidth <= innerWidth")
            assert page.run("return Math.max(...trial.peaks)") == 1
            for place, name in enumerate(page.run("return trial.stimuli"), start=1):
                if mobile:
                    page.click(f"#stimuli li:nth-child({place}) button")
                    score = round(TRUE_MEANS[key[name]])
                    slider = f"document.querySelectorAll('#stimuli input')[{place - 1}]"
                    page.run(f"{slider}.value = {score}; {slider}.dispatchEvent(new Event('input'))")
                else:
                    moves = {REFERENCE: ["PageUp"] * 5, "near": ["PageUp"] * 3, "far": ["ArrowRight"] * 5}
                    page.press(str(place), *moves.get(key[name], ["PageDown"] * 3))
                page.wait("player.playing")
                assert page.run("return player.active") == place
                gains = page.wait(
                    "player.tracks.map(t => Math.round(t.gain.gain.value)).includes(1) && "
                    "player.tracks.map(t => Math.round(100 * t.gain.gain.value))"
                )
                assert gains.index(max(gains)) == place
            if not mobile and number == 0:
                _loops(page)
            page.click("#next") if mobile else page.press("Enter")
        page.wait("!document.querySelector('#end').hidden")
    wanted = (
        {k: round(v) for k, v in TRUE_MEANS.items()}
        if mobile
        else {REFERENCE: 100, "near": 80, "far": 55, ANCHOR: 20}
    )
    assert {(r.system, r.score) for r in read_ratings(session / RESULTS, found)} == set(wanted.items())


@pytest.mark.skipif(not browser_is_here(), reason="needs chromium and chromedriver")
def test_a_page_that_is_loaded_again_goes_on_as_the_same_rater(session: Path) -> None:
    found = read_session(session)
    with served(session) as base, browser() as page:
        page.open(base)
        page.wait("!document.querySelector('#start').disabled")
        page.press("Enter")
        page.wait("trial && number === 0")
        page.press("1", "2", "3", "4")
        page.run("document.querySelectorAll('#stimuli input').forEach((x) => x.onchange())")
        for key in ("Enter", "Space"):
            page.press("2")
            page.run("document.querySelector('#reference').focus()")
            page.press(key)
            page.wait("player.active === 0 && player.playing")
            assert page.run("return number") == 0, "a key on a button is for that button"
        words = "[...document.querySelectorAll('.scale span')].map((s) => s.getBoundingClientRect())"
        track = "const t = document.querySelector('#stimuli input').getBoundingClientRect()"
        places = page.run(f"{track}; return {words}.map((b) => (b.left + b.width / 2 - t.left) / t.width)")
        assert places == pytest.approx([0.1, 0.3, 0.5, 0.7, 0.9], abs=0.02)
        page.click("#next")
        page.wait("trial && number === 1")
        page.open(base)
        page.wait("!document.querySelector('#start').disabled")
        assert page.run("return document.querySelector('#progress').textContent") == "1 of 2 excerpts left"
        page.click("#start")
        page.wait("trial && number === 1")
        page.run("document.querySelectorAll('#stimuli input').forEach((x) => x.onchange())")
        page.click("#next")
        page.wait("!document.querySelector('#end').hidden")
        first = page.run("return rater")
        page.open(base)
        page.wait("!document.querySelector('#start').disabled")
        assert page.run("return rater") != first, "the next one at this screen is somebody else"
    ratings = read_ratings(session / RESULTS, found)
    assert {rating.rater for rating in ratings} == {first}
    assert len(ratings) == 2 * 4


@pytest.mark.skipif(not browser_is_here(), reason="needs chromium and chromedriver")
def test_an_excerpt_that_cannot_be_loaded_can_be_asked_for_again(session: Path) -> None:
    lost = session / "audio" / f"{read_session(session).trials[0].open_reference}.flac"
    lost.rename(lost.with_suffix(".away"))
    with served(session) as base, browser() as page:
        page.open(base)
        page.wait("!document.querySelector('#start').disabled")
        page.run(f"trials = trials.filter((t) => t.reference === '{lost.stem}')")
        page.click("#start")
        page.wait("document.querySelector('#message').textContent.startsWith('The excerpt could not')")
        lost.with_suffix(".away").rename(lost)
        page.click("#retry")
        page.wait("trial && document.querySelector('#message').textContent === ''")


def _loops(page: Any) -> None:
    """Keys set a region, and playing stays in it, without stopping."""
    page.run("player.loop(0.5, 1.0)")
    places = [page.wait("player.playing && player.position") for _ in range(20)]
    assert all(0.5 <= place <= 1.0 for place in places)
    assert len(set(places)) > 3
    page.press("\\")
    assert page.run("return [player.from, player.to]") == [0, page.run("return player.duration")]
    page.press("Space")
    assert not page.run("return player.playing")


TRIALS = tuple(
    Trial(str(n), category, f"open{n}", {f"a{n}": REFERENCE, f"b{n}": ANCHOR, f"c{n}": "x", f"d{n}": "y"})
    for n, category in enumerate(("music", "music", "speech"))
)


def tone(seconds: float, level: float = 0.1) -> np.ndarray:
    return (level * np.sin(2 * np.pi * 997 * np.arange(int(seconds * RATE)) / RATE)).astype(np.float32)


def test_the_anchor_is_whole_up_to_3_5_khz_and_nothing_from_3_7_on() -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, (2, RATE)).astype(np.float32)
    before, after = (np.abs(np.fft.rfft(audio, axis=1)) for audio in (noise, low_anchor(noise, RATE)))
    np.testing.assert_allclose(after[:, :3500], before[:, :3500], rtol=1e-2, atol=1e-3)
    assert after[:, 3701:].max() < 1e-2
    assert after[:, 3600].mean() > 0.1 * before[:, 3600].mean()


def test_quiet_parts_that_pass_the_gate_once_louder_are_counted() -> None:
    """At first the second half lies under the gate at −70 LUFS."""
    audio = np.concatenate([tone(4, 10 ** (-60 / 20)), tone(4, 10 ** (-69 / 20))])[None]
    assert loudness(_at_loudness(audio, -23.0, RATE), RATE) == pytest.approx(-23, abs=0.05)


def test_versions_have_the_loudness_of_the_reference_and_none_clips() -> None:
    quiet = tone(2, 0.05)[None]
    matched = _equally_loud({REFERENCE: quiet, "x": 0.3 * quiet}, RATE)
    for audio in matched.values():
        assert loudness(audio, RATE) == pytest.approx(loudness(quiet, RATE), abs=0.02)
    clicks = np.zeros_like(quiet)
    clicks[0, ::2400] = 0.5
    matched = _equally_loud({REFERENCE: quiet, "x": clicks}, RATE)
    assert np.abs(matched["x"]).max() == pytest.approx(0.98, abs=1e-3)
    assert loudness(matched["x"], RATE) == pytest.approx(loudness(matched[REFERENCE], RATE), abs=0.02)


def test_a_sound_rated_twice_at_once_is_refused_and_later_replaces(tmp_path: Path) -> None:
    session = Session("s", 1, TRIALS)
    ratings, path = RatingsFile(session, tmp_path / "r.csv"), tmp_path / "r.csv"
    given = [{"stimulus": name, "score": 50} for name in TRIALS[0].stimuli]
    with pytest.raises(RatingError, match="one rating for each"):
        ratings.add({"rater": "r", "trial": "0", "ratings": [*given, given[0]]})
    with pytest.raises(RatingError, match="ratings of no trial"):
        ratings.add({"rater": "r", "trial": "0", "ratings": [{**r, "score": 10**400} for r in given]})
    for score in (50, 60):
        ratings.add({"rater": "r", "trial": "0", "ratings": [{**r, "score": score} for r in given]})
    assert [rating.score for rating in read_ratings(path, session)] == [60] * 4


@pytest.mark.parametrize(
    ("score", "reason"),
    [("101", "not 101"), ("nan", "not nan"), ("-1", "not -1"), ("5" * 200_000, "in pymushra's columns")],
)
def test_scores_that_cannot_be_are_a_sentence(tmp_path: Path, score: str, reason: str) -> None:
    row = ("mushra", "s", "0", "", REFERENCE, score, "0", "r")
    (tmp_path / "r.csv").write_text(f"{';'.join(COLUMNS)}\n{';'.join(row)}\n")
    with pytest.raises(ConfigError, match=reason):
        read_ratings(tmp_path / "r.csv", Session("s", 1, TRIALS))


def test_categories_have_means_of_their_own() -> None:
    scores = {"0": 80.0, "1": 90.0, "2": 40.0}
    ratings = [
        Rating("r", trial, system, 95.0 if system == REFERENCE else score)
        for trial, score in scores.items()
        for system in (REFERENCE, "x")
    ]
    found = summarise(Session("s", 1, TRIALS), ratings).scores["x"]
    assert {group: (score.mean, score.count) for group, score in found.items()} == {
        "all": (70.0, 1),
        "music": (85.0, 1),
        "speech": (40.0, 1),
    }


def test_orders_of_sounds_differ_between_raters_and_between_seeds() -> None:
    sessions = [Session("s", seed, TRIALS) for seed in range(8)]
    of_seeds = {str(session.order("r")) for session in sessions}
    of_raters = {str(sorted(map(str, sessions[0].order(f"r{n}")))) for n in range(8)}
    assert len(of_seeds) > 4
    assert len(of_raters) > 4
