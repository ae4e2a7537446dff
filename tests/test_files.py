from __future__ import annotations

import errno
import io
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from safetensors.numpy import save_file

import sonant
from conftest import Golden, load_golden
from sonant.audio import open_source, resample
from sonant.audio.sources import SoundfileSource
from sonant.codec import Codec
from sonant.errors import AudioError, ConfigError, FormatError, SonantError, WeightsError
from sonant.files import compress, decompress, join_files
from sonant.information import describe
from sonant.models.registry import BUNDLED


@pytest.mark.parametrize("ending", [".wav", ".flac", ".ogg"])
def test_there_and_back(codec: Codec, speech_file: Path, tmp_path: Path, ending: str) -> None:
    coded, decoded = tmp_path / "a.ecdc", tmp_path / f"a{ending}"
    compress(speech_file, coded, model=codec, bitrate=3.0)
    decompress(coded, decoded, model=codec)
    info = soundfile.info(decoded)
    assert (info.frames, info.samplerate, info.channels) == (144_000, 24_000, 1)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["a.ecdc", decoded.name])


def test_output_at_another_rate(codec: Codec, music_file: Path, tmp_path: Path) -> None:
    coded, own, other = tmp_path / "a.ecdc", tmp_path / "own.wav", tmp_path / "other.wav"
    samples, rate = soundfile.read(music_file, dtype="float32")
    compress(music_file, coded, model=codec, bitrate=1.5, lm=False)
    decompress(coded, own, model=codec)
    decompress(coded, other, model=codec, rate="original")
    assert soundfile.info(other).samplerate == rate != codec.config.sample_rate
    at_own, given = (soundfile.read(path, dtype="float32")[0] for path in (own, other))
    expected = resample(at_own[None], codec.config.sample_rate, rate)[0]
    assert given.shape == expected.shape
    assert abs(len(given) - len(samples)) <= 1
    np.testing.assert_allclose(given, expected, atol=1e-3)
    decompress(coded, other, model=codec, rate=8000, start=1.0, duration=2.0, overwrite=True)
    assert (soundfile.info(other).samplerate, soundfile.info(other).frames) == (8000, 16_000)


def test_rates_that_cannot_be(codec: Codec, speech_file: Path, tmp_path: Path) -> None:
    coded, target = tmp_path / "a.ecdc", tmp_path / "a.wav"
    compress(speech_file, coded, model=codec, version=0)
    with pytest.raises(AudioError, match="rates up to 200000 Hz"):
        decompress(coded, tmp_path / "a.ogg", model=codec, rate=384_000)
    with pytest.raises(FormatError, match=r"a.ecdc: does not say the rate of its original"):
        decompress(coded, target, model=codec, rate="original")
    for rate in (0, 1_000_000):
        with pytest.raises(ConfigError, match="a rate is between 1 and 768000 Hz"):
            decompress(coded, target, model=codec, rate=rate)
    assert not target.exists()


def test_the_size_is_what_the_bitrate_says(codec: Codec, speech_file: Path, tmp_path: Path) -> None:
    for bitrate in (1.5, 3.0, 6.0, 12.0):
        coded = tmp_path / f"{bitrate}.ecdc"
        compress(speech_file, coded, model=codec, bitrate=bitrate)
        assert coded.stat().st_size - bitrate * 1000 / 8 * 6 < 200


def test_an_existing_file_is_kept(codec: Codec, speech_file: Path, tmp_path: Path) -> None:
    target = tmp_path / "a.ecdc"
    target.write_text("precious")
    with pytest.raises(SonantError, match="exists; use -f"):
        compress(speech_file, target, model=codec)
    assert target.read_text() == "precious"
    compress(speech_file, target, model=codec, overwrite=True)
    assert target.read_bytes().startswith(b"ECDC")


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_named_pipe_is_not_replaced(
    codec: Codec, speech_file: Path, tmp_path: Path, overwrite: bool
) -> None:
    pipe, coded = tmp_path / "pipe.wav", tmp_path / "a.ecdc"
    os.mkfifo(pipe)
    compress(speech_file, coded, model=codec, bitrate=1.5, lm=False)
    for work in (
        lambda: compress(speech_file, pipe, model=codec, overwrite=overwrite),
        lambda: decompress(coded, pipe, model=codec, overwrite=overwrite),
        lambda: join_files([coded, coded], pipe, overwrite=overwrite),
    ):
        with pytest.raises(SonantError, match="is a pipe or a device; use - "):
            work()
    assert pipe.is_fifo()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.ecdc", "pipe.wav"]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is empty"),
        (b"not audio at all\n" * 10, "is not audio that can be read"),
    ],
)
def test_bad_audio_is_named(codec: Codec, tmp_path: Path, content: bytes, sentence: str) -> None:
    source = tmp_path / "a.wav"
    source.write_bytes(content)
    with pytest.raises(SonantError, match=f"a.wav: {sentence}"):
        compress(source, tmp_path / "a.ecdc", model=codec)
    assert [path.name for path in tmp_path.iterdir()] == ["a.wav"]


