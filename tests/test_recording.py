"""Recordings: playing parts, damage filled and told, both versions of the format."""

import gc
import io
import weakref
from pathlib import Path

import numpy as np
import pytest
import soundfile

import sonant
from conftest import load_golden
from sonant.audio import read_audio
from sonant.codec import Codec
from sonant.container import decoding, version1
from sonant.container.index import find_index
from sonant.entropy.integer_lm import IntegerLanguageModel
from sonant.entropy.packing import pack_codes
from sonant.errors import ConfigError, FormatError, MissingDependencyError, WeightsError
from sonant.files import compress, decompress
from sonant.recording import Recording


@pytest.fixture(scope="module")
def codec() -> Codec:
    return sonant.load()


@pytest.fixture(scope="module", params=[0, 1])
def coded(
    request: pytest.FixtureRequest,
    codec: Codec,
    tmp_path_factory: pytest.TempPathFactory,
    speech_file: Path,
    music_file: Path,
) -> tuple[Path, np.ndarray]:
    """A file of 13 s, music after speech, and its audio when decoded as a whole."""
    folder = tmp_path_factory.mktemp("coded")
    parts = [
        read_audio(file, 24_000, 1)[0][0] for file in (speech_file, music_file, speech_file, music_file)
    ]
    soundfile.write(folder / "a.wav", np.concatenate(parts)[: 13 * 24_000], 24_000)
    compress(folder / "a.wav", folder / "a.ecdc", model=codec, bitrate=1.5, version=request.param)
    assert decompress(folder / "a.ecdc", folder / "b.wav", model=codec) == []
    return folder / "a.ecdc", soundfile.read(folder / "b.wav", dtype="float32")[0]


@pytest.mark.parametrize(
    ("start", "seconds"), [(0, 2), (4.9, 0.3), (5, 1), (7.123, 5.5), (12.5, 3), (20, 1)]
)
def test_a_part_is_what_the_whole_has_there(
    codec: Codec, coded: tuple[Path, np.ndarray], start: float, seconds: float
) -> None:
    path, whole = coded
    with sonant.open(path, codec) as recording:
        recording.seek(start)
        part = recording.read(seconds)[0]
        rest = recording.read(1.0)[0]
    first = round(start * 24_000)
    expected = whole[first : first + round(seconds * 24_000)]
    assert len(part) == len(expected)
    assert len(rest) == len(whole[first + len(part) :][:24_000])
    if len(part):
        error = np.square(part - expected).mean() / np.square(expected).mean()
        assert error < 1e-3


def test_a_part_decodes_little_more_than_itself(codec: Codec, monkeypatch: pytest.MonkeyPatch) -> None:
    codes = codec.encode(np.random.default_rng(0).normal(0, 0.1, (1, 24 * 38 * 320)), bitrate=1.5)
    file = io.BytesIO()
    sonant.write(codes, file, codec, chunk=0.5)
    file.seek(0)
    together: list[int] = []
    decode_chunks = decoding.decode_chunks

    def counting(lm: IntegerLanguageModel, parts: list[bytes], n_q: int, frames: int) -> object:
        together.append(len(parts))
        return decode_chunks(lm, parts, n_q, frames)

    monkeypatch.setattr(decoding, "decode_chunks", counting)
    with Recording(file, codec) as recording:
        for start, expected in ((0.0, [1]), (5.0, [1, 2]), (0.0, [1])):
            recording.seek(start)
            recording.read(0.4)
            assert together == expected
            together.clear()
        recording.read(12.0)
        assert together == [2, 4, 8, 8, 1]
        together.clear()
        assert len(list(recording.blocks()))
        assert together == [8, 8, 8]


@pytest.mark.parametrize(("start", "duration"), [(-0.5, 1.0), (float("nan"), None), (0.0, -1.0)])
def test_a_part_begins_in_the_recording(
    codec: Codec, coded: tuple[Path, np.ndarray], start: float, duration: float | None
) -> None:
    with sonant.open(coded[0], codec) as recording, pytest.raises(ConfigError, match="0 to 1e\\+12 s"):
        next(recording.blocks(start, duration))


def test_start_and_duration_of_a_file(codec: Codec, coded: tuple[Path, np.ndarray], tmp_path: Path) -> None:
    decompress(coded[0], tmp_path / "part.wav", model=codec, start=6.0, duration=1.5)
    assert len(soundfile.read(tmp_path / "part.wav")[0]) == 36_000
    with pytest.raises(FormatError, match="no audio there"):
        decompress(coded[0], tmp_path / "none.wav", model=codec, start=60.0)
    assert not (tmp_path / "none.wav").exists()


