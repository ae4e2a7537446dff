"""Codes on disk back into audio: what `sonant tokenize` wrote, and arrays of any other program."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from safetensors.numpy import save_file
from typer.testing import CliRunner

import sonant
from conftest import AUDIO
from sonant.audio import read_audio
from sonant.cli import app
from sonant.codec import Codec
from sonant.codes import Codes
from sonant.errors import SonantError
from sonant.models.store import save_weights
from sonant.tokenizing.back import detokenize
from sonant.tokenizing.reading import find_codes
from sonant.tokenizing.run import tokenize


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    (folder / "b").mkdir()
    speech = read_audio(AUDIO / "speech_de.flac", 24_000, 1)[0][0]
    soundfile.write(folder / "a.wav", speech[:30_001], 24_000)
    soundfile.write(folder / "b" / "a.flac", speech[30_000:41_000], 24_000)
    soundfile.write(folder / "b" / "a.wav", speech[50_000:55_000], 24_000)
    return folder


def decoded(path: Path) -> np.ndarray:
    return soundfile.read(path, dtype="float32", always_2d=True)[0].T


@pytest.mark.parametrize("kind", ["npy", "safetensors", "parquet"])
@pytest.mark.parametrize("jobs", [1, 2])
def test_a_corpus_there_and_back(corpus: Path, tmp_path: Path, kind: str, jobs: int) -> None:
    tokenize([corpus], tmp_path / "codes", kind=kind)
    summary = detokenize([tmp_path / "codes"], tmp_path / "audio", jobs=jobs)
    assert (summary.coded, summary.before, summary.failures) == (3, 0, ())
    codec = sonant.load(beam=1)
    for name, made in (("a.wav", "a.wav"), ("b/a.flac", "b/a.flac.wav"), ("b/a.wav", "b/a.wav.wav")):
        expected = codec.decode(codec.encode(read_audio(corpus / name, 24_000, 1)[0]))
        audio = decoded(tmp_path / "audio" / made)
        assert audio.shape == expected.shape
        np.testing.assert_allclose(audio, expected.clip(-1, 1), atol=1e-4)
    again = detokenize([tmp_path / "codes"], tmp_path / "audio")
    assert (again.coded, again.before) == (0, 3)
    assert summary.seconds == pytest.approx((30_001 + 11_000 + 5000) / 24_000)


@pytest.mark.parametrize(("name", "frames"), [("empty", 0), (os.fsdecode(b"\xe9t\xe9"), 2)])
@pytest.mark.parametrize("ending", [".wav", ".flac"])
def test_any_recording_is_known_again(tmp_path: Path, name: str, frames: int, ending: str) -> None:
    np.save(tmp_path / f"{name}.npy", np.zeros((8, frames), np.int16))
    for _ in range(2):
        summary = detokenize([tmp_path / f"{name}.npy"], tmp_path / "audio", ending=ending)
        assert summary.failures == ()
    assert (tmp_path / "audio" / f"{name}{ending}").exists()


def test_segments_and_their_volumes(golden_codec: Codec, tmp_path: Path) -> None:
    config = golden_codec.config
    save_weights(tmp_path / "model.safetensors", golden_codec.weights, config)
    codec = sonant.load(tmp_path / "model.safetensors")
    wav = 0.1 * np.random.default_rng(0).standard_normal((config.channels, int(2.3 * config.sample_rate)))
    soundfile.write(tmp_path / "noise.wav", wav.T, config.sample_rate)
    model = str(tmp_path / "model.safetensors")
    bitrate = min(config.bandwidths)
    tokenize([tmp_path / "noise.wav"], tmp_path / "codes", model=model, bitrate=bitrate, kind="safetensors")
    for source in (tmp_path / "codes", tmp_path / "codes" / "noise.wav.safetensors"):
        out = tmp_path / "audio" / source.name
        assert detokenize([source], out, model=model).failures == ()
        audio = decoded(out / "noise.wav")
        read = read_audio(tmp_path / "noise.wav", config.sample_rate, config.channels)[0]
        expected = codec.decode(sonant.load(model, beam=1).encode(read, bitrate=bitrate))
        assert audio.shape == expected.shape
        np.testing.assert_allclose(audio, expected.clip(-1, 1), atol=1e-4)


@pytest.mark.parametrize("dtype", ["int16", "uint16", "int64"])
def test_arrays_of_any_program(codec: Codec, tmp_path: Path, dtype: str) -> None:
    values = np.random.default_rng(0).integers(0, 1024, (4, 40))
    np.save(tmp_path / "one.npy", values.astype(dtype))
    np.save(tmp_path / "batch.npy", values[None].astype(dtype))
    save_file({"codes": values.astype("int16")}, tmp_path / "told.safetensors", {"length": "12700"})
    names = ["one.npy", "batch.npy", "told.safetensors"]
    result = CliRunner().invoke(
        app, ["detokenize", *(str(tmp_path / n) for n in names), "-o", str(tmp_path / "out"), "-j", "1"]
    )
    assert result.exit_code == 0, result.output
    expected = codec.decode(Codes(values.astype(np.int16), 40 * 320)).clip(-1, 1)
    for name in ("one.wav", "batch.wav"):
        np.testing.assert_allclose(decoded(tmp_path / "out" / name), expected, atol=1e-4)
    np.testing.assert_allclose(decoded(tmp_path / "out" / "told.wav"), expected[:, :12_700], atol=1e-4)


@pytest.mark.parametrize("ending", [".wav", ".flac", ".ogg"])
def test_audio_of_other_codes_or_another_model_is_made_again(
    codec: Codec, tmp_path: Path, ending: str
) -> None:
    codes, audio, other = tmp_path / "a.npy", tmp_path / f"a{ending}", tmp_path / "other.safetensors"
    weights = {k: 0.5 * v if k.startswith("decoder.") else v for k, v in codec.weights.items()}
    save_weights(other, weights, codec.config)
    made = []
    for value, model in ((0, None), (0, None), (1, None), (1, str(other))):
        np.save(codes, np.full((2, 10), value, np.int16))
        summary = detokenize([codes], tmp_path, ending=ending, model=model)
        assert summary.failures == ()
        made.append((summary.coded, audio.read_bytes()))
    assert [count for count, _ in made] == [1, 0, 1, 1]
    assert len({content for _, content in made}) == 3


def test_other_codes_in_a_parquet_file_are_noticed_by_the_same_process(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    row = {"codes": "codes.parquet", "path": "a.wav", "length": 3200}
    (tmp_path / "manifest.jsonl").write_text(json.dumps(row) + "\n")
    counts = []
    for value in (0, 0, 1):
        codes = np.full((2, 10), value, np.int16).tolist()
        parquet.write_table(parquet_table([codes]), tmp_path / "codes.parquet")
        summary = detokenize([tmp_path], tmp_path / "audio")
        assert summary.failures == ()
        counts.append(summary.coded)
    assert counts == [1, 0, 1]


@pytest.mark.parametrize("codes", [None, [], [0, 1], [[0], [0, 1]], [[0, None]]])
def test_what_are_no_codes_in_a_parquet_file_is_a_sentence(tmp_path: Path, codes: object) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    row = {"codes": "codes.parquet", "path": "a.wav", "length": 3200}
    (tmp_path / "manifest.jsonl").write_text(json.dumps(row) + "\n")
    parquet.write_table(parquet_table([codes]), tmp_path / "codes.parquet")
    (failure,) = detokenize([tmp_path], tmp_path / "audio").failures
    assert failure.endswith("codes.parquet: a.wav: holds no codes [n_q, frames]")


def parquet_table(codes: list[object]) -> Any:
    import pyarrow

    return pyarrow.table({"codes": codes})


def test_every_recording_has_a_file_of_its_own(tmp_path: Path) -> None:
    names = ["x.wav", "x.flac", "x.wav.wav", "y.wav"]
    for value, name in enumerate(names):
        np.save(tmp_path / f"{name}.npy", np.full((2, 10), value, np.int16))
    for before in (0, 4):
        summary = detokenize([tmp_path / f"{name}.npy" for name in names], tmp_path / "audio")
        assert (summary.coded, summary.before, summary.failures) == (4 - before, before, ())
    made = sorted(path.name for path in (tmp_path / "audio").iterdir())
    assert made == ["x.flac.wav", "x.wav.wav", "x.wav.wav.wav", "y.wav"]


def test_a_manifest_may_have_paths_of_both_kinds(tmp_path: Path) -> None:
    rows = [{"codes": "codes.parquet", "path": path} for path in ("/a/b.wav", "b/c.wav")]
    (tmp_path / "manifest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert [coded.name for coded in find_codes([tmp_path])] == ["a/b.wav", "b/c.wav"]


@pytest.mark.parametrize("length", [0, 2880, 3201, 10**9])
def test_codes_of_another_length_than_they_tell_are_refused(tmp_path: Path, length: int) -> None:
    np.save(tmp_path / "a.npy", np.zeros((2, 10), np.int16))
    row = {"codes": "a.npy", "path": "a.wav", "length": length}
    (tmp_path / "manifest.jsonl").write_text(json.dumps(row) + "\n")
    (failure,) = detokenize([tmp_path], tmp_path / "audio").failures
    assert failure.endswith(f"a.npy: 10 frames are not what {length} samples give")
    assert not list(tmp_path.rglob("*.wav"))


def test_audio_from_elsewhere_is_not_replaced(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((2, 10), np.int16))
    np.save(tmp_path / "b.npy", np.zeros((2, 10), np.int16))
    soundfile.write(tmp_path / "a.wav", np.zeros(100), 24_000)
    (tmp_path / "b.wav").write_text("notes")
    before = [(tmp_path / name).read_bytes() for name in ("a.wav", "b.wav")]
    summary = detokenize([tmp_path / "a.npy", tmp_path / "b.npy"], tmp_path)
    assert (summary.coded, summary.before) == (0, 0)
    assert all("exists and is not from sonant detokenize" in failure for failure in summary.failures)
    assert [(tmp_path / name).read_bytes() for name in ("a.wav", "b.wav")] == before


def test_what_are_no_codes_is_told_and_the_rest_decoded(tmp_path: Path) -> None:
    good = np.zeros((2, 10), np.int16)
    for name, values in {
        "good": good,
        "big": good + 1024,
        "low": good - 1,
        "flat": good[0],
        "real": good.astype(float),
        "many": np.zeros((33, 10), np.int16),
    }.items():
        np.save(tmp_path / f"{name}.npy", values)
    (tmp_path / "text.npy").write_text("no array")
    save_file({"other": good}, tmp_path / "other.safetensors")
    summary = detokenize(
        sorted([*tmp_path.glob("*.npy"), tmp_path / "other.safetensors"]), tmp_path / "out"
    )
    assert summary.coded == 1
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["good.wav"]
    told = "\n".join(summary.failures)
    for sentence in (
        "big.npy: codes are from 0 to 1023",
        "low.npy: codes are from 0 to 1023",
        "flat.npy: holds int16 [10], not codes [n_q, frames]",
        "real.npy: holds float64 [2, 10], not codes [n_q, frames]",
        "many.npy: ",
        "text.npy: is no array of NumPy",
        "other.safetensors: holds no tensor of the name codes",
    ):
        assert sentence in told
    result = CliRunner().invoke(app, ["detokenize", str(tmp_path / "big.npy"), "-o", str(tmp_path / "x")])
    assert result.exit_code == 2


def test_codes_whose_model_has_to_be_given_are_named(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((2, 10), np.int16))
    row = {"codes": "a.npy", "path": "a.wav", "model": "elsewhere"}
    (tmp_path / "manifest.jsonl").write_text(json.dumps(row) + "\n")
    (failure,) = detokenize([tmp_path], tmp_path / "out").failures
    assert failure.endswith("a.npy: was made with elsewhere, which has to be given with -m")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("gone", "no such file or folder"),
        ("empty", "has no manifest.jsonl"),
        ("broken", "is damaged"),
        ("a.txt", "neither .npy nor .safetensors"),
        ("bad.safetensors", "is no safetensors file"),
        ("long.safetensors", "tells a length of 'two'"),
        ("other", "is damaged"),
        ("nameless", "is damaged"),
    ],
)
def test_inputs_that_hold_no_codes(tmp_path: Path, name: str, sentence: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "manifest.jsonl").write_text("{")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "manifest.jsonl").write_text('{"path": "a.wav"}\n')
    (tmp_path / "nameless").mkdir()
    (tmp_path / "nameless" / "manifest.jsonl").write_text('{"codes": "", "path": "a.wav"}\n')
    save_file({"codes": np.zeros((2, 10), np.int16)}, tmp_path / "long.safetensors", {"length": "two"})
    (tmp_path / "a.txt").write_text("a")
    (tmp_path / "bad.safetensors").write_text("a")
    with pytest.raises(SonantError, match=sentence):
        detokenize([tmp_path / name], tmp_path / "out")


def test_the_line_that_a_killed_run_had_begun_does_not_count(tmp_path: Path) -> None:
    row = json.dumps({"codes": "a.npy", "path": "a.wav"})
    (tmp_path / "manifest.jsonl").write_text(f"{row}\n{row[:-9]}")
    assert [coded.name for coded in find_codes([tmp_path])] == ["a"]


def test_a_last_line_that_is_whole_counts_without_its_end(tmp_path: Path) -> None:
    rows = [json.dumps({"codes": f"{name}.npy", "path": f"{name}.wav"}) for name in "ab"]
    (tmp_path / "manifest.jsonl").write_text("\n".join(rows))
    assert [coded.name for coded in find_codes([tmp_path])] == ["a", "b"]


def test_two_of_one_name_are_refused(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        np.save(tmp_path / folder / "x.npy", np.zeros((2, 10), np.int16))
    with pytest.raises(SonantError, match="two recordings have the name x"):
        detokenize([tmp_path / "a" / "x.npy", tmp_path / "b" / "x.npy"], tmp_path / "out")


def test_a_manifest_leads_nowhere_else_and_other_weights_are_refused(corpus: Path, tmp_path: Path) -> None:
    tokenize([corpus / "a.wav"], tmp_path / "codes")
    manifest = tmp_path / "codes" / "manifest.jsonl"
    row = json.loads(manifest.read_text())
    np.save(tmp_path / "outside.npy", np.zeros((2, 10), np.int16))
    manifest.write_text(json.dumps({**row, "codes": "../outside.npy"}) + "\n")
    assert "outside.npy" in detokenize([tmp_path / "codes"], tmp_path / "out").failures[0]
    manifest.write_text(json.dumps({**row, "weights": "0" * 64}) + "\n")
    assert "other weights of 24khz" in detokenize([tmp_path / "codes"], tmp_path / "out").failures[0]
    assert not list((tmp_path / "out").rglob("*.wav"))