@pytest.mark.parametrize("sample", [np.nan, -np.inf, 1e30])
def test_samples_that_are_no_audio_are_named(codec: Codec, tmp_path: Path, sample: float) -> None:
    source = tmp_path / "a.wav"
    soundfile.write(source, np.full(1000, sample, np.float32), 24_000, "FLOAT")
    with pytest.raises(SonantError, match=r"a\.wav: holds NaN"):
        compress(source, tmp_path / "a.ecdc", model=codec)
    assert not (tmp_path / "a.ecdc").exists()


def test_directories_and_missing_files_are_named(codec: Codec, tmp_path: Path) -> None:
    with pytest.raises(SonantError, match="is a directory"):
        compress(tmp_path, tmp_path / "a.ecdc", model=codec)
    with pytest.raises(SonantError, match="no such file"):
        compress(tmp_path / "no.wav", tmp_path / "a.ecdc", model=codec)
    with pytest.raises(SonantError, match="cannot be read"):
        decompress(tmp_path / "no.ecdc", tmp_path / "a.wav")
    with pytest.raises(SonantError, match="is a directory"):
        decompress(tmp_path, tmp_path / "a.wav")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"chunk": 0}, "a chunk lasts some seconds"),
        ({"chunk": float("nan")}, "a chunk lasts some seconds"),
        ({"bitrate": 6.0, "abr": 6.0}, "not both"),
        ({"version": 0, "tags": {"title": "a"}}, "no tags"),
        ({"version": 0, "abr": 3.0}, "no average bitrate"),
        ({"version": 0, "chunk": 5.0}, "no chunks"),
        ({"version": 0, "rdo": 0.1}, "rdo needs a language model of version 1 files"),
        ({"version": 0, "lm": True, "rdo": 0.1}, "rdo needs a language model of version 1 files"),
        ({"lm": False, "rdo": 0.1}, "rdo needs a language model, and none codes this file"),
    ],
)
def test_options_that_cannot_be_leave_nothing(
    codec: Codec, speech_file: Path, tmp_path: Path, options: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ConfigError, match=sentence):
        compress(speech_file, tmp_path / "a.ecdc", model=codec, **options)
    assert not list(tmp_path.iterdir())


def test_an_unwritable_output_leaves_nothing(codec: Codec, speech_file: Path, tmp_path: Path) -> None:
    with pytest.raises(SonantError, match="cannot be written"):
        compress(speech_file, tmp_path / "nowhere" / "a.ecdc", model=codec)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("version", [0, 1])
def test_a_cut_file_leaves_no_output_where_damage_is_an_error(
    codec: Codec, speech_file: Path, tmp_path: Path, version: int
) -> None:
    whole, cut = tmp_path / "a.ecdc", tmp_path / "b.ecdc"
    compress(speech_file, whole, model=codec, version=version)
    cut.write_bytes(whole.read_bytes()[:1000])
    with pytest.raises(SonantError, match=r"b\.ecdc: .*(cut off|holds no audio|checksum)"):
        decompress(cut, tmp_path / "b.wav", model=codec, strict=True)
    assert not (tmp_path / "b.wav").exists()


def test_a_file_of_another_model_is_refused(golden_codec: Codec, speech_file: Path, tmp_path: Path) -> None:
    coded = tmp_path / "a.ecdc"
    compress(speech_file, coded, model=golden_codec)
    with pytest.raises(SonantError, match=f"made with {golden_codec.name}"):
        decompress(coded, tmp_path / "a.wav", model=sonant.load())


