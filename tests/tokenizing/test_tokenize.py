"""Corpora into codes: all formats, bad files, order, resuming, Ray."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile
from safetensors import safe_open
from safetensors.numpy import load_file

import sonant
from conftest import hear_ctrl_c
from sonant.audio import read_audio
from sonant.codes import Codes
from sonant.errors import MissingDependencyError, SonantError, WeightsError
from sonant.parallel import in_order
from sonant.tokenizing import run, writers
from sonant.tokenizing.inputs import find_items
from sonant.tokenizing.run import tokenize
from sonant.tokenizing.work import Settings, Tokenizer
from sonant.tokenizing.writers import make_writer


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four recordings in two folders, between them a file that is no audio."""
    folder = tmp_path_factory.mktemp("corpus")
    (folder / "b").mkdir()
    random = np.random.default_rng(0)
    for name, rate, seconds in (
        ("a.wav", 24_000, 0.5),
        ("b/a.wav", 16_000, 1.0),
        ("c.flac", 44_100, 0.7),
        ("d.wav", 8000, 0.1),
    ):
        audio = 0.1 * random.standard_normal(int(rate * seconds))
        soundfile.write(folder / name, audio, rate)
    (folder / "b" / "bad.wav").write_bytes(b"no audio at all")
    (folder / "readme.txt").write_text("not a recording")
    return folder


GOOD = ["a.wav", "b/a.wav", "c.flac", "d.wav"]


def rows_of(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]


def expected(corpus: Path, name: str) -> Codes:
    return sonant.load(beam=1).encode(read_audio(corpus / name, 24_000, 1)[0])


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_corpus_with_a_bad_file(corpus: Path, tmp_path: Path, jobs: int) -> None:
    out = tmp_path / "codes"
    summary = tokenize([corpus], out, jobs=jobs)
    assert (summary.coded, summary.before, len(summary.failures)) == (4, 0, 1)
    assert "bad.wav" in summary.failures[0]
    assert "bad.wav" in json.loads((out / "failed.jsonl").read_text())["path"]
    rows = rows_of(out)
    assert [row["path"] for row in rows] == [str(corpus / name) for name in GOOD]
    for name, row in zip(GOOD, rows, strict=True):
        values = np.load(out / str(row["codes"]))
        wanted = expected(corpus, name)
        assert values.dtype == np.int16
        np.testing.assert_array_equal(values, wanted.values)
        assert (row["frames"], row["n_q"], row["length"]) == (wanted.frames, 8, wanted.length)
        assert row["seconds"] == pytest.approx(wanted.length / 24_000, abs=1e-6)
        assert (row["bitrate"], row["model"], row["weights"]) == (6.0, "24khz", sonant.load().weights_hash)


def test_a_run_that_stopped_goes_on(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, out = tmp_path / "whole", tmp_path / "stopped"
    tokenize([corpus], whole)

    def stop(done: int, total: int, summary: run.Summary) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tokenize([corpus], out, progress=stop)
    with open(out / "manifest.jsonl", "a") as manifest:
        manifest.write('{"path": "cut o')
    before = rows_of(whole)[:1]
    first = out / str(before[0]["codes"])
    written = first.stat().st_mtime_ns
    summary = tokenize([corpus], out)
    assert (summary.before, summary.coded, len(summary.failures)) == (2, 2, 1)
    assert first.stat().st_mtime_ns == written
    assert rows_of(out) == rows_of(whole)


def test_an_interrupted_parquet_run_keeps_what_it_has(corpus: Path, tmp_path: Path) -> None:
    def stop(done: int, total: int, summary: run.Summary) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tokenize([corpus], tmp_path, kind="parquet", progress=stop)
    assert tokenize([corpus], tmp_path, kind="parquet").before == 2
    assert {row["codes"] for row in rows_of(tmp_path)} == {"codes-00000.parquet", "codes-00001.parquet"}


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85", "\r"])
def test_names_may_hold_what_ends_a_line_elsewhere(corpus: Path, tmp_path: Path, separator: str) -> None:
    name = f"a{separator}b.wav"
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / name).write_bytes((corpus / "a.wav").read_bytes())
    listed = tmp_path / "list.jsonl"
    listed.write_text(json.dumps({"path": f"in/{name}"}, ensure_ascii=False), "utf-8")
    for before in (0, 1):
        assert tokenize([listed], tmp_path / "codes").before == before
    (row,) = map(json.loads, (tmp_path / "codes" / "manifest.jsonl").read_text("utf-8").split("\n")[:-1])
    assert row["path"] == str(tmp_path / "in" / name)


