"""Many recordings and streams at once give what each gives on its own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sonant
from conftest import load_golden
from sonant.audio import Audio
from sonant.codec import Codec
from sonant.codes import Codes, join
from sonant.errors import AudioError, ConfigError, FormatError
from sonant.stepping import DecodeStep, EncodeStep
from sonant.streams import finish_all, push_all

CODECS = {name: Codec(g.config, g.weights) for name in ("24khz", "48khz") for g in [load_golden(name)]}
CODECS["bundled"] = sonant.load()


def noise(codec: Codec, samples: int, seed: int) -> Audio:
    shape = (codec.config.channels, samples)
    return (0.2 * np.random.default_rng(seed).standard_normal(shape)).astype(np.float32)


def assert_equal(got: list[Codes], wanted: list[Codes]) -> None:
    """Equal but for float ties: one code in ten thousand."""
    assert [codes.length for codes in got] == [codes.length for codes in wanted]
    assert [codes.values.shape for codes in got] == [codes.values.shape for codes in wanted]
    differing = sum(np.count_nonzero(g.values != w.values) for g, w in zip(got, wanted, strict=True))
    assert differing <= 1e-4 * sum(codes.values.size for codes in wanted)
    for one, other in zip(got, wanted, strict=True):
        if other.scales is not None:
            np.testing.assert_array_equal(one.scales, other.scales)


@pytest.mark.parametrize("name", list(CODECS))
@settings(max_examples=5)
@given(data=st.data())
def test_each_result_of_a_batch_is_the_single_one(name: str, data: st.DataObject) -> None:
    codec = CODECS[name]
    longest = 50_000 if name == "48khz" else 12_000
    lengths = data.draw(st.lists(st.integers(1, longest), min_size=1, max_size=5))
    wavs = [noise(codec, length, seed) for seed, length in enumerate(lengths)]
    single = [codec.encode(wav) for wav in wavs]
    assert_equal(codec.encode_batch(wavs), single)

    padded = np.stack([np.pad(w, ((0, 0), (0, max(lengths) - w.shape[1])), mode="edge") for w in wavs])
    assert_equal(codec.encode_batch(padded, lengths), single)

    for got, codes in zip(codec.decode_batch(single), single, strict=True):
        np.testing.assert_allclose(got, codec.decode(codes), atol=1e-5)


@pytest.mark.parametrize("name", list(CODECS))
@settings(max_examples=4)
@given(sizes=st.lists(st.tuples(*[st.integers(0, 4000)] * 3), min_size=1, max_size=4))
def test_streams_pushed_together_give_what_they_give_alone(
    name: str, sizes: list[tuple[int, int, int]]
) -> None:
    codec = CODECS[name]
    together, alone = ([codec.encoder() for _ in range(3)] for _ in range(2))
    decode_together, decode_alone = ([codec.decoder() for _ in range(3)] for _ in range(2))
    codes: list[list[list[Codes]]] = [[], []]
    audio: list[list[list[Audio]]] = [[], []]
    for seed, lengths in enumerate(sizes):
        wavs = [noise(codec, length, seed) for length in lengths]
        codes[0].append(push_all(together, wavs))
        codes[1].append([stream.push(wav) for stream, wav in zip(alone, wavs, strict=True)])
        audio[0].append(push_all(decode_together, codes[1][-1]))
        audio[1].append([d.push(c) for d, c in zip(decode_alone, codes[1][-1], strict=True)])
    codes[0].append(finish_all(together))
    codes[1].append([stream.finish() for stream in alone])
    audio[0].append(finish_all(decode_together))
    audio[1].append([stream.finish() for stream in decode_alone])
    assert_equal(*([join(pieces) for pieces in zip(*parts, strict=True)] for parts in codes))
    for got, wanted in zip(*(zip(*parts, strict=True) for parts in audio), strict=True):
        np.testing.assert_allclose(np.concatenate(got, 1), np.concatenate(wanted, 1), atol=1e-5)


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many steps every run of the networks has taken together."""
    sizes: list[int] = []
    for step in (EncodeStep, DecodeStep):
        run = step.run
        monkeypatch.setattr(
            step, "run", lambda engine, steps, run=run: sizes.append(len(steps)) or run(engine, steps)
        )
    return sizes


def test_a_batch_runs_through_the_networks_as_one(sizes: list[int]) -> None:
    codec = CODECS["bundled"]
    wavs = [noise(codec, length, 0) for length in (12_800, 23_680, 26_560, 40_960)]
    codes = codec.encode_batch(wavs)
    assert sizes == [4, 3, 2, 1]
    codec.decode_batch(codes)
    assert sizes[4:] == [4, 3, 2, 1]


def test_segments_of_a_recording_run_through_the_networks_together(sizes: list[int]) -> None:
    codec = Codec(replace(CODECS["48khz"].config, segment=0.1), CODECS["48khz"].weights)
    wav = noise(codec, 10 * codec.config.segment_stride + 1, 0)
    codes = codec.encode(wav)
    assert sizes == [8, 1, 1, 1]
    audio = codec.decode(codes)
    assert sizes[4:] == [8, 2, 1]
    encoder, decoder = codec.encoder(), codec.decoder()
    starts = range(0, wav.shape[1], 4_000)
    pieces = [*(encoder.push(wav[:, start : start + 4_000]) for start in starts), encoder.finish()]
    np.testing.assert_array_equal(join(pieces).values, codes.values)
    parts = [*(decoder.push(piece) for piece in pieces), decoder.finish()]
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), audio)


def test_many_more_recordings_than_fit_a_batch_keep_their_order() -> None:
    codec = CODECS["24khz"]
    wavs = [noise(codec, 400 * (1 + k % 7), k) for k in range(40)]
    assert_equal(codec.encode_batch(wavs), [codec.encode(wav) for wav in wavs])
    assert codec.encode_batch([]) == []


def test_streams_pushed_together_are_different_ones_of_one_codec() -> None:
    one, other = CODECS["bundled"], CODECS["24khz"]
    stream, wav = one.encoder(), noise(one, 640, 0)
    with pytest.raises(ConfigError, match="there twice"):
        push_all([stream, stream], [wav, wav])
    with pytest.raises(ConfigError, match="different codecs"):
        push_all([stream, other.encoder()], [wav, wav])
    with pytest.raises(ConfigError, match="there twice"):
        finish_all([stream, stream])
    assert_equal([stream.push(wav)], [one.encoder().push(wav)])


def test_what_is_wrong_with_one_is_an_error_before_any_is_coded() -> None:
    codec = CODECS["bundled"]
    good, bad = np.zeros((1, 640), np.float32), np.full((1, 640), np.inf, np.float32)
    with pytest.raises(AudioError, match="NaN, infinity or more"):
        codec.encode_batch([good, bad])
    with pytest.raises(AudioError, match="a length of 641 for a recording of 640 samples"):
        codec.encode_batch([good, good], [640, 641])
    with pytest.raises(AudioError, match="1 lengths for 2 recordings"):
        codec.encode_batch(np.zeros((2, 1, 640), np.float32), [640])
    streams = [codec.encoder(), codec.encoder()]
    with pytest.raises(AudioError, match="NaN, infinity or more"):
        push_all(streams, [good, bad])
    assert streams[0].push(good).frames == 2
    decoders = [codec.decoder(), codec.decoder()]
    codes = codec.encode(good)
    with pytest.raises(FormatError, match="outside"):
        push_all(decoders, [codes, Codes(codes.values + np.int16(1024), 640)])
    np.testing.assert_array_equal(decoders[0].push(codes), codec.decode(codes))