def test_iterators_do_not_disturb_each_other(
    codec: Codec, coded: tuple[Path, np.ndarray], tmp_path: Path
) -> None:
    path, version = tmp_path / "short.ecdc", coded[0].read_bytes()[4]
    chunk = 0.5 if version == 1 else None
    compress(coded[0].parent / "a.wav", path, model=codec, bitrate=1.5, version=version, chunk=chunk)
    with sonant.open(path, codec) as recording:
        whole = np.concatenate(list(recording.blocks()), axis=1)
        first, late = recording.blocks(), recording.blocks(8.0)
        blocks = [next(first)]
        recording.seek(3)
        assert recording.read(0.5).shape == (1, 12_000)
        next(late)
        again = recording.blocks()
        for block in first:
            blocks.append(block)
            next(again, None)
        np.testing.assert_array_equal(np.concatenate(blocks, axis=1), whole)
        assert recording.damages == []


def test_a_file_within_a_file_begins_where_it_was_opened(
    codec: Codec, coded: tuple[Path, np.ndarray]
) -> None:
    path, whole = coded
    file = io.BytesIO(b"before" + path.read_bytes())
    file.seek(6)
    recording = Recording(file, codec)
    for _ in range(2):
        played = np.concatenate(list(recording.blocks()), axis=1)[0]
        np.testing.assert_allclose(played, whole, rtol=0, atol=2**-15)


def damaged_copy(path: Path, out: Path, chunk: int) -> Path:
    data = bytearray(path.read_bytes())
    with path.open("rb") as file:
        index = find_index(file)
    assert index
    data[index.places[chunk][0] + 30] ^= 0x55
    out.write_bytes(bytes(data))
    return out


@pytest.mark.parametrize("chunk", [0, 1, 2])
def test_a_damaged_chunk_fades_and_the_rest_stays_in_place(
    codec: Codec, coded: tuple[Path, np.ndarray], tmp_path: Path, chunk: int
) -> None:
    path, whole = coded
    if path.read_bytes()[4] == 0:
        pytest.skip("version 0 has no checksums")
    bad = damaged_copy(path, tmp_path / "bad.ecdc", chunk)
    (told,) = decompress(bad, tmp_path / "bad.wav", model=codec)
    lost = slice(chunk * 120_000, min((chunk + 1) * 120_000, len(whole)))
    assert told.startswith(f"lost from {chunk * 5:.2f} s to {min(chunk * 5 + 5, 13):.2f} s")
    played = soundfile.read(tmp_path / "bad.wav", dtype="float32")[0]
    assert len(played) == len(whole)
    np.testing.assert_array_equal(played[: lost.start], whole[: lost.start])
    assert np.abs(played[lost][3000:]).max() == 0
    after = slice(lost.stop + 12_000, None)
    assert np.square(played[after] - whole[after]).sum() <= 1e-3 * np.square(whole[after]).sum()
    with pytest.raises(FormatError, match="lost from"):
        decompress(bad, tmp_path / "strict.wav", model=codec, strict=True)


@pytest.mark.parametrize("chunks", [(1,), (0, 1), (1, 2)])
@pytest.mark.parametrize("starts", [(0, 0), (0, 6, 11), (6, 0), (11, 0, 6)])
def test_each_damage_is_told_once(
    codec: Codec,
    coded: tuple[Path, np.ndarray],
    tmp_path: Path,
    chunks: tuple[int, ...],
    starts: tuple[int, ...],
) -> None:
    path, _ = coded
    if path.read_bytes()[4] == 0:
        pytest.skip("version 0 has no checksums")
    bad = path
    for chunk in chunks:
        bad = damaged_copy(bad, tmp_path / f"{chunk}.ecdc", chunk)
    with sonant.open(bad, codec) as recording:
        told = []
        for start in starts * 2:
            lost = len(recording.damages)
            for _ in recording.blocks(start):
                pass
            told.append(recording.damages[lost:])
        assert told[len(starts) :] == [[]] * len(starts)
        assert len(set(recording.damages)) == len(recording.damages)
        if starts[0] == 0:
            assert len(recording.damages) == 1


def test_what_was_read_before_an_error_can_be_read_again(
    codec: Codec, coded: tuple[Path, np.ndarray], tmp_path: Path
) -> None:
    path, whole = coded
    if path.read_bytes()[4] == 0:
        pytest.skip("version 0 has no checksums")
    damaged = damaged_copy(path, tmp_path / "damaged.ecdc", 1)
    with sonant.open(damaged, codec, strict=True) as recording:
        assert recording.read(4.0).shape == (1, 96_000)
        for _ in range(2):
            with pytest.raises(FormatError, match=r"lost from 5\.00 s"):
                recording.read(2.0)
        part = recording.read(1.0)[0]
        np.testing.assert_allclose(part, whole[96_000:120_000], rtol=0, atol=1e-3)
        recording.seek(11.0)
        assert recording.read(9.0).shape == (1, 48_000)


