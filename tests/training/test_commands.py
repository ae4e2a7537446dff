"""`sonant train` and `sonant data` as a user runs them."""

import pytest
from typer.testing import CliRunner

from sonant.cli import app
from sonant.cli.train import seconds
from sonant.errors import ConfigError
from sonant.training.manifest import Recording, read_manifest, write_manifest
from training.test_recipes import RECIPES, TINY


def run(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


def test_pack_then_train_then_resume(corpus_folder, tmp_path):
    result = run("data", "pack", corpus_folder, "--output", tmp_path / "pack", "--form", "opus")
    assert result.exit_code == 0, result.output
    assert "18 recordings" in result.output
    assert "0 left out" in result.output
    assert "train-speech" in run("data", "show", tmp_path / "pack").output
    assert len(read_manifest(tmp_path / "pack" / "validation.jsonl")) == 9
    changes = [*TINY, "model.bandwidths=[0.6, 1.2]", f"data.pack={tmp_path / 'pack'}"]
    options = [part for change in changes for part in ("--set", change)]
    start = ("train", RECIPES / "24khz.toml", "--output", tmp_path / "run", *options)
    assert run(*start).exit_code == 0
    again = run(*start)
    assert isinstance(again.exception, ConfigError)
    assert "add --resume" in str(again.exception)
    resumed = run(*start, "--resume", "--set", "run.steps=4", "--time-limit", "10m")
    assert resumed.exit_code == 0, resumed.exception
    assert (tmp_path / "run" / "log.jsonl").read_text().count("\n") == 4


def test_names_that_are_not_in_utf8_are_shown(tmp_path):
    named = Recording("a.wav", "speech", source="m\udce9", length=3600, sample_rate=1)
    write_manifest(tmp_path / "manifest.jsonl", [named])
    result = run("data", "show", tmp_path)
    assert result.exit_code == 0, result.exception
    assert "m\\udce9: no licence given" in result.output


@pytest.mark.parametrize(
    ("recipe", "change", "message"),
    [
        ("24khz.toml", "loss.balancer=False", 'loss.balancer is true or false, not "False"'),
        ("lm_24khz.toml", "codebook_start=False", 'codebook_start is true or false, not "False"'),
    ],
)
def test_a_value_that_cannot_be_is_a_sentence(tmp_path, recipe, change, message):
    result = run("train", RECIPES / recipe, "--output", tmp_path, "--set", change)
    assert isinstance(result.exception, ConfigError)
    assert str(result.exception) == message


@pytest.mark.parametrize("name", ["manifest.jsonl", "validation.jsonl"])
@pytest.mark.parametrize("form", ["pcm", "index"])
def test_no_manifest_is_replaced_by_that_of_a_pack(tmp_path, corpus_folder, name, form):
    manifest = tmp_path / name
    manifest.write_text('{"file": "a.wav", "kind": "speech"}\n')
    for source in (manifest, corpus_folder):
        result = run("data", "pack", source, "--output", tmp_path, "--form", form)
        assert isinstance(result.exception, ConfigError)
        assert str(result.exception) == f"{manifest}: exists; remove it or choose another folder"
    assert [path.read_text() for path in tmp_path.iterdir()] == ['{"file": "a.wav", "kind": "speech"}\n']


def test_a_bad_file_is_named_and_counted(tmp_path, corpus_folder):
    (tmp_path / "broken.wav").write_text("nothing")
    result = run("data", "pack", tmp_path, corpus_folder, "-o", tmp_path / "pack", "--form", "index")
    assert result.exit_code == 0, result.exception
    assert "left out: " in result.output
    assert "broken.wav" in result.output
    assert "18 recordings" in result.output
    assert "1 left out" in result.output


@pytest.mark.parametrize(
    ("text", "value"), [("25m", 1500), ("1h30m", 5400), ("90s", 90), ("90", 90), ("0.5h", 1800)]
)
def test_durations(text, value):
    assert seconds(text) == value


@pytest.mark.parametrize("text", ["", "soon", "5d", "m", "0"])
def test_what_is_no_duration(text):
    with pytest.raises(ConfigError, match="no duration"):
        seconds(text)
