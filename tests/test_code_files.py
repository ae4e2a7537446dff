"""Codes into .ecdc files and out of them."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import sonant
from sonant.audio import read_audio
from sonant.codec import Codec
from sonant.codes import Codes, join
from sonant.errors import ConfigError, FormatError, SonantError
from sonant.files import compress, join_files


@pytest.mark.parametrize("name", ["24khz", "48khz"])
@pytest.mark.parametrize("bitrate", [6.0, 24.0])
@pytest.mark.parametrize("lm", [False, True])
def test_there_and_back_in_memory(name: str, bitrate: float, lm: bool, music_file: Path) -> None:
    codec = sonant.load(name)
    wav, _ = read_audio(music_file, codec.config.sample_rate, codec.config.channels)
    codes = codec.encode(wav[:, :100_000], bitrate=bitrate)
    file = io.BytesIO()
    sonant.write(codes, file, codec, lm=lm)
    file.seek(0)
    with sonant.open(file) as recording:
        again = join(list(recording.codes()))
        np.testing.assert_array_equal(again.values, codes.values)
        assert again.length == codes.length
        audio = np.concatenate(list(recording.blocks()), axis=1)
    np.testing.assert_allclose(audio, codec.decode(codes), atol=1e-5)


def test_pieces_of_a_stream(codec: Codec, speech_file: Path, tmp_path: Path) -> None:
    wav, _ = read_audio(speech_file, 24_000, 1)
    encoder = codec.encoder(3.0)
    pieces = [encoder.push(wav[:, start : start + 5000]) for start in range(0, wav.shape[1], 5000)]
    whole, parts = tmp_path / "whole.ecdc", tmp_path / "parts.ecdc"
    sonant.write(iter([*pieces, encoder.finish()]), parts, codec)
    sonant.write(codec.encode(wav, bitrate=3.0), whole, codec)
    assert parts.read_bytes() == whole.read_bytes()


def test_codes_of_an_average_bitrate(codec: Codec, speech_file: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first.ecdc", tmp_path / "second.ecdc"
    compress(speech_file, first, model=codec, abr=3.0, chunk=1.0)
    with sonant.open(first) as recording:
        codes = list(recording.codes())
        audio = np.concatenate(list(recording.blocks()), axis=1)
    assert len({piece.n_q for piece in codes}) > 1
    sonant.write(codes, second, codec, chunk=1.0, tags={"title": "again"})
    with sonant.open(second) as recording:
        assert recording.header.tags == {"title": "again"}  # type: ignore[union-attr]
        np.testing.assert_array_equal(np.concatenate(list(recording.blocks()), axis=1), audio)


@pytest.mark.parametrize("name", ["24khz", "48khz"])
def test_codes_of_joined_recordings(name: str, music_file: Path, tmp_path: Path) -> None:
    codec = sonant.load(name)
    one, joined, again = (tmp_path / f"{name}.ecdc" for name in ("one", "joined", "again"))
    wav, _ = read_audio(music_file, codec.config.sample_rate, codec.config.channels)
    sonant.write(codec.encode(wav[:, :50_001]), one, codec)
    join_files([one, one], joined)
    with sonant.open(joined) as recording:
        codes, audio = list(recording.codes()), np.concatenate(list(recording.blocks()), axis=1)
    sonant.write(codes, again, codec)
    assert audio.shape[1] == 2 * 50_001
    with sonant.open(again) as recording:
        np.testing.assert_array_equal(np.concatenate(list(recording.blocks()), axis=1), audio)


def test_the_name_of_audio_is_refused_for_codes(codec: Codec, speech_file: Path, tmp_path: Path) -> None:
    coded = tmp_path / "a.ecdc"
    codes = Codes(np.zeros((2, 10), np.int16), 3200)
    sonant.write(codes, coded, codec)
    for write in (
        lambda target: sonant.write(codes, target, codec),
        lambda target: compress(speech_file, target, model=codec),
        lambda target: join_files([coded], target),
    ):
        with pytest.raises(ConfigError, match=r"b\.wav: is the name of audio"):
            write(tmp_path / "b.wav")
    assert list(tmp_path.iterdir()) == [coded]


def test_codes_without_their_volumes_are_refused(music_file: Path, tmp_path: Path) -> None:
    codec = sonant.load("48khz")
    codes = codec.encode(read_audio(music_file, 48_000, 2)[0][:, :60_000])
    with pytest.raises(FormatError):
        sonant.write(replace(codes, scales=None), tmp_path / "a.ecdc", codec)
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_written_leaves_nothing(codec: Codec, tmp_path: Path) -> None:
    target = tmp_path / "a.ecdc"
    good = Codes(np.zeros((2, 75), np.int16), 24_000)
    for values in (np.full((2, 75), 1024, np.int16), np.zeros((2, 75)), np.zeros((33, 75), np.int16)):
        with pytest.raises(FormatError):
            sonant.write([good, Codes(values, 24_000)], target, codec)
    assert not list(tmp_path.iterdir())
    sonant.write(good, target, codec)
    with pytest.raises(SonantError, match="exists"):
        sonant.write(good, target, codec)


def test_damaged_codes_are_an_error(codec: Codec, speech_file: Path, tmp_path: Path) -> None:
    coded = tmp_path / "a.ecdc"
    compress(speech_file, coded, model=codec, chunk=1.0)
    data = bytearray(coded.read_bytes())
    data[len(data) // 2] ^= 1
    with (
        sonant.open(io.BytesIO(bytes(data))) as recording,
        pytest.raises(FormatError, match="is damaged"),
    ):
        list(recording.codes())