def test_weights_are_what_they_are_under_any_name(
    golden: Golden, speech_file: Path, tmp_path: Path
) -> None:
    first, second = (Path(shutil.copytree(golden.folder, tmp_path / name)) for name in ("first", "second"))
    for version in (0, 1):
        coded = tmp_path / f"{version}.ecdc"
        compress(speech_file, coded, model=first, version=version, bitrate=6.0)
        named = [second, second / "model.safetensors"]
        for number, model in enumerate(named):
            decompress(coded, tmp_path / f"{version}{number}.wav", model=model)
        audio = {(tmp_path / f"{version}{number}.wav").read_bytes() for number in range(len(named))}
        assert len(audio) == 1
        with pytest.raises(FormatError, match="was made with first, not with 24khz"):
            decompress(coded, tmp_path / "a.wav", model="24khz")


def test_a_version_0_file_would_be_decoded_by_the_bundled_model(speech_file: Path, tmp_path: Path) -> None:
    golden = load_golden("24khz").folder
    with pytest.raises(ConfigError, match="would be decoded by the bundled 24khz; rename the weights"):
        compress(speech_file, tmp_path / "a.ecdc", model=golden, version=0)
    compress(speech_file, tmp_path / "a.ecdc", version=0)
    decompress(tmp_path / "a.ecdc", tmp_path / "a.wav")


def test_official_weights_of_another_sort_are_refused(speech_file: Path, tmp_path: Path) -> None:
    mono, stereo = (load_golden(name) for name in ("24khz", "48khz"))
    compress(speech_file, tmp_path / "a.ecdc", model=Codec(mono.config, mono.weights), version=0)
    folder = Path(shutil.copytree(stereo.folder, tmp_path / "stereo"))
    with pytest.raises(FormatError, match="was made with encodec_24khz, not with stereo"):
        decompress(tmp_path / "a.ecdc", tmp_path / "a.wav", model=folder)


def test_an_official_language_model_beside_weights_is_for_version_0(
    speech_file: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(load_golden("24khz").folder, tmp_path / "official"))
    save_file({"emb.0.weight": np.zeros((4, 4), np.float32)}, folder / "lm.safetensors")
    compress(speech_file, tmp_path / "a.ecdc", model=folder)
    decompress(tmp_path / "a.ecdc", tmp_path / "a.wav", model=folder)
    (folder / "lm.safetensors").write_bytes(b"damaged")
    with pytest.raises(WeightsError, match="cannot read the language model"):
        compress(speech_file, tmp_path / "b.ecdc", model=folder)


@pytest.mark.parametrize("name", ["", "model.safetensors"])
def test_a_folder_of_weights_has_its_language_model_beside_them(
    speech_file: Path, tmp_path: Path, name: str
) -> None:
    shutil.copy(BUNDLED / "24khz.safetensors", tmp_path / "model.safetensors")
    shutil.copy(BUNDLED / "24khz.lm.safetensors", tmp_path / "lm.safetensors")
    compress(speech_file, tmp_path / "a.ecdc", model=tmp_path / name)
    compress(speech_file, tmp_path / "b.ecdc")
    assert (tmp_path / "a.ecdc").stat().st_size == (tmp_path / "b.ecdc").stat().st_size
    compress(speech_file, tmp_path / "c.ecdc", lm=False)
    assert (tmp_path / "a.ecdc").stat().st_size < 0.8 * (tmp_path / "c.ecdc").stat().st_size


def test_chunks_are_no_longer_than_the_format_has_room_for(codec: Codec, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(24_000 * 30, np.float32), 24_000)
    coded = tmp_path / "a.ecdc"
    compress(tmp_path / "a.wav", coded, model=codec, bitrate=24.0, lm=False, chunk=100.0)
    decompress(coded, tmp_path / "b.wav", model=codec, strict=True)
    assert soundfile.info(tmp_path / "b.wav").frames == 24_000 * 30


def test_a_file_cut_in_its_first_chunk_is_told_to_be_damaged(
    codec: Codec, speech_file: Path, tmp_path: Path
) -> None:
    compress(speech_file, tmp_path / "a.ecdc", model=codec, lm=False)
    cut = tmp_path / "cut.ecdc"
    cut.write_bytes((tmp_path / "a.ecdc").read_bytes()[:1000])
    with pytest.raises(FormatError, match=r"holds no audio there; .*(cut off|damaged)"):
        decompress(cut, tmp_path / "a.wav", model=codec)