@pytest.mark.skipif(sys.platform != "linux", reason="names are any bytes on Linux")
@pytest.mark.parametrize("kind", ["npy", "parquet"])
def test_a_name_that_is_no_utf_8_fails_alone(corpus: Path, tmp_path: Path, kind: str) -> None:
    (tmp_path / "in").mkdir()
    for name in (b"caf\xe9.wav", b"z.wav"):
        (tmp_path / "in" / os.fsdecode(name)).write_bytes((corpus / "a.wav").read_bytes())
    summary = tokenize([tmp_path / "in"], tmp_path / "codes", kind=kind)
    assert summary.coded == 1
    assert [failure.endswith("not in UTF-8; give it another") for failure in summary.failures] == [True]


def test_a_recording_is_the_same_however_its_path_is_written(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(corpus)
    assert tokenize([Path("b")], tmp_path, kind="parquet").coded == 1
    assert tokenize([corpus / "b"], tmp_path, kind="parquet").before == 1
    monkeypatch.chdir(corpus / "b")
    assert tokenize([Path("..", "b")], tmp_path, kind="parquet").before == 1
    assert [row["path"] for row in rows_of(tmp_path)] == [str(corpus / "b" / "a.wav")]


@pytest.mark.parametrize("name", ["settings.json", "manifest.jsonl"])
@pytest.mark.parametrize("content", ["{\n", "[1]\n", '{"path": 3}\n'])
def test_damage_to_what_a_run_left_is_a_sentence(
    corpus: Path, tmp_path: Path, name: str, content: str
) -> None:
    tokenize([corpus / "a.wav"], tmp_path)
    (tmp_path / name).write_text(content)
    with pytest.raises(SonantError, match=r"is damaged|made with other settings"):
        tokenize([corpus / "a.wav"], tmp_path)


def test_no_jobs_are_all_cores_and_fewer_a_sentence(corpus: Path, tmp_path: Path) -> None:
    assert tokenize([corpus / "a.wav"], tmp_path / "codes", jobs=0).coded == 1
    with pytest.raises(SonantError, match="jobs is 0 or more"):
        tokenize([corpus / "a.wav"], tmp_path / "other", jobs=-1)


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b'{"path": null}\n', "line 1 is no JSON with a path"), (b'{"path": "caf\xe9.wav"}', "in UTF-8")],
)
def test_a_bad_manifest_is_a_sentence(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "list.jsonl").write_bytes(content)
    with pytest.raises(SonantError, match=f"list.jsonl: .*{reason}"):
        find_items([tmp_path / "list.jsonl"])


def test_a_manifest_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_bytes(b"\xef\xbb\xbfa.wav\r\n")
    assert [item.name for item in find_items([tmp_path / "list.txt"])] == ["a.wav"]


def test_a_folder_of_other_codes_is_refused(corpus: Path, tmp_path: Path) -> None:
    tokenize([corpus / "a.wav"], tmp_path / "codes")
    with pytest.raises(SonantError, match="other settings"):
        tokenize([corpus / "a.wav"], tmp_path / "codes", bitrate=3.0)
    with pytest.raises(SonantError, match="not empty"):
        tokenize([corpus / "a.wav"], corpus)


@pytest.mark.parametrize("kind", ["npy", "safetensors"])
def test_codes_of_another_recording_are_not_replaced(corpus: Path, tmp_path: Path, kind: str) -> None:
    out = tmp_path / "codes"
    tokenize([corpus / "a.wav"], out, kind=kind)
    codes = (out / f"a.wav.{kind}").read_bytes()
    with pytest.raises(SonantError, match="would have one name"):
        tokenize([corpus / "c.flac", corpus / "b" / "a.wav"], out, kind=kind)
    assert (out / f"a.wav.{kind}").read_bytes() == codes
    assert [row["path"] for row in rows_of(out)] == [str(corpus / "a.wav")]
    assert tokenize([corpus / "a.wav", corpus / "c.flac"], out, kind=kind).before == 1


