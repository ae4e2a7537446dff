import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sonant.entropy.packing import BLOCK, pack, pack_codes, packed_size, unpack, unpack_codes


@given(st.integers(1, 15), st.integers(0, 300), st.integers(0, 2**32 - 1))
def test_least_significant_bit_first(bits: int, count: int, seed: int) -> None:
    values = np.random.default_rng(seed).integers(0, 1 << bits, count, np.int16)
    number = sum(int(v) << bits * i for i, v in enumerate(values))
    data = pack(values, bits)
    assert data == number.to_bytes(packed_size(count, bits), "little")
    np.testing.assert_array_equal(unpack(data, count, bits), values)


def test_more_than_a_block() -> None:
    values = np.random.default_rng(0).integers(0, 1024, 2 * BLOCK + 5, np.int16)
    data = pack(values, 10)
    assert len(data) == packed_size(len(values), 10)
    np.testing.assert_array_equal(unpack(data, len(values), 10), values)


def test_codes_go_frame_by_frame() -> None:
    codes = np.arange(12, dtype=np.int16).reshape(3, 4)
    data = pack_codes(codes, 8)
    assert list(data) == [0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11]
    np.testing.assert_array_equal(unpack_codes(data, 3, 4, 8), codes)
    assert pack_codes(codes[:0], 8) == b"" and unpack_codes(b"", 0, 4, 8).shape == (0, 4)
