from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sonant.cli import main
from sonant.standard_streams import standard_input

WHAT_INFO_IMPORTS = """
import sys
from pathlib import Path
from sonant.information import describe
seconds = describe(Path(sys.argv[1]))["seconds"]
print(seconds, {"onnxruntime", "onnx", "soundfile"} & set(sys.modules))
"""


def sonant(*arguments: str | Path, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    program = [sys.executable, "-m", "sonant", *map(str, arguments)]
    return subprocess.run(program, input=stdin, capture_output=True, check=False)


def test_a_file_there_and_back(speech_file: Path, tmp_path: Path) -> None:
    coded, decoded = tmp_path / "a.ecdc", tmp_path / "a.flac"
    assert sonant("encode", speech_file, "-o", coded, "-b", "3").returncode == 0
    result = sonant("decode", coded, "-o", decoded)
    assert (result.returncode, result.stdout, result.stderr) == (0, b"", b"")
    assert soundfile.info(decoded).frames == 144_000
    assert sonant("decode", coded, "-o", decoded, "-f", "--rate", "16000").returncode == 0
    assert (soundfile.info(decoded).samplerate, soundfile.info(decoded).frames) == (16_000, 96_000)


def test_many_files_into_a_folder(speech_file: Path, music_file: Path, tmp_path: Path) -> None:
    result = sonant("encode", speech_file, music_file, tmp_path / "no.wav", "-o", tmp_path / "out")
    assert result.returncode == 2
    assert b"no.wav: no such file" in result.stderr
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == [f"{music_file.stem}.ecdc", f"{speech_file.stem}.ecdc"]


def test_inputs_that_cannot_be_read_do_not_stop_the_others(
    speech_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Typer asks `os.access`; a name that is too long is an error of the system like many others."""
    monkeypatch.setattr(
        os, "access", lambda path, mode, **_: Path(path).name != "closed.wav" or mode != os.R_OK
    )
    (tmp_path / "closed.wav").write_bytes(b"no audio")
    inputs = [tmp_path / "closed.wav", tmp_path / f"{'a' * 300}.wav", speech_file]
    with pytest.raises(SystemExit) as end:
        main(["encode", *map(str, inputs), "-o", f"{tmp_path / 'out'}/"])
    assert end.value.code == 2
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["speech_en.ecdc"]
    assert [line.startswith(f"sonant: {tmp_path}") for line in capsys.readouterr().err.splitlines()] == [
        True
    ] * 2


def test_one_file_into_a_folder_that_is_not_there(speech_file: Path, tmp_path: Path) -> None:
    assert sonant("encode", speech_file, "-o", f"{tmp_path}/out/", "--no-lm").returncode == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == [f"{speech_file.stem}.ecdc"]


def test_precision_is_that_of_either_direction(speech_file: Path, tmp_path: Path) -> None:
    coded = {name: tmp_path / f"{name}.ecdc" for name in ("float32", "int8")}
    for name, path in coded.items():
        assert sonant("encode", speech_file, "-o", path, "--precision", name).returncode == 0
    assert coded["int8"].read_bytes() != coded["float32"].read_bytes()
    for name in coded:
        target = tmp_path / f"{name}.wav"
        assert sonant("decode", coded["int8"], "-o", target, "--precision", name).returncode == 0
    reference, fast = (soundfile.read(tmp_path / f"{name}.wav")[0] for name in coded)
    assert 0 < np.mean((fast - reference) ** 2) < 1e-2 * np.mean(reference**2)


def test_pipes(speech_file: Path) -> None:
    wav = subprocess.run(
        [
            sys.executable,
            "-c",
            "import soundfile, sys, io; x, r = soundfile.read(sys.argv[1]); b = io.BytesIO();"
            "soundfile.write(b, x, r, 'PCM_16', format='WAV'); sys.stdout.buffer.write(b.getvalue())",
            str(speech_file),
        ],
        capture_output=True,
        check=True,
    ).stdout
    coded = sonant("encode", "-", stdin=wav).stdout
    assert coded.startswith(b"ECDC")
    decoded = sonant("decode", "-", stdin=coded).stdout
    assert len(decoded) == 44 + 2 * 144_000


@pytest.mark.parametrize(
    ("arguments", "closed", "sentence"),
    [
        ("encode - -o a.ecdc", "<&-", "standard input: is closed"),
        ("decode - -o a.wav", "<&-", "standard input: is closed"),
        ("encode {speech} -o - --no-lm", ">&-", "standard output: is closed"),
    ],
)
def test_closed_pipes_are_a_sentence(
    arguments: str, closed: str, sentence: str, speech_file: Path, tmp_path: Path
) -> None:
    command = f"{sys.executable} -m sonant {arguments.format(speech=speech_file)} {closed}"
    result = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, check=False)
    assert (result.returncode, result.stderr.decode()) == (2, f"sonant: {sentence}\n")


def test_a_closed_standard_error_stops_no_work(speech_file: Path, tmp_path: Path) -> None:
    command = f"{sys.executable} -m sonant encode {speech_file} -o a.ecdc --no-lm --beam 1 2>&-"
    result = subprocess.run(command, shell=True, cwd=tmp_path, check=False)
    assert (result.returncode, (tmp_path / "a.ecdc").exists()) == (0, True)


@pytest.mark.skipif(not hasattr(os, "set_blocking"), reason="a system without such pipes")
def test_a_pause_in_a_pipe_that_does_not_wait_is_not_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.set_blocking(reader, False)

    def write() -> None:
        with open(writer, "wb", buffering=0) as pipe:
            pipe.write(b"one")
            time.sleep(0.1)
            pipe.write(b"two")

    with open(reader) as pipe:
        monkeypatch.setattr(sys, "stdin", pipe)
        thread = threading.Thread(target=write)
        thread.start()
        assert standard_input().read(6) == b"onetwo"
        thread.join()


def test_a_search_finds_the_same_for_a_file_and_for_a_pipe(speech_file: Path, tmp_path: Path) -> None:
    audio, rate = soundfile.read(speech_file, dtype="int16")
    wav, coded, plain = (tmp_path / name for name in ("a.wav", "a.ecdc", "plain.ecdc"))
    soundfile.write(wav, audio[: 3 * rate], rate, subtype="PCM_16")
    settings = ("-b", "3", "--chunk", "1")
    assert sonant("encode", wav, "-o", plain, *settings, "--rdo", "0", "--beam", "1").returncode == 0
    assert sonant("encode", wav, "-o", coded, *settings).returncode == 0
    piped = sonant("encode", "-", "-o", "-", *settings, stdin=wav.read_bytes())
    assert len(piped.stdout) < 0.97 * plain.stat().st_size
    assert piped.stdout == coded.read_bytes()


def test_a_bad_or_empty_input_leaves_nothing_in_a_pipe(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "nan.wav", np.full(24_000, np.nan, np.float32), 24_000, subtype="FLOAT")
    soundfile.write(tmp_path / "empty.wav", np.zeros(0, np.float32), 24_000)
    for name in ("nan.wav", "empty.wav"):
        result = sonant("encode", "-", stdin=(tmp_path / name).read_bytes())
        assert (result.returncode, result.stdout) == (2, b"")


@pytest.mark.parametrize("version", ["0", "1"])
def test_info_of_a_pipe_is_that_of_the_file(speech_file: Path, tmp_path: Path, version: str) -> None:
    coded = tmp_path / "a.ecdc"
    assert sonant("encode", speech_file, "-o", coded, "--format", version, "-b", "1.5").returncode == 0
    values = json.loads(sonant("info", coded, "--json").stdout)
    assert values["bytes"] == coded.stat().st_size
    assert json.loads(sonant("info", "-", "--json", stdin=coded.read_bytes()).stdout) == values


def test_info_imports_no_engine_and_no_audio(speech_file: Path, tmp_path: Path) -> None:
    sonant("encode", speech_file, "-o", tmp_path / "a.ecdc", "--no-lm")
    seen = subprocess.check_output(
        [sys.executable, "-c", WHAT_INFO_IMPORTS, tmp_path / "a.ecdc"], text=True
    )
    assert seen == "6.0 set()\n"


def test_info_and_models(speech_file: Path, tmp_path: Path) -> None:
    coded = tmp_path / "a.ecdc"
    assert sonant("encode", speech_file, "-o", coded).returncode == 0
    values = json.loads(sonant("info", coded, "--json").stdout)
    assert values["model"] == "24khz"
    assert values["seconds"] == 6.0
    shown = sonant("info", coded).stdout.decode()
    assert "24khz" in shown
    assert re.search("^index +yes$", shown, re.MULTILINE)
    coded.write_bytes(coded.read_bytes()[:500])
    assert re.search("^damage +0.00 s: ", sonant("info", coded).stdout.decode(), re.MULTILINE)
    models = json.loads(sonant("models", "--json").stdout)
    sizes = {model["name"]: model["bytes"] for model in models}
    assert sizes["24khz_large"] > sizes["24khz"] > 1e6
    assert sizes["encodec_24khz"] is sizes["encodec_48khz"] is None


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["encode", "no.wav"], "no.wav: no such file"),
        (["encode", "{speech}", "-b", "5", "-o", "{tmp}/a.ecdc"], "24khz has no 5 kbit/s"),
        (
            ["encode", "{speech}", "-b", "6", "--abr", "6", "-o", "{tmp}/a.ecdc"],
            "either --bitrate or --abr",
        ),
        (["encode", "{speech}", "--abr", "25", "-o", "{tmp}/a.ecdc"], "between 0 and 24 kbit/s"),
        (["encode", "{speech}", "-m", "25khz", "-o", "{tmp}/a.ecdc"], "25khz: no such model"),
        (["encode", "{speech}", "{speech}", "-o", "{tmp}/a.ecdc"], "need a folder"),
        (["encode", "{tmp}"], "is a directory"),
        (["encode", "{speech}", "{tmp}/a.ecdc"], "a.ecdc: no such file; an output is named with -o"),
        (["decode", "{speech}", "{tmp}/a.wav"], "a.wav: no such file; an output is named with -o"),
        (["decode", "a.ecdc", "{speech}"], "speech_en.flac: is no input by its name; an output is named"),
        (["decode", "{speech}", "-o", "{tmp}/no/a.wav"], "there is no folder"),
        (["encode", "{speech}", "-o", "{tmp}/" + 300 * "a"], "File name too long"),
        (["encode", "{speech}", "-o", "{tmp}/a.ecdc", "--tag", "title"], "--tag title: give NAME=TEXT"),
        (["encode", "{speech}", "-o", "{tmp}/a.ecdc", "--tag", "=x"], "--tag =x: give NAME=TEXT"),
        (["decode", "{speech}", "-o", "{tmp}/a.wav"], "is not .ecdc"),
        (["decode", "{speech}", "-o", "{tmp}/a.xyz"], "is written as .wav, .flac, .ogg"),
        (["info", "{speech}"], "is not .ecdc"),
        (["encode", "{speech}", "{speech}", "-"], "several inputs cannot go into one output"),
        (["encode", "{speech}", "{speech}", "-o", "{speech}/x"], "x: the folder cannot be made"),
        (["encode", "a/x.wav", "b/x.wav", "-o", "{tmp}"], "a/x.wav and b/x.wav would get the same output"),
        (["encode", "{speech}", "-o", "{tmp}/a.mp3"], "a.mp3: is the name of audio"),
        (["join", "a.ecdc", "b.ecdc", "-o", "{tmp}/a.wav"], "a.wav: is the name of audio"),
        (["encode", "{speech}", "--chunk", "inf", "-o", "{tmp}/a.ecdc"], "a chunk lasts some seconds"),
        (["encode", "{speech}", "-m", "a b/c", "-o", "{tmp}/a.ecdc"], "a b/c: no such model on the hub"),
        (["evaluate", "{speech}", "--json", "{tmp}/no/a.json"], "a.json: cannot be written"),
        (["bench", "--json", "{tmp}/no/a.json"], "a.json: cannot be written"),
        (["export", "24khz", "--transformers", "{speech}/x"], "x: Not a directory"),
    ],
)
def test_errors_are_one_line(
    arguments: list[str], sentence: str, speech_file: Path, tmp_path: Path
) -> None:
    filled = [argument.format(speech=speech_file, tmp=tmp_path) for argument in arguments]
    result = sonant(*filled)
    assert result.returncode == 2
    assert sentence in result.stderr.decode()
    assert result.stderr.count(b"\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("command", "name"), [("encode", "a.ecdc"), ("decode", "a.wav")])
def test_an_input_is_not_its_own_output(command: str, name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"of another kind")
    result = sonant(command, tmp_path / name, "-f")
    assert result.returncode == 2
    expected = f"sonant: {tmp_path / name}: would be both input and output; name the output with -o\n"
    assert result.stderr.decode() == expected
    assert (tmp_path / name).read_bytes() == b"of another kind"


def test_a_port_that_cannot_be_is_refused() -> None:
    result = sonant("studio", "--port", "99999", "--no-browser")
    assert result.returncode == 2
    assert b"Invalid value for '--port'" in result.stderr


@pytest.mark.parametrize("wanted", [None, "2"])
def test_numpy_takes_one_thread_unless_told_otherwise(wanted: str | None) -> None:
    program = (
        "import os, sys; from sonant.cli import main\n"
        "assert 'numpy' not in sys.modules\n"
        "try: main(['--version'])\n"
        "finally: print(os.environ['OPENBLAS_NUM_THREADS'])"
    )
    environment = {k: v for k, v in os.environ.items() if k != "OPENBLAS_NUM_THREADS"}
    environment |= {"OPENBLAS_NUM_THREADS": wanted} if wanted else {}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, check=True)
    assert done.stdout.split()[-1].decode() == (wanted or "1")


@pytest.mark.parametrize("group", [[], ["data"], ["mushra"]])
def test_what_commands_do_is_said_in_a_line(group: list[str]) -> None:
    overview = sonant(*group, "--help").stdout.decode()
    assert "..." not in overview.partition("Commands:")[2]


def test_every_command_has_help() -> None:
    from sonant.cli import COMMANDS

    overview = sonant("--help").stdout.decode()
    for name in COMMANDS:
        assert name in overview
        assert sonant(name, "--help").returncode == 0


def test_many_files_on_all_cores_and_where_it_stopped(
    speech_file: Path, music_file: Path, tmp_path: Path
) -> None:
    inputs = (speech_file, tmp_path / "no.wav", music_file)
    one, many = tmp_path / "one", tmp_path / "many"
    arguments = ("-b", "1.5", "--no-lm")
    assert sonant("encode", *inputs, "-o", one, *arguments).returncode == 2
    result = sonant("encode", *inputs, "-o", many, "-j", "2", *arguments)
    assert result.returncode == 2
    assert result.stderr.decode().count("no.wav: no such file") == 1
    names = sorted(path.name for path in one.iterdir())
    assert names == sorted(path.name for path in many.iterdir())
    assert all((one / name).read_bytes() == (many / name).read_bytes() for name in names)

    missing = many / f"{music_file.stem}.ecdc"
    missing.unlink()
    before = (many / f"{speech_file.stem}.ecdc").stat().st_mtime_ns
    again = ("encode", speech_file, music_file, "-o", many, "-j", "0", *arguments)
    assert b"exists; use -f" in sonant(*again).stderr
    missing.unlink()
    assert sonant(*again, "--skip-existing").returncode == 0
    assert missing.read_bytes() == (one / missing.name).read_bytes()
    assert (many / f"{speech_file.stem}.ecdc").stat().st_mtime_ns == before


def test_many_files_are_decoded_on_all_cores_and_damage_is_told(speech_file: Path, tmp_path: Path) -> None:
    sources = [tmp_path / f"{name}.ecdc" for name in "abc"]
    assert (
        sonant("encode", speech_file, "-o", sources[0], "-b", "1.5", "--no-lm", "--chunk", "1").returncode
        == 0
    )
    whole = sources[0].read_bytes()
    damaged = bytearray(whole)
    damaged[len(whole) // 2] ^= 255
    sources[1].write_bytes(damaged)
    sources[2].write_bytes(whole)
    one, many = tmp_path / "one", tmp_path / "many"
    alone = sonant("decode", *sources, "-o", one)
    assert alone.returncode == 3
    assert alone.stderr.startswith(b"sonant: " + bytes(sources[1]))
    result = sonant("decode", *sources, "-o", many, "-j", "2")
    assert (result.returncode, result.stderr) == (3, alone.stderr)
    names = sorted(path.name for path in one.iterdir())
    assert names == ["a.wav", "b.wav", "c.wav"]
    assert all((one / name).read_bytes() == (many / name).read_bytes() for name in names)

    (many / "c.wav").unlink()
    assert sonant("decode", *sources, "-o", many, "--skip-existing").stderr == b""
    assert (many / "c.wav").read_bytes() == (one / "c.wav").read_bytes()


def test_standard_input_among_many_files_is_read_whatever_the_jobs(
    speech_file: Path, tmp_path: Path
) -> None:
    soundfile.write(tmp_path / "a.wav", soundfile.read(speech_file)[0][:24_000], 24_000)
    wav = (tmp_path / "a.wav").read_bytes()
    result = sonant("encode", "-", tmp_path / "a.wav", "-o", f"{tmp_path}/coded/", "-j", "2", stdin=wav)
    assert (result.returncode, result.stderr) == (0, b"")
    assert sorted(path.name for path in (tmp_path / "coded").iterdir()) == ["-.ecdc", "a.ecdc"]
