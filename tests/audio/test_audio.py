from __future__ import annotations

import errno
import io
import os
import struct
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from sonant.audio import (
    FileSink,
    PipeSink,
    WavPipeSource,
    mix_channels,
    model_blocks,
    open_source,
    read_audio,
    resample,
    resampled,
    sinks,
)
from sonant.audio.wav_pipe import wav_header
from sonant.errors import AudioError, MissingDependencyError


def tone(rate: int, seconds: float = 0.5, channels: int = 1) -> np.ndarray:
    t = np.arange(int(rate * seconds)) / rate
    return np.stack([0.5 * np.sin(2 * np.pi * 440 * (k + 1) * t) for k in range(channels)]).astype(
        np.float32
    )


@pytest.mark.parametrize(
    ("ending", "subtype", "tolerance"),
    [
        ("wav", "PCM_U8", 1e-2),
        ("wav", "PCM_16", 1e-4),
        ("wav", "PCM_24", 1e-6),
        ("wav", "PCM_32", 1e-7),
        ("wav", "FLOAT", 0),
        ("wav", "DOUBLE", 1e-7),
        ("flac", "PCM_16", 1e-4),
        ("aiff", "PCM_16", 1e-4),
        ("ogg", "VORBIS", 0.05),
        ("ogg", "OPUS", 0.1),
        ("mp3", "MPEG_LAYER_III", 0.1),
    ],
)
def test_every_kind_of_file_is_read(tmp_path: Path, ending: str, subtype: str, tolerance: float) -> None:
    wav = tone(48_000, channels=2)
    path = tmp_path / f"a.{ending}"
    soundfile.write(path, wav.T, 48_000, subtype)
    audio, rate = read_audio(path, 48_000, 2)
    assert rate == 48_000
    assert abs(audio.shape[1] - wav.shape[1]) <= (0 if ending != "mp3" else 1200)
    length = min(audio.shape[1], wav.shape[1]) - 2000
    np.testing.assert_allclose(audio[:, 1000:length], wav[:, 1000:length], atol=tolerance or 1e-9)


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 22_050, 44_100, 96_000])
def test_every_rate_is_resampled(tmp_path: Path, rate: int) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(rate).T, rate, "FLOAT")
    audio, _ = read_audio(path, 24_000, 1)
    wanted = tone(24_000)
    assert abs(audio.shape[1] - wanted.shape[1]) <= 1
    np.testing.assert_allclose(audio[:, 2000:-2000], wanted[:, 2000 : audio.shape[1] - 2000], atol=2e-3)


def test_resampling_does_not_depend_on_the_blocks() -> None:
    wav = tone(44_100)
    whole = resample(wav, 44_100, 24_000)
    blocks = np.split(wav, [1, 7, 5000, 5001], axis=1)
    cut = np.concatenate(list(resampled(iter(blocks), 44_100, 24_000, 1)), axis=1)
    np.testing.assert_allclose(cut, whole, atol=1e-6)


@pytest.mark.parametrize(
    ("source_rate", "samples", "wanted"), [(44_100, 0, 0), (192_000, 0, 0), (192_000, 1, 0), (8_000, 1, 3)]
)
def test_hardly_any_samples_are_resampled(source_rate: int, samples: int, wanted: int) -> None:
    audio = resample(np.ones((2, samples), np.float32), source_rate, 24_000)
    assert (audio.shape, audio.dtype) == ((2, wanted), np.float32)


@pytest.mark.parametrize("rate", [0, -24_000, 10_000_001])
def test_a_rate_that_cannot_be_is_a_sentence(rate: int) -> None:
    with pytest.raises(AudioError, match=f"between 1 and 10000000 Hz, not {rate}"):
        resample(tone(24_000), rate, 24_000)


def test_a_file_of_a_rate_that_cannot_be_is_named(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(24_000).T, 20_000_000)
    with pytest.raises(AudioError, match=r"a\.wav: a sample rate is between 1 and 10000000 Hz"):
        read_audio(tmp_path / "a.wav", 24_000, 1)


def write_with_pyav(path: Path, codec: str, rate: int = 48_000) -> None:
    av = pytest.importorskip("av")
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, layout="mono")
        frame = av.AudioFrame.from_ndarray(tone(rate), format="fltp", layout="mono")
        frame.sample_rate = rate
        container.mux([*stream.encode(frame), *stream.encode(None)])


