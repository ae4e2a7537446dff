"""Which language model belongs to a codec."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import sonant
from lm_files import small_tensors
from sonant.codec import Codec
from sonant.entropy.lm_store import save_language_model
from sonant.errors import WeightsError
from sonant.language_models import language_model, official_language_model


def test_a_language_model_that_was_replaced_is_read_again(tmp_path: Path) -> None:
    config = SimpleNamespace(bins=1024)
    codec: Any = SimpleNamespace(location=tmp_path / "a.safetensors", weights_hash="12" * 32, config=config)
    models = []
    for n_q in (4, 8):
        save_language_model(tmp_path / "a.lm.safetensors", *small_tensors(n_q), codec.weights_hash)
        models += [language_model(codec), language_model(codec)]
    assert [model.n_q for model in models if model] == [4, 4, 8, 8]
    assert models[2] is models[3]


def test_a_language_model_of_other_codebooks_is_a_sentence(tmp_path: Path) -> None:
    config = SimpleNamespace(bins=512)
    codec: Any = SimpleNamespace(location=tmp_path / "a.safetensors", weights_hash="12" * 32, config=config)
    save_language_model(tmp_path / "a.lm.safetensors", *small_tensors(), codec.weights_hash)
    with pytest.raises(WeightsError, match="is for 1024 entries in a codebook, not 512"):
        language_model(codec)


def test_weights_from_nowhere_have_no_language_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither that of the bundled weights whose name they have, nor what lies in the current folder."""
    bundled = sonant.load()
    assert language_model(bundled) is not None
    codec = Codec(bundled.config, bundled.weights)
    assert language_model(codec) is None
    (tmp_path / "lm.safetensors").write_bytes(b"none of theirs")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(WeightsError, match="beside the weights of 24khz"):
        official_language_model(codec)
