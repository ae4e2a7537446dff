"""Files of an average bitrate: never above it, near it, and like any other file to decode."""

import io
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

import sonant
from lm_files import MONO, STEREO, random_codes, small_model
from sonant.codec import Codec
from sonant.codes import Codes
from sonant.config import CodecConfig
from sonant.container import version1
from sonant.container.average_rate import AverageRate
from sonant.container.decoding import decoded
from sonant.container.probe import probe
from sonant.container.reader import ChunkReader, Damage
from sonant.container.version1 import CHUNK_FIXED, Chunk
from sonant.container.writer import FileWriter
from sonant.errors import ConfigError
from sonant.files import compress
from sonant.information import describe

cached_model = cache(small_model)


def chunks_of(data: bytes) -> list[version1.Chunk]:
    header, stream, _ = probe(io.BytesIO(data))
    assert isinstance(header, version1.Header)
    chunks = list(ChunkReader(stream, header))
    return [chunk for chunk in chunks if not isinstance(chunk, Damage)]


def rate_of(chunks: list[version1.Chunk], sample_rate: int) -> float:
    """kbit/s."""
    seconds = sum(chunk.samples for chunk in chunks) / sample_rate
    return sum(chunk.size for chunk in chunks) / 125 / seconds


@given(
    st.sampled_from([MONO, STEREO]),
    st.integers(1, 400_000),
    st.floats(0.2, 6.0),
    st.floats(0.1, 1.2),
    st.integers(0, 9),
)
@settings(max_examples=25)
def test_no_beginning_of_a_file_takes_more(
    config: CodecConfig, length: int, kbps: float, seconds: float, seed: int
) -> None:
    lm, codes = cached_model(max_frames=200), random_codes(config, config.n_q, length, seed)
    file = io.BytesIO()
    header = version1.Header(
        config.name, "0123456789abcdef", config.sample_rate, config.channels, 320, lm.digest[:16]
    )
    average = AverageRate(kbps, config.sample_rate, lm)
    writer = FileWriter(file, config, header, lm, seconds, average=average)
    writer.write(codes)
    writer.finish()
    spent = allowed = 0.0
    for chunk in chunks_of(file.getvalue()):
        spent, allowed = spent + chunk.size, allowed + chunk.samples * kbps * 125 / config.sample_rate
        assert spent <= allowed + 1e-6 or chunk.n_q == 1
    read, stream, _ = probe(io.BytesIO(file.getvalue()))
    assert isinstance(read, version1.Header)
    first = 0
    for item in decoded(iter(ChunkReader(stream, read)), config, lm, 4):
        assert not isinstance(item, Damage)
        part = item[1]
        np.testing.assert_array_equal(part.values, codes.values[: part.n_q, first : first + part.frames])
        first += part.frames
    assert first == codes.frames


@pytest.fixture(scope="module")
def pauses_and_music(music_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Music, as long a pause, and the music again, 18 seconds."""
    music, rate = soundfile.read(music_file, frames=6 * 44_100)
    path = tmp_path_factory.mktemp("average") / "pause.wav"
    soundfile.write(path, np.concatenate([music, 0 * music, music]), rate)
    return path


def test_real_audio_comes_near_and_pauses_leave_more_to_the_rest(
    codec: Codec, pauses_and_music: Path, tmp_path: Path
) -> None:
    file = tmp_path / "a.ecdc"
    compress(pauses_and_music, file, model=codec, abr=3.0, chunk=1.0)
    chunks = chunks_of(file.read_bytes())
    assert 2.6 < rate_of(chunks, 24_000) <= 3.0
    before, after = ([chunk.n_q for chunk in part] for part in (chunks[:6], chunks[12:]))
    assert np.mean(after) > np.mean(before) + 0.5
    assert len(describe(file)["codebooks"]) > 1
    with sonant.open(file) as recording:
        assert recording.read(60).shape == (1, recording.length)


@pytest.mark.parametrize("rdo", [0.0, 1.0])
def test_stereo_in_segments_at_any_strength(music_file: Path, tmp_path: Path, rdo: float) -> None:
    file = tmp_path / "a.ecdc"
    compress(music_file, file, model="48khz", abr=4.0, rdo=rdo, chunk=3.0)
    assert 3.0 < rate_of(chunks_of(file.read_bytes()), 48_000) <= 4.0
    with sonant.open(file) as recording:
        assert recording.read(60).shape == (2, recording.length)


def test_a_strong_search_leaves_nothing_that_one_codebook_more_would_fill(
    codec: Codec, speech_file: Path, tmp_path: Path
) -> None:
    file = tmp_path / "a.ecdc"
    compress(speech_file, file, model=codec, abr=4.0, rdo=1.0)
    chunks = chunks_of(file.read_bytes())
    first = chunks[0]
    share = first.samples * 4.0 * 125 / 24_000
    assert share * first.n_q / (first.n_q + 1) * 0.97 < first.size <= share


def test_more_codebooks_than_the_language_model_has_fill_a_high_rate(
    codec: Codec, music_file: Path, tmp_path: Path
) -> None:
    file = tmp_path / "a.ecdc"
    compress(music_file, file, model=codec, abr=16.0)
    chunks = chunks_of(file.read_bytes())
    assert 15.0 < rate_of(chunks, 24_000) <= 16.0
    assert all(chunk.n_q > 16 and chunk.coding == version1.LANGUAGE_MODEL for chunk in chunks)
    with sonant.open(file) as recording:
        assert recording.read(60).shape == (1, recording.length)


@pytest.mark.parametrize("beam", [0, -1])
def test_no_beginnings_are_refused(codec: Codec, speech_file: Path, tmp_path: Path, beam: int) -> None:
    with pytest.raises(ConfigError, match="at least 1 beginning"):
        compress(speech_file, tmp_path / "a.ecdc", model=codec, beam=beam)


@pytest.mark.parametrize("settings", [{"lm": False}, {"version": 0}, {"abr": 24.5}, {"abr": 0.0}])
def test_what_cannot_be_kept_to_is_refused(
    codec: Codec, speech_file: Path, tmp_path: Path, settings: dict[str, float]
) -> None:
    with pytest.raises(ConfigError, match="average bitrate"):
        compress(speech_file, tmp_path / "a.ecdc", model=codec, **{"abr": 4.0, **settings})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("left", "extra"), [(80, 2), (-40, -4)])
def test_a_quarter_of_what_is_left_over_and_all_of_what_is_lacking(
    monkeypatch: pytest.MonkeyPatch, left: int, extra: int
) -> None:
    """A codebook takes 10 bytes, a chunk's share is 100 bytes beside its head."""
    monkeypatch.setattr(
        "sonant.container.average_rate.bits_of_books", lambda lm, values: np.full(len(values), 80.0)
    )
    samples = 24_000
    average = AverageRate((CHUNK_FIXED + 100) * 8 / 1000, samples, None)  # type: ignore[arg-type]
    average._saved = left

    def coded(codes: Codes) -> Chunk:
        return Chunk(0, codes.frames, codes.length, codes.n_q, 1, bytes(10 * codes.n_q))

    chunk = average(Codes(np.zeros((32, 75), np.int16), samples), coded)
    assert chunk.n_q == 10 + extra
    assert average._saved == pytest.approx(left - 10 * extra)
    assert average._ratio == pytest.approx(1.0)
