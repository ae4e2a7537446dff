from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sonant
from conftest import Golden, load_golden
from sonant.audio import Audio
from sonant.codec import Codec
from sonant.codes import Codes, join
from sonant.engine.backend import Precision
from sonant.errors import AudioError, ConfigError, FormatError
from sonant.evaluation.metrics.signal import si_snr

STREAMED = {name: Codec(g.config, g.weights) for name in ("24khz", "48khz") for g in [load_golden(name)]}
STREAMED["bundled"] = sonant.load()
STREAMED["int8"] = sonant.load(precision="int8")


def noise(codec: Codec, samples: int, seed: int = 0) -> Audio:
    shape = (codec.config.channels, samples)
    return (0.2 * np.random.default_rng(seed).standard_normal(shape)).astype(np.float32)


def assert_same_codes(got: Codes, wanted: Codes) -> None:
    """Equal but for float ties: one code in ten thousand."""
    assert got.length == wanted.length
    assert got.values.shape == wanted.values.shape
    assert np.count_nonzero(got.values != wanted.values) <= wanted.values.size * 1e-4
    if wanted.scales is not None:
        np.testing.assert_array_equal(got.scales, wanted.scales)


def test_golden_codes_and_audio(golden: Golden, golden_codec: Codec) -> None:
    for bitrate in golden.config.bandwidths:
        codes = golden_codec.encode(golden.wav, bitrate=bitrate)
        np.testing.assert_array_equal(codes.values, golden.codes(bitrate))
        wanted = golden.expected[f"decoded.{bitrate:g}"]
        np.testing.assert_allclose(golden_codec.decode(codes), wanted, atol=1e-5)


@pytest.mark.parametrize("name", list(STREAMED))
@settings(max_examples=12)
@given(data=st.data())
def test_a_stream_cut_anywhere_is_the_whole_file(name: str, data: st.DataObject) -> None:
    codec = STREAMED[name]
    longest = 100_000 if name == "48khz" else 9_000
    samples = data.draw(st.integers(1, longest))
    cuts = sorted(data.draw(st.lists(st.integers(0, samples), max_size=6)))
    wav = noise(codec, samples)
    whole = codec.encode(wav)
    stream = codec.encoder(6.0)
    parts = np.split(wav, cuts, axis=1)
    assert_same_codes(join([*map(stream.push, parts), stream.finish()]), whole)

    decoded = codec.decode(whole)
    assert decoded.shape == wav.shape
    decoder = codec.decoder()
    audio = [decoder.push(piece) for piece in pieces_of(codec, wav, cuts)]
    audio.append(decoder.finish())
    np.testing.assert_allclose(np.concatenate(audio, axis=1)[:, :samples], decoded, atol=1e-5)


def pieces_of(codec: Codec, wav: Audio, cuts: list[int]) -> list[Codes]:
    stream = codec.encoder(6.0)
    return [*map(stream.push, np.split(wav, cuts, axis=1)), stream.finish()]


@pytest.mark.parametrize("name", ["bundled", "48khz"])
def test_a_stream_can_keep_its_latents(name: str) -> None:
    codec = STREAMED[name]
    wav = noise(codec, 100_000)
    stream = codec.encoder(6.0, latents=True)
    codes = join([*map(stream.push, np.split(wav, [1, 700, 60_000], axis=1)), stream.finish()])
    assert_same_codes(codes, codec.encode(wav))
    assert codes.latents is not None and codes.latents.shape == (codes.frames, codec.config.dimension)
    assert codes.part(1, 3, 640).latents is not None
    again = codec.engine.quantize(codes.latents[None], codes.n_q, codec.beam)[0]
    assert np.mean(again == codes.values) > 0.999
    assert codec.encode(wav).latents is None


@settings(max_examples=15)
@given(samples=st.integers(1, 3000))
def test_any_length_gives_what_the_networks_give_in_one_go(samples: int) -> None:
    codec = STREAMED["bundled"]
    wav = noise(codec, samples)
    latents, _ = codec.engine.encode(wav.T[None], None, tail=True)
    np.testing.assert_array_equal(
        codec.encode(wav).values, codec.engine.quantize(latents, 8, codec.beam)[0]
    )


