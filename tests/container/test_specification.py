"""docs/format.md says enough: a reader written from it alone reads what Sonant writes."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

import specified_reader
from lm_files import MONO, random_codes, small_tensors
from sonant.codes import Codes
from sonant.container.version1 import Header
from sonant.container.writer import FileWriter
from sonant.entropy.integer_lm import IntegerLanguageModel
from sonant.entropy.lm_store import load_language_model, save_language_model

MODEL = Path(__file__).parents[1] / "data" / "lm" / "small.lm.safetensors"


def written(codes: Codes, lm: IntegerLanguageModel | None) -> bytes:
    out = io.BytesIO()
    header = Header("mono", "0" * 16, 24_000, 1, 320, lm.digest[:16] if lm else None)
    writer = FileWriter(out, MONO, header, lm, 0.8)
    writer.write(codes)
    writer.finish()
    return out.getvalue()


@pytest.fixture(params=["golden", "with step_feed_forward"])
def model_file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param == "golden":
        return MODEL
    path = tmp_path / "lm.safetensors"
    save_language_model(path, *small_tensors(4, step_feed_forward=16), "12" * 32)
    return path


@pytest.mark.parametrize("n_q", [2, 4, 7])
def test_a_reader_written_from_the_document(n_q: int, model_file: Path) -> None:
    codes, lm = random_codes(MONO, n_q, 320 * 100 + 7), load_language_model(model_file)
    with safe_open(model_file, framework="np") as file:
        config = json.loads(file.metadata()["sonant.language_model"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    values, chunks = specified_reader.chunks(written(codes, lm))
    assert values["sr"] == 24_000 and values["lm"] == lm.digest[:16] and len(chunks) == 2
    assert [chunk[4] for chunk in chunks] == [1, 1]
    parts = [
        specified_reader.decoded(payload, frames, books, config, tensors)
        for _, _, frames, books, _, payload in chunks
    ]
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), codes.values)
    assert sum(chunk[1] for chunk in chunks) == codes.length


def test_packed_codes_as_the_document_has_them() -> None:
    codes = random_codes(MONO, 4, 320 * 100 + 7)
    _, chunks = specified_reader.chunks(written(codes, None))
    parts = [
        specified_reader.unpacked(payload, frames, books) for _, _, frames, books, _, payload in chunks
    ]
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), codes.values)