def test_files_with_and_without_a_language_model_are_not_joined(
    codec: Codec, speech_file: Path, tmp_path: Path
) -> None:
    for name, lm in (("a", True), ("b", False)):
        compress(speech_file, tmp_path / f"{name}.ecdc", model=codec, bitrate=1.5, lm=lm)
    with pytest.raises(FormatError, match=r"b\.ecdc: was made with another language model than"):
        join_files([tmp_path / "a.ecdc", tmp_path / "b.ecdc"], tmp_path / "c.ecdc")


def test_an_unknown_ending_is_refused_before_work(tmp_path: Path) -> None:
    with pytest.raises(SonantError, match=r"\.wav, \.flac, \.ogg"):
        decompress(tmp_path / "no.ecdc", tmp_path / "a.mp3")


def peak_of_coding(seconds: int, codec: Codec, folder: Path) -> int:
    import tracemalloc

    source = folder / f"{seconds}.wav"
    with soundfile.SoundFile(source, "w", 24_000, 1, "PCM_16") as file:
        for _ in range(seconds):
            file.write(np.zeros(24_000, np.float32))
    tracemalloc.start()
    compress(source, folder / f"{seconds}.ecdc", model=codec, bitrate=1.5, chunk=1.0)
    decompress(folder / f"{seconds}.ecdc", folder / f"back{seconds}.wav", model=codec)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak


def test_long_files_need_no_more_memory(codec: Codec, tmp_path: Path) -> None:
    """Blocks of a recording are coded as they are read, eight chunks of 1 s at the most at once."""
    peak_of_coding(10, codec, tmp_path)  # warms caches
    short, long = (peak_of_coding(seconds, codec, tmp_path) for seconds in (16, 64))
    assert long < 1.1 * short


