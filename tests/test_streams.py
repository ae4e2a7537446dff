"""Streams of frames and of segments, in the layouts of the official models."""

from __future__ import annotations

import numpy as np
import pytest

from conftest import load_golden
from sonant.audio import Audio
from sonant.codec import Codec
from sonant.codes import Codes, join
from sonant.config import CodecConfig
from sonant.errors import AudioError, ConfigError
from sonant.segments import SegmentDecoder, overlap_window
from sonant.stepping import run_together
from sonant.streams import push_all

CODECS = {name: Codec(g.config, g.weights) for name in ("24khz", "48khz") for g in [load_golden(name)]}
HOP = 320


def noise(codec: Codec, samples: int) -> Audio:
    shape = (codec.config.channels, samples)
    return (0.2 * np.random.default_rng(0).standard_normal(shape)).astype(np.float32)


def latents_in_one_go(codec: Codec, wav: Audio) -> Audio:
    return codec.engine.encode(wav.T[None], None, tail=True)[0][0]


@pytest.mark.parametrize("rest", [1, 2, 3, 319])
def test_the_mirrored_end_is_that_of_the_networks_in_one_go(rest: int) -> None:
    codec = CODECS["24khz"]
    wav, stream = noise(codec, 12 * HOP + rest), codec.encoder(latents=True)
    codes = join([stream.push(wav), stream.finish()])
    np.testing.assert_allclose(codes.latents, latents_in_one_go(codec, wav), atol=1e-4)


def test_a_last_piece_longer_than_a_block_is_coded_as_one() -> None:
    codec = CODECS["24khz"]
    wav, stream = noise(codec, 60 * HOP + 1), codec.encoder(latents=True)
    (codes,) = run_together(codec.engine, [stream.finishing(wav)])
    np.testing.assert_allclose(codes.latents, latents_in_one_go(codec, wav), atol=1e-4)


def test_with_reflect_padding_eight_frames_come_with_the_ninth() -> None:
    codec = CODECS["24khz"]
    encoder, wav = codec.encoder(), noise(codec, 10 * HOP)
    coded = [encoder.push(wav[:, start : start + HOP]) for start in range(0, 10 * HOP, HOP)]
    assert [codes.frames for codes in coded] == [*[0] * 8, 8, 1]
    decoder, codes = codec.decoder(), codec.encode(wav)
    audio = [decoder.push(codes.part(n, n + 1, HOP)) for n in range(10)]
    assert [part.shape[1] for part in audio] == [*[0] * 7, 8 * HOP, HOP, HOP]


def test_streams_of_other_bitrates_and_beams_run_together() -> None:
    codec = CODECS["24khz"]
    wav = noise(codec, 12 * HOP)
    settings = [(1.5, 2), (6.0, 2), (6.0, 1), (3.0, 1), (6.0, 3)]
    coded = push_all([codec.encoder(rate, beam=beam) for rate, beam in settings], [wav] * len(settings))
    alone = [codec.encoder(rate, beam=beam).push(wav) for rate, beam in settings]
    for got, wanted in zip(coded, alone, strict=True):
        np.testing.assert_array_equal(got.values, wanted.values)
    audio = push_all([codec.decoder() for _ in coded], coded)
    for got_audio, codes in zip(audio, coded, strict=True):
        np.testing.assert_allclose(got_audio, codec.decoder().push(codes), atol=1e-5)


def test_frames_that_wait_come_once() -> None:
    codec = CODECS["24khz"]
    decoder = codec.decoder()
    assert decoder.push(codec.encode(noise(codec, 3 * HOP))).shape == (1, 0)
    assert decoder.finish().shape == (1, 3 * HOP)
    assert decoder.finish().shape == (1, 0)


def test_no_frames_of_another_rate_change_nothing() -> None:
    codec = CODECS["24khz"]
    codes = codec.encode(noise(codec, 9 * HOP))
    decoder = codec.decoder()
    parts = [decoder.push(Codes(np.zeros((2, 0), np.int16), 0)), decoder.push(codes), decoder.finish()]
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), codec.decode(codes))