def test_a_format_that_cannot_be_leaves_an_empty_folder(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "codes"
    with pytest.raises(SonantError, match="not as nyp"):
        tokenize([corpus / "a.wav"], out, kind="nyp")
    for module in ("pyarrow", "pyarrow.parquet"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingDependencyError, match="needs pyarrow"):
        tokenize([corpus / "a.wav"], out, kind="parquet")
    assert not list(out.iterdir())
    assert tokenize([corpus / "a.wav"], out).coded == 1


def test_safetensors(corpus: Path, tmp_path: Path) -> None:
    tokenize([corpus / "a.wav"], tmp_path / "codes", kind="safetensors", bitrate=3.0)
    with safe_open(tmp_path / "codes" / "a.wav.safetensors", "np") as file:
        np.testing.assert_array_equal(
            file.get_tensor("codes"), expected(corpus, "a.wav").with_codebooks(4).values
        )
        assert file.metadata()["length"] == "12000"


def test_parquet_with_scales_opens_in_datasets(corpus: Path, tmp_path: Path) -> None:
    """With the 48 kHz architecture, whose segments have volumes."""
    pytest.importorskip("pyarrow")
    datasets = pytest.importorskip("datasets")
    from conftest import load_golden
    from sonant.models.store import save_weights

    golden = load_golden("48khz")
    model = tmp_path / "model.safetensors"
    save_weights(model, golden.weights, golden.config)
    out = tmp_path / "codes"
    for inputs in ([corpus / "a.wav"], [corpus / "a.wav", corpus / "c.flac"]):
        tokenize(inputs, out, kind="parquet", model=str(model))
    table = datasets.load_dataset(
        "parquet", data_files=str(out / "*.parquet"), split="train", cache_dir=str(tmp_path / "cache")
    )
    assert [row["path"] for row in table] == [str(corpus / "a.wav"), str(corpus / "c.flac")]
    codec = sonant.load(model)
    for row, name in zip(table, ("a.wav", "c.flac"), strict=True):
        wanted = codec.encode(read_audio(corpus / name, 48_000, 2)[0])
        np.testing.assert_array_equal(row["codes"], wanted.values)
        np.testing.assert_allclose(row["scales"], wanted.scales)
    assert {row["codes"] for row in rows_of(out)} == {"codes-00000.parquet", "codes-00001.parquet"}


def test_manifests_and_names(corpus: Path, tmp_path: Path) -> None:
    (corpus / "list.jsonl").write_text('{"path": "c.flac"}\n\n{"file": "b/a.wav"}\n')
    (tmp_path / "list.txt").write_text(f"{corpus / 'a.wav'}\n")
    items = find_items([corpus / "list.jsonl", tmp_path / "list.txt"])
    assert [item.path for item in items[:2]] == [str(corpus / "c.flac"), str(corpus / "b" / "a.wav")]
    assert [item.name for item in items[:2]] == ["c.flac", "b/a.wav"]
    assert Path(items[2].path) == corpus / "a.wav"
    assert not items[2].name.startswith(("/", ".."))
    assert {item.name for item in find_items([corpus, corpus / "b"])} >= {f"{corpus.name}/a.wav", "b/a.wav"}
    with pytest.raises(SonantError, match="would have one name"):
        find_items([corpus / "a.wav", corpus / "b" / "a.wav"])
    (tmp_path / "bad.jsonl").write_text('{"path": "a.wav"}\nno\n')
    with pytest.raises(SonantError, match="line 2"):
        find_items([tmp_path / "bad.jsonl"])


def test_the_command_names_and_counts_bad_files(corpus: Path, tmp_path: Path) -> None:
    program = [sys.executable, "-m", "sonant", "tokenize", str(corpus)]
    result = subprocess.run(
        [*program, "-o", str(tmp_path / "codes"), "-j", "2"], capture_output=True, text=True, check=False
    )
    assert result.returncode == 2
    assert "bad.wav: is not audio" in result.stderr
    assert "1 of 5 recordings failed" in result.stderr
    assert len(rows_of(tmp_path / "codes")) == 4


def _work(number: int, pause: int = 0) -> int:
    if number == 3:
        os._exit(1)
    if number == 5:
        raise ValueError("five")
    return 2 * number


def _prepare() -> object:
    return _work


def _items_that_outlast_the_pool() -> Iterator[int]:
    for number in range(12):
        if number == 8:
            time.sleep(1)
        yield number


def test_a_process_that_dies_costs_one_item() -> None:
    results = list(in_order(partial(_prepare), _items_that_outlast_the_pool(), 2))
    assert [item for item, _ in results] == list(range(12))
    assert [str(r) for i, r in results if i in (3, 5)] == [
        "3: the process that worked on it died",
        "5: ValueError: five",
    ]
    assert [r for i, r in results if i not in (3, 5)] == [2 * i for i in range(12) if i not in (3, 5)]


def _begin(name: str) -> None:
    try:
        Path(f"{name}.begun").touch()
        time.sleep(0 if name.endswith("0") else 600)
    finally:
        Path(f"{name}.ended").touch()


def _prepare_to_begin() -> object:
    return _begin


def test_what_is_at_work_stops_when_the_results_are_no_longer_wanted(tmp_path: Path) -> None:
    names = [str(tmp_path / f"{number}") for number in range(12)]
    results = in_order(partial(_prepare_to_begin), names, 2)
    assert next(results) == (names[0], None)
    while not all((tmp_path / f"{number}.begun").exists() for number in (1, 2)):
        time.sleep(0.01)
    results.close()
    begun = {path.stem for path in tmp_path.glob("*.begun")}
    assert begun == {"0", "1", "2"} == {path.stem for path in tmp_path.glob("*.ended")}


@pytest.mark.skipif(sys.platform != "linux", reason="reads what processes there are from /proc")
@pytest.mark.parametrize("seconds", [0.0, 0.1])
def test_an_interruption_while_processes_start_is_no_traceback(
    corpus: Path, tmp_path: Path, seconds: float
) -> None:
    command = [sys.executable, "-m", "sonant", "tokenize", corpus, "-o", tmp_path / "codes", "-j", "2"]
    run = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, start_new_session=True, preexec_fn=hear_ctrl_c
    )
    children = Path(f"/proc/{run.pid}/task/{run.pid}/children")
    tracker_and_two = 3
    while run.poll() is None and len(children.read_text().split()) < tracker_and_two:
        time.sleep(0.002)
    time.sleep(seconds)
    os.killpg(run.pid, signal.SIGINT)
    _, said = run.communicate(timeout=60)
    assert run.returncode == 128 + signal.SIGINT
    assert "Traceback" not in said


