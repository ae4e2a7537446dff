"""The language model that ships with the bundled codec: it belongs to it, saves bits, and never changes."""

import hashlib

import numpy as np
import pytest

from sonant.audio import Audio
from sonant.codec import Codec
from sonant.entropy.integer_lm import IntegerLanguageModel
from sonant.entropy.lm_coder import decode_chunks, encode_chunk


@pytest.mark.parametrize("bitrate", [3.0, 6.0])
def test_it_saves_a_quarter_of_real_speech(
    codec: Codec, lm: IntegerLanguageModel, speech: Audio, bitrate: float
) -> None:
    values = codec.encode(speech, bitrate=bitrate).values
    payload = encode_chunk(lm, values)
    assert len(payload) * 8 < 0.75 * 10 * values.size
    decoded, intact = decode_chunks(lm, [payload], *values.shape)
    np.testing.assert_array_equal(decoded[0], values)
    assert intact.all()


def test_its_bytes_are_the_same_for_ever(lm: IntegerLanguageModel) -> None:
    """On any machine; a new model has a new hash, and files name the one they need."""
    step = np.arange(8 * 100, dtype=np.int64).reshape(8, 100)
    codes = (step * step * 31 + step * 7) % 1009
    digest = hashlib.sha256(encode_chunk(lm, codes.astype(np.int16))).hexdigest()
    assert (lm.digest[:16], digest[:16]) == ("d50170b1aeb751db", "1b87db9d28a2a6f6")