def test_320_samples_in_320_out(codec: Codec, speech: Audio) -> None:
    encoder, decoder = codec.encoder(6.0), codec.decoder()
    for start in range(0, 3200, 320):
        codes = encoder.push(speech[:, start : start + 320])
        assert codes.values.shape == (8, 1)
        assert decoder.push(codes).shape == (1, 320)


def test_reflect_padding_can_start_at_once() -> None:
    codec = STREAMED["24khz"]
    wav = noise(codec, 6400)
    exact, early = codec.encoder(6.0), codec.encoder(6.0, low_latency=True)
    assert exact.push(wav[:, :320]).frames == 0
    assert early.push(wav[:, :320]).frames == 1
    assert codec.decoder(low_latency=True).push(Codes(np.zeros((8, 1), np.int16), 320)).shape == (1, 320)


def test_a_lower_rate_is_a_prefix_of_nearest_entries(speech: Audio) -> None:
    codec = sonant.load(beam=1)
    high, low = codec.encode(speech, bitrate=12.0), codec.encode(speech, bitrate=3.0)
    assert_same_codes(high.with_codebooks(4), low)


def test_more_bits_sound_better(codec: Codec, speech: Audio) -> None:
    quality = [
        si_snr(speech[0], codec.decode(codec.encode(speech, bitrate=rate))[0]) for rate in (1.5, 3.0, 6.0)
    ]
    assert quality == sorted(quality)
    assert quality[-1] > 3


@pytest.mark.parametrize("samples", [1, 2, 319, 320, 321])
@pytest.mark.parametrize("name", list(STREAMED))
def test_short_recordings_keep_their_length(name: str, samples: int) -> None:
    codec = STREAMED[name]
    assert codec.decode(codec.encode(noise(codec, samples))).shape[1] == samples


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0, -1.0])
def test_constant_signals_are_coded(codec: Codec, level: float) -> None:
    decoded = codec.decode(codec.encode(np.full((1, 5000), level, np.float32)))
    assert decoded.shape == (1, 5000)
    assert np.isfinite(decoded).all()


def test_other_rates_and_channels(codec: Codec) -> None:
    stereo = np.zeros((2, 44_100), np.float32)
    assert codec.encode(stereo, sample_rate=44_100).length == 24_000
    assert codec.encode(np.zeros(1000, np.float32)).length == 1000


def test_misuse_is_a_sentence(codec: Codec) -> None:
    stream = codec.encoder(6.0)
    with pytest.raises(AudioError, match="NaN"):
        stream.push(np.full((1, 10), np.nan, np.float32))
    with pytest.raises(AudioError, match=r"takes \[1, n\]"):
        stream.push(np.zeros((2, 10), np.float32))
    stream.finish()
    assert stream.finish().frames == 0
    with pytest.raises(AudioError, match="finished"):
        stream.push(np.zeros((1, 10), np.float32))
    with pytest.raises(ConfigError, match=r"choose one of 1\.5, 3, 6, 12"):
        codec.encoder(5.0)
    with pytest.raises(ConfigError, match="has no '6' kbit/s"):
        codec.encoder("6")  # type: ignore[arg-type]
    decoder = codec.decoder()
    decoder.finish()
    with pytest.raises(FormatError, match="finished"):
        decoder.push(Codes(np.zeros((8, 1), np.int16), 320))
    with pytest.raises(FormatError, match="outside"):
        codec.decode(Codes(np.full((8, 1), 1024, np.int16), 320))
    with pytest.raises(FormatError, match="frames"):
        codec.decode(Codes(np.zeros((8, 3), np.int16), 320))


@pytest.mark.parametrize("last", [False, True])
def test_reflect_padding_takes_another_rate_among_its_first_frames(last: bool) -> None:
    codec = STREAMED["24khz"]
    coded = codec.encode(noise(codec, 12 * codec.config.hop_length), bitrate=6.0)
    hop = codec.config.hop_length
    first, then = coded.part(0, 4, 4 * hop).with_codebooks(2), coded.part(4, 12, 8 * hop)
    exact, early = codec.decoder(), codec.decoder(low_latency=True)
    parts = [exact.push(first)]
    assert parts[0].shape[1] == 0
    parts += [exact.push(then), exact.finish()] if not last else [exact.push(then.part(0, 1, hop))]
    wanted = [early.push(first), early.push(then), early.finish()]
    got = np.concatenate(parts, axis=1)
    assert got.shape[1] == (5 if last else 12) * hop
    np.testing.assert_allclose(got, np.concatenate(wanted, axis=1)[:, : got.shape[1]], atol=1e-6)