def test_without_ray_nothing_is_begun(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("ray", "ray.data"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingDependencyError, match="needs Ray"):
        tokenize([corpus], tmp_path / "codes", engine="ray")
    assert not (tmp_path / "codes").exists()


def test_ray_gives_the_same(corpus: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    local, cluster = tmp_path / "local", tmp_path / "cluster"
    tokenize([corpus], local)
    summary = tokenize([corpus], cluster, engine="ray")
    assert len(summary.failures) == 1
    assert "bad.wav" in summary.failures[0]
    assert rows_of(cluster) == rows_of(local)
    for name in GOOD:
        np.testing.assert_array_equal(np.load(cluster / f"{name}.npy"), np.load(local / f"{name}.npy"))


def test_codes_are_written_as_soon_as_a_file_of_parquet_is_full(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writers, "SHARD_CODES", 1)
    lines = []

    def look(done: int, total: int, summary: run.Summary) -> None:
        lines.append(len((tmp_path / "manifest.jsonl").read_text().splitlines()))

    tokenize([corpus / "a.wav", corpus / "c.flac"], tmp_path, kind="parquet", progress=look)
    assert lines == [1, 2]


def test_safetensors_hold_the_volumes_of_segments(tmp_path: Path) -> None:
    scales = np.array([0.25, 0.5], np.float32)
    codes = Codes(np.zeros((2, 4), np.int16), 1280, scales)
    make_writer(tmp_path, "safetensors", []).add("a", {"path": "a.wav"}, codes)
    np.testing.assert_array_equal(load_file(tmp_path / "a.safetensors")["scales"], scales)


def test_what_failed_is_told_of_the_last_run_alone(tmp_path: Path) -> None:
    (tmp_path / "bad.wav").write_bytes(b"no audio")
    for _ in range(2):
        tokenize([tmp_path / "bad.wav"], tmp_path / "codes")
    assert len((tmp_path / "codes" / "failed.jsonl").read_text().splitlines()) == 1
    soundfile.write(tmp_path / "bad.wav", np.ones(2400) / 10, 24_000)
    assert tokenize([tmp_path / "bad.wav"], tmp_path / "codes").coded == 1
    assert not (tmp_path / "codes" / "failed.jsonl").exists()


def test_inputs_that_name_nothing_or_one_twice_are_a_sentence(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(SonantError, match="1 recordings are named twice"):
        find_items([corpus / "a.wav", corpus / "a.wav"])
    with pytest.raises(SonantError, match="no audio files"):
        find_items([tmp_path])
    (tmp_path / "A.WAV").write_bytes(b"")
    assert [item.name for item in find_items([tmp_path])] == ["A.WAV"]


def test_other_weights_of_one_name_are_refused() -> None:
    with pytest.raises(WeightsError, match="other weights on this machine"):
        Tokenizer(Settings("24khz", 6.0, "0" * 64))


def test_the_summary_adds_up_and_no_samples_are_no_recording(corpus: Path, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), 24_000)
    summary = tokenize([corpus / "a.wav", corpus / "c.flac", tmp_path / "empty.wav"], tmp_path / "codes")
    assert summary.seconds == pytest.approx(1.2, rel=1e-3)
    assert (summary.coded, [text.endswith("holds no samples") for text in summary.failures]) == (2, [True])


def test_a_run_goes_on_with_links_to_what_it_has(corpus: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.wav"
    link.symlink_to(corpus / "a.wav")
    assert tokenize([corpus / "a.wav"], tmp_path / "codes").coded == 1
    assert tokenize([corpus / "a.wav", link], tmp_path / "codes").coded == 1
    assert len(rows_of(tmp_path / "codes")) == 2


def test_links_to_folders_are_followed_but_not_round_and_round(tmp_path: Path) -> None:
    for place in ("corpus/a/x.wav", "elsewhere/b/y.wav"):
        (tmp_path / place).parent.mkdir(parents=True)
        (tmp_path / place).touch()
    (tmp_path / "corpus" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "corpus" / "a" / "up").symlink_to("..")
    (tmp_path / "elsewhere" / "b" / "back").symlink_to(tmp_path / "corpus")
    (tmp_path / "corpus" / "broken.wav").symlink_to("nowhere.wav")
    names = [item.name for item in find_items([tmp_path / "corpus"])]
    assert names == ["a/x.wav", "linked/b/y.wav"]


@pytest.mark.skipif(sys.platform == "win32", reason="a system without limits of files")
@pytest.mark.parametrize("kind", ["npy", "safetensors"])
def test_what_ends_a_file_of_codes_is_named(kind: str, tmp_path: Path) -> None:
    import resource

    codes = Codes(np.zeros((8, 10_000), np.int16), 3_200_000)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        with pytest.raises(SonantError, match=os.strerror(errno.EFBIG)):
            make_writer(tmp_path, kind, []).add("a.wav", {"path": "a.wav"}, codes)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_name_too_long_for_a_file_of_codes_fails_alone(corpus: Path, tmp_path: Path) -> None:
    shutil.copy(corpus / "a.wav", tmp_path / f"{'n' * 240}.wav")
    shutil.copy(corpus / "a.wav", tmp_path / "z.wav")
    summary = tokenize([tmp_path], tmp_path / "codes")
    assert summary.coded == 1
    assert "too long" in summary.failures[0]


@pytest.mark.parametrize("order", [["x", "x.npy/y.wav"], ["x.npy/y.wav", "x"]])
def test_a_file_of_codes_by_the_name_of_a_folder_fails_alone(
    corpus: Path, tmp_path: Path, order: list[str]
) -> None:
    names = [*order, "z.wav"]
    (tmp_path / "x.npy").mkdir()
    for name in names:
        shutil.copy(corpus / "a.wav", tmp_path / name)
    (tmp_path / "list.txt").write_text("\n".join(names))
    summary = tokenize([tmp_path / "list.txt"], tmp_path / "codes")
    assert summary.coded == 2
    assert len(summary.failures) == 1
    assert f"{order[1]}: a f" in summary.failures[0]
    assert "rename one of them" in summary.failures[0]


def test_a_run_killed_before_its_settings_can_begin_again(corpus: Path, tmp_path: Path) -> None:
    (tmp_path / ".settings.json.99.partial").touch()
    assert tokenize([corpus / "a.wav"], tmp_path).coded == 1


@pytest.mark.parametrize("line", [r'{"path": "a\u0000.wav"}', "[" * 100_000])
def test_a_manifest_line_that_names_no_file(tmp_path: Path, line: str) -> None:
    (tmp_path / "list.jsonl").write_text(line)
    with pytest.raises(SonantError, match="line 1"):
        find_items([tmp_path / "list.jsonl"])
