"""Packets, their order, and what is played for those that are lost."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import example_module, load_golden
from sonant.audio import Audio
from sonant.codec import Codec
from sonant.codes import Codes, join
from sonant.concealment import FADE_FRAMES, ConcealingDecoder
from sonant.entropy.packing import packed_size
from sonant.errors import ConfigError, FormatError
from sonant.evaluation.metrics.signal import si_snr
from sonant.live import FARTHEST_FRAMES, HEAD, JitterBuffer, Packet

HOP = 320


def coded(*numbers: int) -> Codes:
    """Frames that hold their own number."""
    return Codes(np.array([numbers] * 2, np.int16), HOP * len(numbers))


@settings(max_examples=50)
@given(
    frames=st.integers(1, 20), n_q=st.integers(1, 8), first=st.integers(0, 2**32 - 1), seed=st.integers(0)
)
def test_a_packet_there_and_back(codec: Codec, frames: int, n_q: int, first: int, seed: int) -> None:
    values = np.random.default_rng(seed).integers(0, 1024, (n_q, frames)).astype(np.int16)
    data = Packet(first, Codes(values, frames * HOP)).to_bytes(codec.config)
    packet = Packet.from_bytes(data, codec.config)
    assert packet is not None
    assert (packet.first, packet.codes.length) == (first, frames * HOP)
    np.testing.assert_array_equal(packet.codes.values, values)
    assert Packet.from_bytes(data[:-1], codec.config) is None
    assert Packet.from_bytes(data[:5], codec.config) is None


def test_packets_of_no_or_too_many_frames_are_refused(codec: Codec) -> None:
    for frames in (0, 256):
        with pytest.raises(ConfigError, match="1 to 255"):
            Packet(0, Codes(np.zeros((2, frames), np.int16), frames * HOP)).to_bytes(codec.config)


@settings(max_examples=200)
@given(data=st.data())
def test_whatever_arrives_is_played_in_order_and_the_rest_is_told(data: st.DataObject) -> None:
    numbers = data.draw(st.permutations(range(12)))
    arrived = numbers[: data.draw(st.integers(1, 12))]
    depth = data.draw(st.integers(0, 30))
    jitter, played = JitterBuffer(depth), []
    for number in arrived:
        played += list(jitter.put(Packet(2 * number, coded(2 * number, 2 * number + 1))))
    played += list(jitter.finish())
    position, heard = (0 if 2 * arrived[0] <= depth else 2 * arrived[0]), set()
    for part in played:
        if isinstance(part, int):
            assert part > 0
            position += part
        else:
            assert part.values[0].tolist() == [position, position + 1]
            heard.add(position // 2)
            position += 2
    assert len(heard) + jitter.late == len(arrived)
    assert heard <= set(arrived)
    if depth >= 24:
        assert heard == set(arrived)


def test_a_missing_packet_is_waited_for_and_no_longer() -> None:
    jitter = JitterBuffer(depth=2)
    assert len(list(jitter.put(Packet(0, coded(0))))) == 1
    assert list(jitter.put(Packet(2, coded(2)))) == []
    lost, codes, _ = jitter.put(Packet(3, coded(3)))
    assert (lost, codes.frames) == (1, 1)
    assert list(jitter.put(Packet(1, coded(1)))) == []
    assert jitter.late == 1


def frames(first: int, stop: int) -> Packet:
    """Frames that hold the last digits of their number."""
    return Packet(first, coded(*(number % 1000 for number in range(first, stop))))


def played(jitter: JitterBuffer, *packets: Packet) -> list[int]:
    """The last digits of frames, -1 for those that are lost."""
    parts = [part for packet in packets for part in jitter.put(packet)] + list(jitter.finish())
    out: list[int] = []
    for part in parts:
        out += [-1] * part if isinstance(part, int) else part.values[0].tolist()
        assert isinstance(part, int) or part.length == HOP * part.frames
    return out


def test_who_joins_late_hears_at_once() -> None:
    assert played(JitterBuffer(8), frames(270_000, 270_008)) == list(range(8))
    assert played(JitterBuffer(16), frames(8, 16), frames(0, 8)) == list(range(16))


@pytest.mark.parametrize("number", [4_000_000_000, 500, 16 + FARTHEST_FRAMES + 1])
def test_a_packet_of_a_damaged_number_is_dropped(number: int) -> None:
    jitter, damaged = JitterBuffer(8), frames(number, number + 8)
    heard = played(jitter, frames(0, 8), frames(8, 16), damaged, damaged, frames(24, 32), frames(32, 40))
    assert heard == [*range(16), *[-1] * 8, *range(24, 40)]
    assert not jitter.late


def test_a_first_packet_of_a_damaged_number_costs_only_itself() -> None:
    packets = (frames(4_000_000_000, 4_000_000_008), frames(16, 24), frames(24, 32))
    assert played(JitterBuffer(8), *packets) == [*range(8), *range(16, 32)]


@pytest.mark.parametrize("before", [1000, 2**32 - 8])
@pytest.mark.parametrize("swapped", [False, True])
def test_a_stream_that_begins_anew_is_followed(before: int, swapped: bool) -> None:
    """What waited is played, and the packet that told of the jump is too."""
    old = [frames(before - 8, before), Packet(before + 4, coded(7, 8, 9, 10))]
    new = [frames(0, 8), frames(8, 16)]
    heard = played(JitterBuffer(8), *old, *(new[::-1] if swapped else new), frames(16, 24))
    assert heard == [*(n % 1000 for n in range(before - 8, before)), *[-1] * 4, 7, 8, 9, 10, *range(24)]


def test_after_an_interruption_it_goes_on_without_a_gap() -> None:
    packets = (frames(0, 8), frames(600, 608), frames(608, 616))
    assert played(JitterBuffer(8), *packets) == [*range(8), *range(600, 616)]


def test_frames_that_arrive_twice_are_played_once() -> None:
    assert played(JitterBuffer(8), frames(0, 8), frames(8, 16), frames(12, 20)) == list(range(20))
    jitter = JitterBuffer(20)
    packets = (frames(4, 6), frames(2, 8), frames(2, 4), frames(0, 5), frames(6, 8))
    assert played(jitter, *packets) == list(range(8))
    assert jitter.late == 1


def step(audio: Audio) -> float:
    """The biggest change from one sample to the next."""
    return float(np.abs(np.diff(audio[0])).max())


@pytest.mark.parametrize("lost", [1, 2, FADE_FRAMES, FADE_FRAMES + 1, 40])
def test_a_loss_fades_without_a_click_and_costs_only_its_neighbourhood(
    codec: Codec, speech: Audio, lost: int
) -> None:
    codes, hop = codec.encode(speech), codec.config.hop_length
    clean = codec.decode(codes)
    start, stop = 60, 60 + lost
    decoder = ConcealingDecoder(codec)
    before = decoder.push(Codes(codes.values[:, :start], start * hop))
    filled = decoder.lose(lost)
    after = [decoder.push(Codes(codes.values[:, stop:], speech.shape[1] - stop * hop)), decoder.finish()]
    heard = np.concatenate([before, filled, *after], axis=1)
    assert heard.shape == clean.shape
    np.testing.assert_array_equal(before, clean[:, : start * hop])
    assert not filled[:, FADE_FRAMES * hop :].any()
    assert np.abs(filled[:, : min(lost, 2) * hop]).max() > 0
    assert step(heard) <= 1.5 * step(clean)
    settled = (stop + 30) * hop
    error = np.square(heard - clean)[:, settled:].sum() / np.square(clean)[:, settled:].sum()
    assert error < 1e-2


def test_losing_frame_by_frame_is_losing_them_at_once(codec: Codec, speech: Audio) -> None:
    codes = codec.encode(speech[:, :6400])
    at_once, one_by_one = ConcealingDecoder(codec), ConcealingDecoder(codec)
    for decoder in (at_once, one_by_one):
        decoder.push(codes)
    wanted = at_once.lose(12)
    np.testing.assert_array_equal(np.concatenate([one_by_one.lose(1) for _ in range(12)], 1), wanted)
    np.testing.assert_array_equal(one_by_one.push(codes), at_once.push(codes))


def test_a_loss_before_anything_is_silence(codec: Codec) -> None:
    decoder = ConcealingDecoder(codec)
    assert not decoder.lose(3).any()
    assert decoder.push(join([codec.encode(np.zeros((1, 640), np.float32))])).shape == (1, 640)


@pytest.fixture(scope="module")
def reflecting() -> Codec:
    """Random weights in the layout of the official 24 kHz model."""
    golden = load_golden("24khz")
    return Codec(golden.config, golden.weights)


@pytest.mark.parametrize("low_latency", [False, True])
@pytest.mark.parametrize("first", [0, 3, 7, 8, 20])
@pytest.mark.parametrize("lost", [1, FADE_FRAMES + 1])
def test_a_model_with_reflect_padding_gives_all_that_is_due(
    reflecting: Codec, low_latency: bool, first: int, lost: int
) -> None:
    """From a loss on there is nothing to wait for, and other bitrates may follow."""
    hop, n_q = reflecting.config.hop_length, reflecting.config.n_q
    values = np.random.default_rng(0).integers(0, reflecting.config.bins, (n_q, 40)).astype(np.int16)
    decoder = ConcealingDecoder(reflecting, low_latency=low_latency)
    heard = [decoder.push(Codes(values[:, n : n + 1], hop)) for n in range(first)]
    heard.append(decoder.lose(lost))
    assert sum(audio.shape[1] for audio in heard) == (first + lost) * hop
    for n in range(first, 40):
        assert decoder.push(Codes(values[: 1 + n % n_q, n : n + 1], hop)).shape == (1, hop)
    assert decoder.lose(2).shape == (1, 2 * hop)
    assert decoder.finish().shape == (1, 0)


def test_frames_that_wait_for_more_are_played_before_a_loss(reflecting: Codec) -> None:
    """As with `low_latency`, while those that nothing is lost of are as in the whole file."""
    hop = reflecting.config.hop_length
    codes = reflecting.encode(np.random.default_rng(0).normal(0, 0.1, (1, 12 * hop)).astype(np.float32))
    start = Codes(codes.values[:, :3], 3 * hop)
    waiting, at_once = (ConcealingDecoder(reflecting, low_latency=low) for low in (False, True))
    assert waiting.push(start).shape == (1, 0)
    expected = np.concatenate([at_once.push(start), at_once.lose(2)], axis=1)
    np.testing.assert_array_equal(waiting.lose(2), expected)
    whole = ConcealingDecoder(reflecting).push(codes)
    np.testing.assert_allclose(whole, reflecting.decode(codes), atol=1e-5)


@pytest.fixture(scope="module")
def example() -> ModuleType:
    return example_module("live_udp")


def test_over_udp(example: ModuleType, codec: Codec, speech: Audio) -> None:
    """Reordering costs nothing; losing more costs more."""
    whole = codec.decode(codec.encode(speech))
    heard, sent, dropped = example.over_udp(codec, speech, 0.0, reordering=0.3)
    assert (sent, dropped) == (75, 0)
    np.testing.assert_allclose(heard, whole, atol=1e-5)
    kept = []
    for loss in (0.05, 0.4):
        heard, _, dropped = example.over_udp(codec, speech, loss)
        assert dropped
        kept.append(si_snr(whole[0, : heard.shape[1]], heard[0]))
    assert kept == sorted(kept, reverse=True)


def test_over_udp_in_big_packets_or_none_at_all(example: ModuleType, codec: Codec, speech: Audio) -> None:
    heard, sent, dropped = example.over_udp(codec, speech, 0.0, bitrate=24.0, frames=100)
    assert (sent, dropped) == (1, 0)
    assert heard.shape == (1, 100 * HOP)
    heard, sent, dropped = example.over_udp(codec, speech, 1.0)
    assert (sent, dropped, heard.shape) == (75, 75, (1, 0))


@pytest.mark.parametrize(("count", "n_q"), [(0, 1), (1, 0), (1, 255)])
def test_packets_that_no_codec_sent_are_none(codec: Codec, count: int, n_q: int) -> None:
    data = HEAD.pack(0, count, n_q) + bytes(packed_size(count * n_q, codec.config.bits_per_code))
    assert Packet.from_bytes(data, codec.config) is None


def test_numbers_begin_at_zero_again(codec: Codec) -> None:
    packet = Packet.from_bytes(Packet(2**32 + 5, coded(1)).to_bytes(codec.config), codec.config)
    assert packet is not None and packet.first == 5


def test_a_deep_buffer_waits_for_what_is_within_its_depth() -> None:
    assert played(JitterBuffer(1000), frames(0, 8), frames(500, 508), frames(8, 16)) == [
        *range(16),
        *[-1] * 484,
        *range(500, 508),
    ]


def test_a_lost_frame_is_the_first_code_of_the_last_and_every_loss_fades_anew(
    codec: Codec, speech: Audio
) -> None:
    codes = codec.encode(speech[:, : 12 * HOP])
    decoder, stream = ConcealingDecoder(codec), codec.decoder()
    for start in (0, 6):
        part = Codes(codes.values[:, start : start + 6], 6 * HOP)
        decoder.push(part)
        stream.push(part)
        level = 1.0
        for number in (1, 2):
            plain = stream.push(Codes(part.values[:1, -1:], HOP))
            ramp = np.linspace(level, 1 - number / FADE_FRAMES, HOP + 1)[1:]
            np.testing.assert_allclose(decoder.lose(1), plain * ramp, atol=1e-5)
            level = ramp[-1]


def test_after_a_long_loss_the_decoder_begins_afresh(codec: Codec, speech: Audio) -> None:
    codes = codec.encode(speech[:, : 12 * HOP])
    first, second = (Codes(codes.values[:, n : n + 6], 6 * HOP) for n in (0, 6))
    decoder = ConcealingDecoder(codec)
    decoder.push(first)
    decoder.lose(FADE_FRAMES + 1)
    fresh = codec.decoder(low_latency=True).push(second)
    np.testing.assert_allclose(decoder.push(second)[:, HOP:], fresh[:, HOP:], atol=1e-5)


def noise(samples: int) -> Audio:
    return (0.2 * np.random.default_rng(0).standard_normal((1, samples))).astype(np.float32)


def concealed(codec: Codec, codes: Codes, between: Codes | None) -> np.ndarray:
    decoder = ConcealingDecoder(codec, low_latency=True)
    parts = [decoder.push(codes), decoder.lose(2)]
    if between is not None:
        parts += [decoder.push(between), decoder.lose(2), decoder.push(between)]
    else:
        parts += [decoder.lose(2)]
    return np.concatenate([*parts, decoder.push(codes)], axis=1)


def test_a_push_of_no_frames_ends_no_loss(reflecting: Codec) -> None:
    codes = reflecting.encode(noise(3 * HOP))
    nothing = Codes(np.zeros((8, 0), np.int16), 0)
    np.testing.assert_array_equal(concealed(reflecting, codes, nothing), concealed(reflecting, codes, None))


def test_losing_no_frames_is_no_loss(reflecting: Codec) -> None:
    codes = reflecting.encode(noise(12 * HOP))
    decoder = ConcealingDecoder(reflecting)
    first, rest = codes.part(0, 3, 3 * HOP), codes.part(3, 12, 9 * HOP)
    parts = [decoder.push(first), decoder.lose(0), decoder.push(rest)]
    assert [part.shape[1] for part in parts] == [0, 0, 12 * HOP]
    np.testing.assert_allclose(parts[2], reflecting.decode(codes), atol=1e-5)


def test_after_a_loss_at_the_start_the_sound_fades_in(reflecting: Codec) -> None:
    codes = reflecting.encode(noise(3 * HOP))
    decoder = ConcealingDecoder(reflecting, low_latency=True)
    decoder.lose(1)
    plain = reflecting.decoder(low_latency=True).push(codes)
    ramp = np.minimum(np.arange(1, 3 * HOP + 1) / HOP, 1)
    np.testing.assert_allclose(decoder.push(codes), plain * ramp, atol=1e-5)


def test_after_eight_lost_frames_the_same_decoder_goes_on(reflecting: Codec) -> None:
    codes = reflecting.encode(noise(3 * HOP))
    decoder, stream = ConcealingDecoder(reflecting, low_latency=True), reflecting.decoder(low_latency=True)
    decoder.push(codes)
    stream.push(codes)
    decoder.lose(FADE_FRAMES)
    for _ in range(FADE_FRAMES):
        stream.push(Codes(codes.values[:1, -1:], HOP))
    np.testing.assert_allclose(decoder.push(codes)[:, HOP:], stream.push(codes)[:, HOP:], atol=1e-6)


def test_a_finished_concealing_decoder_takes_no_more(reflecting: Codec) -> None:
    codes = reflecting.encode(np.zeros((1, 3 * 320), np.float32))
    decoder = ConcealingDecoder(reflecting)
    decoder.push(codes)
    assert decoder.finish().shape == (1, 3 * 320)
    with pytest.raises(FormatError, match="finished"):
        decoder.lose(1)
    decoder = ConcealingDecoder(reflecting)
    decoder.push(codes)
    decoder.lose(FADE_FRAMES + 1)
    decoder.finish()
    with pytest.raises(FormatError, match="finished"):
        decoder.push(codes)


def told(jitter: JitterBuffer, *packets: Packet) -> list[int]:
    """What is played: the first digits of pieces, how many frames are lost as negative numbers."""
    parts = [part for packet in packets for part in jitter.put(packet)] + list(jitter.finish())
    return [-part if isinstance(part, int) else int(part.values[0, 0]) for part in parts]


def test_the_farthest_packet_that_is_near() -> None:
    far = 8 + FARTHEST_FRAMES
    assert told(JitterBuffer(8), frames(0, 8), frames(far, far + 8)) == [0, -FARTHEST_FRAMES, far]


def test_two_damaged_numbers_alike_with_a_whole_one_between_are_dropped() -> None:
    damaged = [frames(first, first + 8) for first in (4000, 4008)]
    packets = [frames(0, 8), damaged[0], frames(8, 16), damaged[1], frames(16, 24)]
    assert told(JitterBuffer(8), *packets) == [0, 8, 16]


def test_where_a_stream_goes_on_its_packets_may_be_swapped() -> None:
    assert told(JitterBuffer(8), frames(0, 8), frames(408, 416), frames(400, 408)) == [0, 400, 408]


def test_one_far_packet_after_a_jump_is_not_a_second_jump() -> None:
    packets = [frames(0, 8), frames(400, 408), frames(408, 416), frames(184, 192)]
    assert told(JitterBuffer(8), *packets) == [0, 400, 408]


def test_a_piece_that_was_played_within_another_is_no_piece() -> None:
    assert told(JitterBuffer(20), frames(2, 4), frames(0, 4)) == [0]


def test_scores_of_the_example_are_those_that_are_asked_for(example: ModuleType, speech: Audio) -> None:
    assert len(example.quality(speech[0], speech[0] + 0.01, 24_000, visqol=False)) == 1