def test_samples_are_floats_and_channels_come_first(codec: Codec) -> None:
    whole_numbers = np.full((1, 640), 2000, np.int16)
    for take in (codec.encode, codec.encoder().push):
        with pytest.raises(AudioError, match=r"floats in .*, not int16"):
            take(whole_numbers)
    with pytest.raises(AudioError, match=r"\[channels, samples\], not of shape \(24000, 2\)"):
        codec.encode(np.zeros((24_000, 2)))


@pytest.mark.parametrize(("level", "dtype"), [(1e39, np.float64), (1e38, np.float32)])
def test_a_sample_too_large_for_the_network_leaves_the_stream_as_it_was(
    codec: Codec, speech: Audio, level: float, dtype: type
) -> None:
    stream, untouched = codec.encoder(), codec.encoder()
    stream.push(speech[:, :3200])
    untouched.push(speech[:, :3200])
    with pytest.raises(AudioError, match=r"infinity or more than 1e\+12"):
        stream.push(np.full((1, 320), level, dtype))
    assert_same_codes(stream.push(speech[:, 3200:6400]), untouched.push(speech[:, 3200:6400]))
    loud = stream.push(np.full((1, 320), 1e12, np.float32))
    assert loud.frames == 1
    quiet = codec.encoder(latents=True)
    quiet.push(np.full((1, 320), 1e12, np.float32))
    assert np.isfinite(quiet.push(speech[:, :640]).latents).all()


def test_importing_sonant_does_not_import_torch() -> None:
    import subprocess
    import sys

    program = "import sys, sonant; sonant.load; sonant.compress; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_types_are_there_for_the_programs_of_others() -> None:
    assert (Path(sonant.__file__).parent / "py.typed").exists()


def test_the_public_names_are_listed_before_they_are_imported() -> None:
    program = "import sonant; print(*sonant.__all__); print(*dir(sonant))"
    lines = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=True
    ).stdout.splitlines()
    names, listed = (set(line.split()) for line in lines)
    assert len(names) > 3
    assert names <= listed


def test_numbers_of_codebooks_and_kinds_of_codes_that_cannot_be(codec: Codec) -> None:
    codes = Codes(np.zeros((8, 75), np.int16), 24_000)
    for n_q in (-1, 0, 9):
        with pytest.raises(ConfigError, match="codes of 8 codebooks"):
            codes.with_codebooks(n_q)
    with pytest.raises(FormatError, match="whole numbers, not float32"):
        codec.decode(Codes(codes.values.astype(np.float32), 24_000))
    with pytest.raises(FormatError, match="not ndarray"):
        codec.decode(codes.values)  # type: ignore[arg-type]
    with pytest.raises(FormatError, match="values of codes are an int16 array, not list"):
        codec.decode(Codes(codes.values.tolist(), 24_000))  # type: ignore[arg-type]
    with pytest.raises(FormatError, match="joined"):
        join([codes, codes.with_codebooks(4)])
    with pytest.raises(FormatError, match="joined"):
        join([])


@pytest.mark.parametrize("rate", [float("nan"), float("inf"), 1e15, 0.5])
def test_a_rate_that_cannot_be_does_not_hang(codec: Codec, rate: float) -> None:
    with pytest.raises(AudioError, match="a sample rate is between 1 and 10000000 Hz"):
        codec.encode(np.zeros((1, 320), np.float32), rate)


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_a_codec_goes_to_other_processes(precision: Precision) -> None:
    codec = sonant.load(precision=precision, beam=2)
    copy = pickle.loads(pickle.dumps(codec))
    wav = np.sin(np.arange(2400, dtype=np.float32) / 9)
    np.testing.assert_array_equal(copy.encode(wav).values, codec.encode(wav).values)
    assert (copy.name, copy.weights_hash, copy.beam) == (codec.name, codec.weights_hash, 2)
    assert copy.engine.backend.precision == precision


def test_what_is_printed_of_a_codec_and_of_codes_is_a_line(codec: Codec, speech: Audio) -> None:
    assert repr(codec) == "<Codec 24khz: 24000 Hz, channels: 1>"
    codes = codec.encode(speech[:, :1000], bitrate=3.0)
    assert repr(codes) == "<Codes of 4 codebooks: 4 frames, 1000 samples>"