def test_a_path_may_be_text(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(24_000).T, 24_000)
    assert read_audio(str(tmp_path / "a.wav"), 24_000, 1)[0].shape == (1, 12_000)


def test_m4a_and_webm_are_read_by_pyav(tmp_path: Path) -> None:
    for name, codec in (("a.m4a", "aac"), ("a.webm", "libopus")):
        write_with_pyav(tmp_path / name, codec)
        audio, rate = read_audio(tmp_path / name, 24_000, 1)
        assert rate == 48_000
        assert np.sqrt(np.mean(audio[:, 4000:8000] ** 2)) == pytest.approx(0.5 / np.sqrt(2), abs=0.05)


@pytest.mark.parametrize("rates", [(24_000, 48_000), (48_000, 24_000)])
def test_a_rate_that_changes_on_the_way_is_followed(tmp_path: Path, rates: tuple[int, int]) -> None:
    parts = []
    for rate in rates:
        write_with_pyav(tmp_path / "part.aac", "aac", rate)
        parts.append((tmp_path / "part.aac").read_bytes())
    (tmp_path / "a.aac").write_bytes(b"".join(parts))
    audio, rate = read_audio(tmp_path / "a.aac", 24_000, 1)
    assert rate == rates[0]
    assert audio.shape[1] == pytest.approx(24_000, abs=3000)
    for part in (audio[0, 4000:8000], audio[0, 17_000:21_000]):
        assert np.argmax(np.abs(np.fft.rfft(part))) * 6 == pytest.approx(440, abs=6)


def test_a_colon_in_a_name_begins_no_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_with_pyav(tmp_path / "a.m4a", "aac")
    (tmp_path / "a.m4a").rename(tmp_path / "http: Title.m4a")
    monkeypatch.chdir(tmp_path)
    assert read_audio(Path("http: Title.m4a"), 24_000, 1)[1] == 48_000


