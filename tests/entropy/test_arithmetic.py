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
@settings(max_examples=30)
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


def test_more_bits_than_are_held_at_once() -> None:
    """Bits leave the encoder 8,192 at a time, in whole bytes."""
    random = np.random.default_rng(3)
    cumulative = cumulative_ranges(random.dirichlet(np.full(50, 0.1), 3000).astype(np.float32))
    symbols = random.integers(0, 50, 3000).tolist()
    coder = ArithmeticEncoder()
    for symbol, row in zip(symbols, cumulative, strict=True):
        coder.push(symbol, row)
    source = iter(coder.finish())
    decoder = ArithmeticDecoder(lambda: next(source))
    assert [decoder.pull(row) for row in cumulative] == symbols
    assert not list(source)


def test_bits_between_two_shares_are_a_sentence() -> None:
    """Shares of 1 and 3 of an interval 1.5 · 2**24 wide end at 0 and start at 2: nothing is coded as 1."""
    source = iter(b"\0\0\0\1")
    coder = ArithmeticDecoder(lambda: next(source))
    assert coder.pull(np.array([3 << 22, 1 << 24])) == 0
    with pytest.raises(FormatError, match="damaged"):
        coder.pull(np.array([1, 4, 1 << 24]))
