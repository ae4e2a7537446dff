"""Streams that come and go, and everything that can be done wrong with one."""

from __future__ import annotations

import gc
import resource
import weakref
from pathlib import Path

import numpy as np
import pytest

import sonant
from conftest import load_golden
from sonant.audio import Audio
from sonant.codec import Codec
from sonant.codes import Codes
from sonant.errors import AudioError, FormatError
from sonant.streams import DecoderStream, EncoderStream, Stream

CODECS = {name: Codec(g.config, g.weights) for name in ("24khz", "48khz") for g in [load_golden(name)]}
CODECS["bundled"] = sonant.load()


def samples(codec: Codec, count: int) -> Audio:
    return np.zeros((codec.config.channels, count), np.float32)


def resident_megabytes() -> float:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / (1 << 20)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads Linux's account of memory")
def test_a_thousand_streams_leave_nothing_behind(speech: Audio) -> None:
    codec = CODECS["24khz"]
    alive: weakref.WeakSet[Stream] = weakref.WeakSet()  # type: ignore[type-arg]

    def one_stream(finished: bool) -> None:
        encoder, decoder = codec.encoder(3.0, low_latency=True), codec.decoder(low_latency=True)
        alive.update((encoder, decoder))
        decoder.push(encoder.push(speech[:, :640]))
        if finished:
            decoder.push(encoder.finish())
            decoder.finish()

    for _ in range(100):
        one_stream(finished=True)
    gc.collect()
    before = resident_megabytes()
    for number in range(1000):
        one_stream(finished=number % 2 == 0)
    assert not alive
    assert resident_megabytes() - before < 20


def test_many_open_streams_do_not_disturb_each_other(speech: Audio) -> None:
    codec = CODECS["bundled"]
    wavs = [np.roll(speech[:, :960], 100 * k, axis=1) for k in range(50)]
    encoders = [codec.encoder() for _ in wavs]
    codes = [encoder.push(wav) for encoder, wav in zip(encoders, wavs, strict=True)]
    for got, wav in zip(codes, wavs, strict=True):
        np.testing.assert_array_equal(got.values, codec.encode(wav).values)


@pytest.mark.parametrize("name", list(CODECS))
def test_finished_streams_say_so(name: str) -> None:
    codec = CODECS[name]
    encoder: EncoderStream = codec.encoder(6.0)
    decoder: DecoderStream = codec.decoder()
    audio = samples(codec, 9000)
    codes = encoder.finish() if encoder.push(audio).frames == 0 else codec.encode(audio)
    encoder.finish()
    assert encoder.finish().frames == 0
    with pytest.raises(AudioError, match="finished"):
        encoder.push(audio)
    decoder.push(codes)
    decoder.finish()
    assert decoder.finish().shape == (codec.config.channels, 0)
    with pytest.raises(FormatError, match="finished"):
        decoder.push(codes)


@pytest.mark.parametrize("name", list(CODECS))
@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda wav: np.concatenate([wav, wav]), r"samples, not \["),
        (lambda wav: wav[0], r"samples, not \["),
        (lambda wav: wav * np.float32("nan"), "NaN"),
        (lambda wav: wav + np.float32("inf"), "NaN, infinity"),
    ],
)
def test_wrong_samples_are_refused_and_leave_the_stream_as_it_was(
    name: str, change: object, sentence: str
) -> None:
    codec = CODECS[name]
    wav = (0.1 * np.random.default_rng(0).standard_normal((codec.config.channels, 3200))).astype(np.float32)
    disturbed, calm = codec.encoder(6.0), codec.encoder(6.0)
    for stream in (disturbed, calm):
        stream.push(wav)
    with pytest.raises(AudioError, match=sentence):
        disturbed.push(change(wav))  # type: ignore[operator]
    for got, wanted in ((disturbed.push(wav), calm.push(wav)), (disturbed.finish(), calm.finish())):
        np.testing.assert_array_equal(got.values, wanted.values)
        assert got.length == wanted.length


def test_lists_of_floats_are_samples() -> None:
    codec = CODECS["24khz"]
    wav = samples(codec, 640)
    streams = codec.encoder(low_latency=True), codec.encoder(low_latency=True)
    codes, same = streams[0].push(wav), streams[1].push(wav.tolist())  # type: ignore[arg-type]
    assert codes.frames == 2
    np.testing.assert_array_equal(same.values, codes.values)


@pytest.mark.parametrize("name", ["24khz", "bundled"])
@pytest.mark.parametrize(
    ("codes", "sentence"),
    [
        (Codes(np.zeros(8, np.int16), 320), r"\[n_q, frames\]"),
        (Codes(np.zeros((0, 1), np.int16), 320), "n_q from 1"),
        (Codes(np.zeros((33, 1), np.int16), 320), "n_q from 1"),
        (Codes(np.full((8, 1), -1, np.int16), 320), "outside 0 … 1023"),
        (Codes(np.full((8, 1), 1024, np.int16), 320), "outside 0 … 1023"),
        (Codes(np.zeros((8, 2), np.int16), 320), "2 frames are not what 320 samples give"),
    ],
)
def test_wrong_codes_are_refused(name: str, codes: Codes, sentence: str) -> None:
    decoder = CODECS[name].decoder()
    with pytest.raises(FormatError, match=sentence):
        decoder.push(codes)


def test_segments_need_their_volumes() -> None:
    codec = CODECS["48khz"]
    codes = codec.encode(samples(codec, 100_000))
    assert codes.scales is not None
    for scales in (None, codes.scales[:-1]):
        with pytest.raises(FormatError, match="volumes"):
            codec.decoder().push(Codes(codes.values, codes.length, scales))
    for scales in (codes.scales * np.float32(1e30), -codes.scales):
        with pytest.raises(FormatError, match="a volume that is not from 0"):
            codec.decoder().push(Codes(codes.values, codes.length, scales))
