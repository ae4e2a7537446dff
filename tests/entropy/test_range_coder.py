import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sonant.entropy.integer_ops import cumulative_frequencies, intervals
from sonant.entropy.range_coder import TOTAL, RangeDecoder, encode


def random_tables(random: np.random.Generator, count: int, bins: int, peak: float) -> np.ndarray:
    weights = np.exp(peak * random.standard_normal((count, bins)))
    ends = np.floor(weights.cumsum(1) / weights.sum(1, keepdims=True) * (TOTAL - bins)).astype(np.int64)
    ends[:, -1] = TOTAL - bins
    return np.concatenate([np.zeros((count, 1), np.int64), ends + np.arange(1, bins + 1)], axis=1)


def coded(cumulative: np.ndarray, symbols: np.ndarray) -> bytes:
    rows = np.arange(len(symbols))
    starts = cumulative[rows, symbols]
    return encode(starts, cumulative[rows, symbols + 1] - starts)


@given(st.integers(0, 2**32 - 1), st.integers(0, 120), st.sampled_from([1, 2, 17, 1024]), st.floats(0, 12))
@settings(max_examples=80)
def test_round_trip_side_by_side(seed: int, count: int, bins: int, peak: float) -> None:
    random = np.random.default_rng(seed)
    lanes = [random_tables(random, count, bins, peak) for _ in range(3)]
    symbols = random.integers(0, bins, (3, count))
    decoder = RangeDecoder([coded(c, s) for c, s in zip(lanes, symbols, strict=True)])
    for t in range(count):
        np.testing.assert_array_equal(decoder.pull(np.stack([c[t] for c in lanes])), symbols[:, t])
    assert decoder.intact().all()


@pytest.mark.parametrize("peak", [0.0, 1.0, 3.0])
def test_length_is_the_entropy(peak: float) -> None:
    random = np.random.default_rng(1)
    count = 20_000
    cumulative = random_tables(random, count, 256, peak)
    slots = random.integers(0, TOTAL, count)
    symbols = (cumulative[:, 1:] <= slots[:, None]).sum(1)
    rows = np.arange(count)
    ideal = (20 - np.log2(cumulative[rows, symbols + 1] - cumulative[rows, symbols])).sum() / 8
    assert ideal <= len(coded(cumulative, symbols)) <= 1.0005 * ideal + 2


@given(st.binary(max_size=60), st.integers(1, 50))
def test_any_bytes_decode_to_something(data: bytes, count: int) -> None:
    cumulative = random_tables(np.random.default_rng(0), 1, 64, 2.0)
    decoder = RangeDecoder([data])
    for _ in range(count):
        assert 0 <= decoder.pull(cumulative)[0] < 64


def test_zeros_at_the_start_take_more_than_one_word() -> None:
    words = [0, 12345, 678]
    decoder = RangeDecoder([bytes(4) + struct.pack(">3I", *words)])
    cumulative = np.array([[0, *range(TOTAL - 1023, TOTAL + 1)]])
    assert decoder.pull(cumulative)[0] == 0
    assert decoder._state[0] == (TOTAL - 1023) * ((12345 << 32) + 678 >> 20) + 678


def test_damage_is_seen() -> None:
    random = np.random.default_rng(3)
    cumulative = random_tables(random, 200, 1024, 1.0)
    data = coded(cumulative, random.integers(0, 1024, 200))
    seen = 0
    for place in range(len(data)):
        decoder = RangeDecoder([data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]])
        for row in cumulative:
            decoder.pull(row[None])
        seen += not decoder.intact()[0]
    assert seen == len(data)


@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(2, 300))
def test_intervals_are_those_of_all_frequencies(seed: int, rows: int, bins: int) -> None:
    random = np.random.default_rng(seed)
    weights = np.floor(np.exp(random.normal(0, 4, (rows, bins)))) + (np.arange(bins) == 0)
    chosen = random.integers(0, bins, rows)
    cumulative = cumulative_frequencies(weights, 1 << 20)
    starts, widths = intervals(weights, chosen, 1 << 20)
    np.testing.assert_array_equal(starts, cumulative[np.arange(rows), chosen])
    np.testing.assert_array_equal(starts + widths, cumulative[np.arange(rows), chosen + 1])
    assert (widths > 0).all()


def test_the_largest_state_before_a_word_goes_out() -> None:
    """A state that is just frequency · 2**43: one step more would leave 63 bits."""
    starts, widths = np.array([0, 5, 0, 0, 0]), np.array([1, 1, 1 << 17, 1, 1])
    decoder = RangeDecoder([encode(starts, widths)])
    for start, width in zip(starts, widths, strict=True):
        assert decoder.pull(np.array([[0, start, start + width, TOTAL]]))[0] == 1
    assert decoder.intact().all()


def test_a_word_left_over_after_a_state_of_1_is_damage() -> None:
    """A state of 0, which no encoder makes, becomes 1 with a word to spare."""
    decoder = RangeDecoder([struct.pack(">B3I", 0, 0, 1, 5)])
    decoder.pull(np.array([[0, 1, TOTAL]]))
    assert not decoder.intact()[0]