@pytest.mark.parametrize("name", ["a.m4a", "a.aac"])
def test_a_damaged_file_of_pyav_is_named(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    write_with_pyav(path, "aac")
    data = bytearray(path.read_bytes())
    for start in range(len(data) // 2, len(data) * 3 // 4, 100):
        data[start : start + 10] = b"\xff" * 10
    path.write_bytes(data)
    with pytest.raises(AudioError, match=f"{name}: is damaged"):
        read_audio(path, 24_000, 1)


def test_a_track_of_an_unknown_kind_is_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "a.webm"
    write_with_pyav(path, "libopus")
    path.write_bytes(path.read_bytes().replace(b"A_OPUS", b"A_NONE"))
    with pytest.raises(AudioError, match=r"a\.webm: has no audio track that can be read"):
        open_source(path)


def test_raw_samples_are_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "a.raw"
    path.write_bytes(bytes(1000))
    with pytest.raises(AudioError, match=r"a\.raw: raw samples do not say their rate"):
        open_source(path)


def test_what_the_system_does_not_let_us_read_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, *_: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    path = tmp_path / "a.wav"
    soundfile.write(path, np.zeros(100), 24_000)
    for name in ("open", "stat"):
        monkeypatch.setattr(Path, name, refuse)
        with pytest.raises(AudioError, match=r"a\.wav: cannot be read \(Permission denied\)$"):
            open_source(path)


def test_a_named_pipe_is_a_sentence(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.wav")
    with pytest.raises(AudioError, match=r"pipe\.wav: is a pipe"):
        open_source(tmp_path / "pipe.wav")


def test_without_pyav_the_sentence_says_how(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.m4a"
    path.write_bytes(b"\0\0\0\x20ftypM4A ")
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingDependencyError, match="pip install av"):
        open_source(path)


def test_channels_are_mixed() -> None:
    stereo = np.array([[1.0, 0.0], [0.0, 0.5]], np.float32)
    np.testing.assert_array_equal(mix_channels(stereo, 1), [[0.5, 0.25]])
    np.testing.assert_array_equal(mix_channels(stereo[:1], 2), [[1, 0], [1, 0]])
    assert mix_channels(np.zeros((6, 3), np.float32), 2).shape == (2, 3)


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
@pytest.mark.parametrize("kind", ["WAV", "WAVEX"])
def test_a_wav_pipe_gives_what_the_file_gives(subtype: str, kind: str) -> None:
    wav = tone(44_100, channels=2)
    file = io.BytesIO()
    soundfile.write(file, wav.T, 44_100, subtype, format=kind)
    wanted, _ = soundfile.read(io.BytesIO(file.getvalue()), dtype="float32")
    source = WavPipeSource(io.BytesIO(file.getvalue()))
    assert (source.sample_rate, source.channels) == (44_100, 2)
    np.testing.assert_allclose(np.concatenate(list(source.blocks()), axis=1).T, wanted, atol=1e-7)


def test_a_wav_pipe_may_have_a_picture_before_its_samples() -> None:
    wav = tone(24_000)
    file = io.BytesIO()
    soundfile.write(file, wav.T, 24_000, "PCM_16", format="WAV")
    data, cover = file.getvalue(), b"id3 " + (2_000_001).to_bytes(4, "little") + bytes(2_000_002)
    source = WavPipeSource(io.BytesIO(data[:12] + cover + data[12:]))
    np.testing.assert_allclose(np.concatenate(list(source.blocks()), axis=1), wav, atol=1e-4)
    with pytest.raises(AudioError, match="ends before any audio"):
        WavPipeSource(io.BytesIO(data[:12] + cover[:1000]))


@settings(max_examples=200)
@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_on_a_wav_pipe_end_in_a_sentence(data: bytes, like_wav: bool) -> None:
    prefix = b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0" if like_wav else b""
    try:
        blocks = list(WavPipeSource(io.BytesIO(prefix + data)).blocks())
    except AudioError as error:
        assert str(error)
    else:
        assert all(block.ndim == 2 for block in blocks)


@pytest.mark.parametrize("known", [True, False])
def test_a_written_pipe_can_be_read(known: bool) -> None:
    wav = tone(24_000)
    out = io.BytesIO()
    sink = PipeSink(out, 24_000, 1, wav.shape[1] if known else None)
    for part in np.split(wav, 5, axis=1):
        sink.write(part)
    sink.close()
    back = np.concatenate(list(WavPipeSource(io.BytesIO(out.getvalue())).blocks()), axis=1)
    np.testing.assert_allclose(back, wav, atol=1e-4)


@pytest.mark.skipif(sys.platform != "linux", reason="names are any bytes on Linux")
def test_a_name_that_is_no_utf_8_is_written_and_read(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9.flac")
    sink = FileSink(path, path, 24_000, 1)
    sink.write(tone(24_000))
    sink.close()
    np.testing.assert_allclose(read_audio(path, 24_000, 1)[0], tone(24_000), atol=1e-4)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is full")
@pytest.mark.parametrize("ending", [".wav", ".flac", ".ogg"])
def test_a_full_disk_is_a_sentence(ending: str) -> None:
    device, name = Path("/dev/full"), Path(f"a{ending}")
    with (
        pytest.raises(AudioError, match=rf"a\{ending}: cannot be written"),
        closing(FileSink(device, name, 24_000, 1)) as sink,
    ):
        for _ in range(100):
            sink.write(tone(24_000))


def test_loud_audio_is_clipped_and_does_not_wrap(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    sink = FileSink(path, path, 24_000, 1)
    sink.write(np.array([[2.0, -2.0, 0.5]], np.float32))
    sink.close()
    np.testing.assert_allclose(soundfile.read(path)[0], [1, -1, 0.5], atol=1e-4)


def test_a_flac_that_does_not_say_its_length_is_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    soundfile.write(path, tone(8_000, 20).T, 8_000)
    wanted, _ = read_audio(path, 8_000, 1)
    data = bytearray(path.read_bytes())
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    path.write_bytes(data)
    assert soundfile.info(path).frames > 1 << 60
    np.testing.assert_array_equal(read_audio(path, 8_000, 1)[0], wanted)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    soundfile.write(path, tone(24_000, 3).T, 24_000)
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 2000] = bytes(2000)
    path.write_bytes(data)
    try:
        blocks = list(model_blocks(open_source(path), str(path), 24_000, 1))
    except AudioError as error:
        assert "a.flac: is damaged" in str(error)
    else:
        assert all(np.isfinite(block).all() for block in blocks)


def test_an_endless_pipe_is_read_as_it_comes() -> None:
    """The first block arrives while the writer still holds the pipe open."""
    program = (
        "import sys, time; from sonant.audio.wav_pipe import wav_header; o = sys.stdout.buffer;"
        "o.write(wav_header(24000, 1, None) + bytes(48000)); o.flush(); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdin is not None
        source = WavPipeSource(writer.stdout)
        assert next(iter(source.blocks())).shape == (1, 2400)
        writer.stdin.close()


LAYOUT = struct.pack("<HHIIHH", 1, 1, 24_000, 48_000, 2, 16)


SAMPLES = np.arange(-500, 500, dtype="<i2").tobytes()


def wav_bytes(*chunks: tuple[bytes, bytes], kind: bytes = b"RIFF", size: int | None = None) -> bytes:
    """A WAV of chunks, those of odd size padded; `size` in place of that of the data."""
    body = b"WAVE"
    for name, data in chunks:
        said = size if size is not None and name == b"data" else len(data)
        body += name + struct.pack("<I", said) + data + bytes(len(data) % 2)
    return kind + struct.pack("<I", len(body)) + body


def piped(data: bytes) -> np.ndarray:
    return np.concatenate(list(WavPipeSource(io.BytesIO(data)).blocks()), axis=1)


def test_of_many_channels_the_first_are_taken() -> None:
    np.testing.assert_array_equal(mix_channels(np.eye(6, dtype=np.float32), 2), np.eye(6)[:2])


@pytest.mark.parametrize("layout", [LAYOUT, LAYOUT + b"\0\0", LAYOUT + b"\0\0\0"])
def test_what_follows_the_samples_of_a_wav_pipe_is_no_sound(layout: bytes) -> None:
    data = wav_bytes((b"fmt ", layout), (b"data", SAMPLES), (b"LIST", b"INFO" * 20))
    assert piped(data).shape == (1, 1000)


@pytest.mark.parametrize(
    ("size", "channels"), [(0x7FFFF000, 1), (0x7FFFEFFC, 3), (0x7FFFFFFF, 1), (0xFFFFFFFF, 1), (0, 1)]
)
def test_sizes_that_programs_write_for_an_unknown_one_end_no_wav_pipe(size: int, channels: int) -> None:
    """SoX writes the first, in whole frames, opusdec the third; what they write goes on beyond it."""
    layout = struct.pack("<HHIIHH", 1, channels, 24_000, 0, 2 * channels, 16)
    data = wav_bytes((b"fmt ", layout), (b"data", SAMPLES), size=size)
    assert WavPipeSource(io.BytesIO(data))._left is None
    assert piped(data).shape == (channels, 1000 // channels)


@pytest.mark.parametrize("riff", [0, 36, 2036, 0xFFFFFFFF])
def test_a_wav_file_whose_writer_was_cut_off_is_read_to_its_end(tmp_path: Path, riff: int) -> None:
    data = bytearray(wav_bytes((b"LIST", b"odd"), (b"fmt ", LAYOUT), (b"data", SAMPLES), size=0))
    data[4:8] = struct.pack("<I", riff)
    (tmp_path / "a.wav").write_bytes(data)
    with closing(open_source(tmp_path / "a.wav")) as source:
        assert sum(block.shape[1] for block in source.blocks()) == 1000
    assert source._pipe.closed


def test_an_unfinished_wav_of_a_kind_that_no_pipe_has_is_named(tmp_path: Path) -> None:
    layout = struct.pack("<HHIIHH", 7, 1, 24_000, 24_000, 1, 8)
    (tmp_path / "a.wav").write_bytes(wav_bytes((b"fmt ", layout), (b"data", SAMPLES), size=0))
    with pytest.raises(AudioError, match=r"a\.wav: WAV of format 7 with 8 bits is not supported"):
        open_source(tmp_path / "a.wav")


@pytest.mark.parametrize("after", [(), ((b"LIST", b"INFOodd"), (b"id3 ", b"ID3"))])
def test_an_empty_wav_holds_no_samples(tmp_path: Path, after: tuple[tuple[bytes, bytes], ...]) -> None:
    (tmp_path / "a.wav").write_bytes(wav_bytes((b"fmt ", LAYOUT), (b"data", b""), *after))
    with pytest.raises(AudioError, match=r"a\.wav: holds no samples"):
        read_audio(tmp_path / "a.wav", 24_000, 1)


def test_bytes_that_pad_an_empty_wav_are_no_sound(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(wav_bytes((b"fmt ", LAYOUT), (b"data", b"")) + b"\0\0")
    with pytest.raises(AudioError, match=r"a\.wav: holds no samples"):
        read_audio(tmp_path / "a.wav", 24_000, 1)


def test_a_flac_may_have_a_tag_after_its_audio(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.flac", np.random.default_rng(0).normal(0, 0.1, 9 * 24_000), 24_000)
    with (tmp_path / "a.flac").open("ab") as file:
        file.write(b"TAG" + bytes(125))
    assert read_audio(tmp_path / "a.flac", 24_000, 1)[0].shape == (1, 9 * 24_000)


def test_what_follows_damage_in_an_ogg_stays_in_place(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.ogg", np.random.default_rng(0).normal(0, 0.1, 9 * 24_000), 24_000)
    data = bytearray((tmp_path / "a.ogg").read_bytes())
    middle = len(data) // 2
    data[middle : middle + 3000] = bytes(3000)
    (tmp_path / "a.ogg").write_bytes(data)
    assert read_audio(tmp_path / "a.ogg", 24_000, 1)[0].shape == (1, 9 * 24_000)


def test_a_signal_while_libsndfile_writes_ends_the_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = FileSink(tmp_path / "a.wav", Path("a.wav"), 24_000, 1)

    def end(*_: object) -> int:
        raise SystemExit(143)

    with monkeypatch.context() as patch:
        patch.setattr(sinks, "memoryview", end, raising=False)
        with pytest.raises(SystemExit):
            sink.write(np.zeros((1, 24_000), np.float32))
    with pytest.raises(SystemExit):
        sink.close()


def test_a_long_wav_pipe_ends_where_its_64_bit_size_says() -> None:
    sizes = struct.pack("<QQQI", 0, len(SAMPLES), 1000, 0)
    chunks = (b"ds64", sizes), (b"fmt ", LAYOUT), (b"data", SAMPLES), (b"LIST", b"INFO" * 20)
    assert piped(wav_bytes(*chunks, kind=b"RF64", size=0xFFFFFFFF)).shape == (1, 1000)


def test_a_pipe_gets_rounded_samples_at_once() -> None:
    out = io.BytesIO()
    writer = io.BufferedWriter(out)  # type: ignore[arg-type]
    sink = PipeSink(writer, 24_000, 1, None)
    sink.write(np.array([[0.6, -0.6, 2.4, -2.6]], np.float32) / 32768)
    assert struct.unpack("<4h", out.getvalue()[44:]) == (1, -1, 2, -3)


def test_a_wav_header_says_what_follows() -> None:
    header = wav_header(48_000, 2, 10)
    assert struct.unpack("<HHIIHH", header[20:36]) == (1, 2, 48_000, 192_000, 4, 16)
    assert struct.unpack("<I", header[40:]) == (40,)
    for samples in (2**31 - 18, 2**31 - 1, 2**40):
        header = wav_header(24_000, 1, samples)
        assert header[4:8] == header[40:] == b"\xff" * 4


def test_a_source_is_closed_when_it_was_read(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(100), 24_000)
    source = open_source(tmp_path / "a.wav")
    list(model_blocks(source, "a.wav", 24_000, 1))
    assert source._file.closed


def test_a_pipe_of_impossible_audio_takes_little_memory() -> None:
    layout = struct.pack("<HHIIHH", 1, 65535, 0xFFFFFFFF, 0, 0, 32)
    data = (
        struct.pack("<4sI4s4sI", b"RIFF", 0, b"WAVE", b"fmt ", 16)
        + layout
        + struct.pack("<4sI", b"data", 0)
    )

    class Pipe(io.BytesIO):
        largest = 0

        def read(self, size: int | None = -1, /) -> bytes:
            assert size is not None
            Pipe.largest = max(Pipe.largest, size)
            return super().read(size)

    assert list(WavPipeSource(Pipe(data + bytes(65535 * 4 * 3))).blocks())
    assert Pipe.largest <= 1 << 20