def test_nothing_ready_has_no_latents_in_an_array() -> None:
    codec = CODECS["24khz"]
    codes = codec.encoder(latents=True).push(noise(codec, 1))
    assert codes.latents is not None and codes.latents.shape == (0, codec.config.dimension)
    assert codec.encoder().push(noise(codec, 12 * HOP)).latents is None


def test_a_stream_ends_where_its_codes_say() -> None:
    codec = CODECS["24khz"]
    codes, decoder = codec.encode(noise(codec, 10 * HOP + 7)), codec.decoder()
    assert decoder.push(codes).shape[1] + decoder.finish().shape[1] == 10 * HOP + 7


def test_what_is_too_low_is_refused() -> None:
    with pytest.raises(AudioError, match="more than"):
        CODECS["24khz"].encoder().push(np.full((1, 10), -1e13, np.float32))


@pytest.mark.filterwarnings("error")
def test_half_floats_are_samples_and_their_infinity_is_none() -> None:
    stream = CODECS["24khz"].encoder()
    with pytest.raises(AudioError, match="infinity"):
        stream.push(np.full((1, 10), np.inf, np.float16))
    stream.push(np.full((1, 10), 0.5, np.float16))


@pytest.mark.parametrize("name", list(CODECS))
def test_a_finished_stream_holds_no_samples(name: str) -> None:
    codec = CODECS[name]
    stream = codec.encoder()
    stream.push(np.zeros((codec.config.channels, 100_000), np.float32))
    stream.finish()
    for left in stream._buffer._pieces:  # type: ignore[attr-defined]
        assert left.base is None and left.size == 0


@pytest.mark.parametrize("beam", [float("nan"), float("inf"), 1.5, 0, "2"])
def test_what_is_no_beam_is_refused(beam: object) -> None:
    with pytest.raises(ConfigError, match="at least 1 beginning"):
        CODECS["24khz"].encoder(beam=beam)  # type: ignore[arg-type]


def test_silence_in_segments_is_finite() -> None:
    codec = CODECS["48khz"]
    codes = codec.encode(np.zeros((2, 1000), np.float32))
    assert codes.scales is not None and codes.scales.tolist() == [np.float32(1e-8)]
    assert np.isfinite(codec.decode(codes)).all()


def test_two_short_segments_at_the_end_overlap_as_long_ones_do() -> None:
    codec = CODECS["48khz"]
    assert codec.config.segment_stride == 47_520
    codes = codec.encode(noise(codec, 47_601))
    assert (codes.length, codes.frames) == (47_601, 149 + 1)
    assert codes.scales is not None
    first, second = (
        codec.engine.decode(part.astype(np.int64)[None], None)[0][0].T * scale
        for part, scale in zip(np.split(codes.values, [149], axis=1), codes.scales, strict=True)
    )
    window = overlap_window(149 * HOP)
    total = first[:, :47_601] * window[:47_601]
    total[:, 47_520:] += second[:, :81] * window[:81]
    weight = window[:47_601].copy()
    weight[47_520:] += window[:81]
    np.testing.assert_allclose(codec.decode(codes), total / weight, atol=1e-5)


def test_a_stream_of_whole_segments_ends_where_its_codes_say() -> None:
    """The frames of a stride may be as many as those of a segment."""

    class Silence:
        config = CodecConfig("a", 8_000, ratios=(5, 8), segment=0.1, overlap=0.03, bandwidths=())

    decoder = SegmentDecoder(Silence())  # type: ignore[arg-type]
    job = decoder.finishing(Codes(np.zeros((1, 40), np.int16), 2 * 776))
    steps = next(job)
    assert [len(step) for step in steps] == [20, 20]
    with pytest.raises(StopIteration) as end:
        job.send([(np.ones((40 * len(step), 1), np.float32), ()) for step in steps])
    assert end.value.value.shape == (1, 1552)
