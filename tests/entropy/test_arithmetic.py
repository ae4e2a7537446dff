"""The arithmetic coder of version 0 against the bytes of the official one."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from sonant.entropy.arithmetic import ArithmeticDecoder, ArithmeticEncoder, cumulative_ranges
from sonant.errors import FormatError

GOLDEN = load_file(Path(__file__).parents[1] / "data/training/arithmetic_coder.safetensors")


def encode(symbols: np.ndarray, cumulative: np.ndarray) -> bytes:
    coder = ArithmeticEncoder()
    for symbol, row in zip(symbols.tolist(), cumulative, strict=True):
        coder.push(symbol, row)
    return coder.finish()


def decode(data: bytes, cumulative: np.ndarray) -> list[int]:
    source = iter(data)
    coder = ArithmeticDecoder(lambda: next(source))
    return [coder.pull(row) for row in cumulative]


def test_shares_are_the_official_ones() -> None:
    np.testing.assert_array_equal(cumulative_ranges(GOLDEN["pdf"]), GOLDEN["cdf"])


def test_bytes_are_the_official_ones() -> None:
    cumulative = GOLDEN["cdf"].astype(np.int64)
    assert encode(GOLDEN["symbols"], cumulative) == GOLDEN["bytes"].tobytes()
    assert decode(GOLDEN["bytes"].tobytes(), cumulative) == GOLDEN["symbols"].tolist()


@given(st.integers(0, 2**32 - 1), st.integers(1, 400), st.floats(0, 20))
@example(1, 141, 16.5).via("a probability of 0.9999998, whose share was rounded up beyond 2**24")
@settings(max_examples=30, deadline=None)
def test_round_trip_takes_every_byte_and_no_more(seed: int, count: int, peak: float) -> None:
    random = np.random.default_rng(seed)
    logits = random.standard_normal((count, 64)) * peak
    pdf = np.exp(logits - logits.max(1, keepdims=True))
    cumulative = cumulative_ranges((pdf / pdf.sum(1, keepdims=True)).astype(np.float32))
    symbols = random.integers(0, 64, count)
    data = encode(symbols, cumulative)
    source = iter(data)
    coder = ArithmeticDecoder(lambda: next(source))
    assert [coder.pull(row) for row in cumulative] == symbols.tolist()
    assert len(list(source)) == 0


def test_senseless_bits_are_a_sentence() -> None:
    cumulative = np.full((50, 4), 16, np.int64).cumsum(1)
    with pytest.raises(FormatError, match="damaged"):
        decode(b"\xff" * 300, cumulative)
