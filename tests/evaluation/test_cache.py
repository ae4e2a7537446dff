from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sonant.evaluation.cache import Cache
from sonant.evaluation.codecs.base import Payload


@settings(max_examples=10)
@given(
    channels=st.integers(1, 2),
    samples=st.integers(1, 6),
    payload=st.builds(Payload, st.binary(max_size=9), st.integers(0, 80)),
)
def test_decoded_audio_is_there_whole_or_not_at_all(channels: int, samples: int, payload: Payload) -> None:
    audio = np.arange(channels * samples, dtype=np.float32).reshape(channels, samples)
    with TemporaryDirectory() as folder:
        cache = Cache(Path(folder))
        assert cache.decoded("key") is None
        cache.add_decoded("key", audio, payload)
        found = cache.decoded("key")
        assert found is not None
        np.testing.assert_array_equal(found[0], audio)
        assert found[1] == payload
        (path,) = Path(folder).rglob("*.bin")
        whole = path.read_bytes()
        for size in range(len(whole)):
            path.write_bytes(whole[:size])
            assert cache.decoded("key") is None, size
        path.write_bytes(whole + bytes(4 * channels))
        assert cache.decoded("key") is None


def test_on_a_full_disk_nothing_is_kept_and_nothing_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    cache = Cache(tmp_path)
    monkeypatch.setattr(Path, "write_bytes", full)
    cache.add_decoded("key", np.zeros((1, 2), np.float32), Payload(b"x", 8))
    cache.add_scores("key", {"mel": 1.0})
    assert cache.decoded("key") is None
    assert cache.scores("key") == {}
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
