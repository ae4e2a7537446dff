"""Which language model belongs to a codec."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from lm_files import small_tensors
from sonant.entropy.lm_store import save_language_model
from sonant.language_models import language_model


def test_a_language_model_that_was_replaced_is_read_again(tmp_path: Path) -> None:
    codec: Any = SimpleNamespace(location=tmp_path / "a.safetensors", weights_hash="12" * 32)
    models = []
    for n_q in (4, 8):
        save_language_model(tmp_path / "a.lm.safetensors", *small_tensors(n_q), codec.weights_hash)
        models += [language_model(codec), language_model(codec)]
    assert [model.n_q for model in models if model] == [4, 4, 8, 8]
    assert models[2] is models[3]