class ShortReads(io.BytesIO):
    """A file that can seek, and gives less than it is asked for."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(min(100, size or 0))


def test_a_file_that_gives_little_at_a_time_is_not_damaged(
    codec: Codec, coded: tuple[Path, np.ndarray]
) -> None:
    with sonant.open(ShortReads(coded[0].read_bytes()), codec, strict=True) as recording:
        recording.seek(6.0)
        assert recording.read(2.0).shape == (1, 48_000)


def test_other_weights_of_the_same_name_are_refused(codec: Codec, coded: tuple[Path, np.ndarray]) -> None:
    path, _ = coded
    if path.read_bytes()[4] == 0:
        pytest.skip("version 0 does not name its weights")
    other = Codec(codec.config, codec.weights, "f" * 64)
    with pytest.raises(WeightsError, match="other weights"):
        sonant.open(path, other)


def test_a_recording_within_a_file_can_be_sought_in(
    codec: Codec, coded: tuple[Path, np.ndarray], tmp_path: Path
) -> None:
    path, whole = coded
    (tmp_path / "within").write_bytes(bytes(100) + path.read_bytes())
    with open(tmp_path / "within", "rb") as file:
        file.seek(100)
        with Recording(file, codec) as recording:
            recording.seek(5)
            part = recording.read(2)[0]
            assert not recording.damages
    expected = whole[5 * 24_000 : 7 * 24_000]
    assert np.square(part - expected).mean() < 1e-3 * np.square(expected).mean()


@pytest.mark.parametrize("rest", [47_650, 47_900])
def test_a_part_that_begins_with_the_last_two_short_segments(tmp_path: Path, rest: int) -> None:
    """They are a chunk of their own here, and overlap by weights that the first, whole segment has set."""
    noise = 0.2 * np.random.default_rng(0).standard_normal((5 * 47_520 + rest, 2))
    soundfile.write(tmp_path / "a.wav", noise, 48_000)
    golden = load_golden("48khz")
    codec = Codec(golden.config, golden.weights)
    compress(tmp_path / "a.wav", tmp_path / "a.ecdc", model=codec, bitrate=3.0)
    with sonant.open(tmp_path / "a.ecdc", model=codec) as recording:
        whole = recording.read(9.0)
        for start in (4.94, 4.95, 5.2, 5.5, 5.9):
            recording.seek(start)
            np.testing.assert_allclose(recording.read(9.0), whole[:, round(start * 48_000) :], atol=1e-5)


def test_data_after_the_end_is_told(codec: Codec, speech_file: Path, tmp_path: Path) -> None:
    one, both = tmp_path / "one.ecdc", tmp_path / "both.ecdc"
    compress(speech_file, one, model=codec, lm=False)
    both.write_bytes(2 * one.read_bytes())
    assert decompress(one, tmp_path / "one.wav", model=codec) == []
    (damage,) = decompress(both, tmp_path / "both.wav", model=codec)
    assert "sonant join" in damage
    assert (tmp_path / "one.wav").read_bytes() == (tmp_path / "both.wav").read_bytes()


def test_a_small_file_cannot_ask_for_days_of_silence(codec: Codec) -> None:
    file = io.BytesIO()
    header = version1.Header(codec.name, codec.weights_hash[:16], 24_000, 1, 320)
    file.write(header.to_bytes())
    frame = pack_codes(np.zeros((2, 1), np.int16), 10)
    for number in range(40):
        file.write(version1.Chunk(number * 3500 * 24_000, 1, 320, 2, version1.PACKED, frame).to_bytes(320))
    with sonant.open(file_at_start(file), codec) as recording, pytest.raises(FormatError, match="missing"):
        for _ in recording.blocks():
            pass


def test_a_closed_recording_leaves_memory_at_once(codec: Codec, coded: tuple[Path, np.ndarray]) -> None:
    recording = sonant.open(coded[0], codec)
    recording.read(0.1)
    recording.close()
    gone = weakref.ref(recording)
    gc.disable()
    try:
        del recording
        assert gone() is None
    finally:
        gc.enable()


def test_what_cannot_be_opened_is_told_alike(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing.ecdc"):
        told = []
        for read in (sonant.open, lambda path: decompress(path, tmp_path / "a.wav")):
            with pytest.raises(FormatError) as error:
                read(path)
            told.append(str(error.value))
        assert told[0] == told[1]


def file_at_start(file: io.BytesIO) -> io.BytesIO:
    file.seek(0)
    return file


def test_reading_by_numbers_that_cannot_be(codec: Codec, coded: tuple[Path, np.ndarray]) -> None:
    with sonant.open(coded[0], codec) as recording:
        for seconds in (-0.1, float("nan"), float("inf"), 1e308):
            with pytest.raises(ConfigError):
                recording.read(seconds)
            with pytest.raises(ConfigError):
                recording.seek(seconds)


def test_a_file_that_cannot_be_opened_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise MissingDependencyError("needs PyTorch")

    monkeypatch.setattr("sonant.recording.Recording", refuse)
    (tmp_path / "a.ecdc").write_bytes(b"ECDC")
    with pytest.raises(MissingDependencyError):
        sonant.open(tmp_path / "a.ecdc")
    gc.collect()
    assert not [warning for warning in recwarn if warning.category is ResourceWarning]