class ShortReads(io.RawIOBase):
    """A pipe that gives a few bytes at a time."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        return self._data.readinto(memoryview(buffer)[:7])


class BrokenPipe(ShortReads):
    """A pipe that breaks where its data end."""

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        count = super().readinto(buffer)
        if not count:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return count


class Stdio:
    def __init__(self, buffer: io.IOBase) -> None:
        self.buffer = buffer


@pytest.mark.parametrize("size", [0, 20, 3000])
def test_an_input_that_breaks_off_is_named(
    codec: Codec, speech_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    coded, decoded = tmp_path / "a.ecdc", tmp_path / "b.wav"
    compress(speech_file, coded, model=codec)
    monkeypatch.setattr("sys.stdin", Stdio(BrokenPipe(coded.read_bytes()[:size])))
    with pytest.raises(FormatError, match="-: cannot be read"):
        decompress("-", decoded, model=codec)
    assert not decoded.exists()


@pytest.mark.parametrize("size", [0, 20, 3000])
def test_an_input_that_breaks_off_is_a_sentence_for_whoever_reads(
    codec: Codec, speech_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    compress(speech_file, tmp_path / "a.ecdc", model=codec)
    broken = (tmp_path / "a.ecdc").read_bytes()[:size]
    monkeypatch.setattr("sys.stdin", Stdio(BrokenPipe(broken)))
    with pytest.raises(FormatError, match="-: cannot be read"):
        describe(Path("-"))
    for read in (
        lambda recording: recording.read(60.0),
        lambda recording: list(recording.blocks()),
        lambda recording: list(recording.codes()),
    ):
        with pytest.raises(FormatError, match="cannot be read"):
            read(sonant.open(BrokenPipe(broken), codec))


def test_an_input_is_closed_where_the_output_cannot_be_written(
    codec: Codec, speech_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[SoundfileSource] = []

    def kept(path: Path) -> SoundfileSource:
        opened.append(open_source(path))
        return opened[0]

    monkeypatch.setattr("sonant.files.open_source", kept)
    with pytest.raises(ConfigError, match="is the name of audio"):
        compress(speech_file, tmp_path / "a.wav", model=codec)
    assert opened[0]._file.closed


def test_pipes_give_what_files_give(
    codec: Codec, speech_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wav, coded, decoded = tmp_path / "a.wav", tmp_path / "a.ecdc", tmp_path / "b.wav"
    samples, rate = soundfile.read(speech_file)
    soundfile.write(wav, samples, rate, "PCM_16")
    compress(wav, coded, model=codec)
    decompress(coded, decoded, model=codec)

    out = io.BytesIO()
    monkeypatch.setattr("sys.stdin", Stdio(ShortReads(wav.read_bytes())))
    monkeypatch.setattr("sys.stdout", Stdio(out))
    compress("-", "-", model=codec)
    assert out.getvalue() == coded.read_bytes()

    out = io.BytesIO()
    monkeypatch.setattr("sys.stdin", Stdio(ShortReads(coded.read_bytes())))
    monkeypatch.setattr("sys.stdout", Stdio(out))
    decompress("-", "-", model=codec)
    piped, _ = soundfile.read(io.BytesIO(out.getvalue()), dtype="int16")
    filed, _ = soundfile.read(decoded, dtype="int16")
    np.testing.assert_array_equal(piped, filed)


def test_input_and_output_must_differ(codec: Codec, speech_file: Path, tmp_path: Path) -> None:
    copy = tmp_path / "a.flac"
    copy.write_bytes(speech_file.read_bytes())
    with pytest.raises(SonantError, match="is the input"):
        compress(copy, copy, model=codec, overwrite=True)
    assert copy.read_bytes() == speech_file.read_bytes()


@pytest.mark.skipif(os.name == "nt", reason="has no limit of the size of files")
@pytest.mark.parametrize("ending", [".wav", ".flac", ".ogg"])
def test_a_disk_that_is_full_at_the_very_end_leaves_no_output(
    codec: Codec, speech_file: Path, tmp_path: Path, ending: str
) -> None:
    """The last bytes of flac and ogg are written as the file is closed."""
    import resource

    coded, whole, target = tmp_path / "a.ecdc", tmp_path / f"a{ending}", tmp_path / f"b{ending}"
    compress(speech_file, coded, model=codec, lm=False)
    decompress(coded, whole, model=codec, duration=0.5)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (whole.stat().st_size - 10, limits[1]))
    try:
        with pytest.raises(SonantError, match=f"b{ending}: cannot be written"):
            decompress(coded, target, model=codec, duration=0.5)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not target.exists()


@pytest.mark.parametrize("part", [{"start": float("nan")}, {"duration": float("inf")}, {"start": -1.0}])
def test_a_part_that_cannot_be_is_a_sentence(
    codec: Codec, speech_file: Path, tmp_path: Path, part: dict[str, float]
) -> None:
    compress(speech_file, tmp_path / "a.ecdc", model=codec, lm=False)
    with pytest.raises(ConfigError, match=r"a part (begins at|lasts) 0 to"):
        decompress(tmp_path / "a.ecdc", tmp_path / "a.wav", model=codec, **part)
    assert not (tmp_path / "a.wav").exists()


@pytest.mark.parametrize("size", [20, 5000])
def test_a_wav_pipe_that_breaks_off_is_named(
    codec: Codec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(24_000), 24_000)
    monkeypatch.setattr("sys.stdin", Stdio(BrokenPipe((tmp_path / "a.wav").read_bytes()[:size])))
    with pytest.raises(AudioError, match="standard input: cannot be read"):
        compress("-", tmp_path / "a.ecdc", model=codec)


def test_a_joined_input_that_breaks_off_is_named(
    codec: Codec, speech_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    coded = tmp_path / "a.ecdc"
    compress(speech_file, coded, model=codec, lm=False)
    monkeypatch.setattr("sys.stdin", Stdio(BrokenPipe(coded.read_bytes()[:1000])))
    with pytest.raises(FormatError, match="-: cannot be read"):
        join_files([coded, "-"], tmp_path / "b.ecdc")
    assert not (tmp_path / "b.ecdc").exists()


def test_a_language_model_of_fewer_codebooks_still_saves_bits(
    codec: Codec, speech_file: Path, tmp_path: Path
) -> None:
    sizes = {}
    for lm in (False, True):
        coded = tmp_path / f"{lm}.ecdc"
        compress(speech_file, coded, model=codec, bitrate=24.0, lm=lm, rdo=0.0 if lm else None)
        sizes[lm] = coded.stat().st_size
        with sonant.open(coded) as recording:
            assert recording.read(60).shape == (1, recording.length)
            assert describe(coded)["codebooks"] == 32
    assert sizes[True] < 0.93 * sizes[False]
    for lm in (False, True):
        decompress(tmp_path / f"{lm}.ecdc", tmp_path / f"{lm}.wav")
    assert (tmp_path / "True.wav").read_bytes() == (tmp_path / "False.wav").read_bytes()
