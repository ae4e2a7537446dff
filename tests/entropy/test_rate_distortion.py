"""The search for codes: with nothing to weigh it finds the nearest, else fewer bits or less error."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sonant
from conftest import AUDIO
from lm_files import small_model
from sonant.audio import Audio, read_audio
from sonant.codec import Codec
from sonant.codes import Codes, join
from sonant.entropy.integer_lm import IntegerLanguageModel
from sonant.entropy.lm_coder import encode_chunk
from sonant.entropy.lm_store import load_language_model
from sonant.entropy.range_coder import TOTAL
from sonant.entropy.rate_distortion import RateDistortionSearch
from sonant.errors import ConfigError
from sonant.evaluation.metrics import METRICS
from sonant.files import compress

N_Q = 8


@pytest.fixture(scope="module")
def nearest(codec: Codec, speech: Audio) -> Codes:
    stream = codec.encoder(6.0, latents=True, beam=1)
    return join([stream.push(speech), stream.finish()])


def searched(codec: Codec, lm: IntegerLanguageModel, nearest: Codes, strength: float, beam: int = 4):
    search = RateDistortionSearch(lm, codec.weights["codebooks"], strength, beam)
    return search(nearest.values, nearest.latents)


def error(codec: Codec, nearest: Codes, values: np.ndarray) -> float:
    found = codec.weights["codebooks"][np.arange(len(values))[:, None], values].sum(axis=0)
    return float(np.square(nearest.latents - found).sum(axis=1).mean())


def test_one_beginning_and_no_price_gives_the_nearest_entries(
    codec: Codec, lm: IntegerLanguageModel, nearest: Codes
) -> None:
    assert np.mean(searched(codec, lm, nearest, 0.0, beam=1) == nearest.values) > 0.999


def test_more_beginnings_lessen_the_error(codec: Codec, lm: IntegerLanguageModel, nearest: Codes) -> None:
    errors = [error(codec, nearest, searched(codec, lm, nearest, 0.0, beam)) for beam in (1, 2, 4)]
    assert errors == sorted(errors, reverse=True)
    assert errors[2] < 0.95 * errors[0]


def test_strength_trades_error_for_bits(codec: Codec, lm: IntegerLanguageModel, nearest: Codes) -> None:
    found = [searched(codec, lm, nearest, strength) for strength in (0.0, 0.3, 1.0)]
    sizes = [len(encode_chunk(lm, values)) for values in found]
    errors = [error(codec, nearest, values) for values in found]
    assert sizes == sorted(sizes, reverse=True)
    assert errors == sorted(errors)
    assert sizes[1] < 0.95 * len(encode_chunk(lm, nearest.values))


def test_books_that_the_model_does_not_predict_are_searched_for_too(codec: Codec, nearest: Codes) -> None:
    errors = []
    for lm in (small_model(5), small_model(N_Q)):
        found = searched(codec, lm, nearest.part(0, 90, 90 * 320), 0.0)
        errors.append(error(codec, nearest.part(0, 90, 90 * 320), found))
    assert errors[0] == pytest.approx(errors[1], rel=1e-6)


def test_a_language_model_without_conditions_will_do(codec: Codec, nearest: Codes) -> None:
    search = RateDistortionSearch(small_model(conditioned=False), codec.weights["codebooks"], 0.5)
    assert search(nearest.values[:, :20], nearest.latents[:20]).shape == (N_Q, 20)


def test_files_are_smaller_and_no_worse_than_of_nearest_entries(codec: Codec, tmp_path: Path) -> None:
    all_sizes = []
    for source in sorted(AUDIO.glob("*.flac")):
        reference = read_audio(source, 24_000, 1)[0]
        sizes, scores = [], []
        for settings in ({"rdo": 0.0, "beam": 1}, {}):
            file = tmp_path / f"{source.stem}{len(settings)}.ecdc"
            compress(source, file, model=codec, **settings)
            with sonant.open(file) as recording:
                assert recording.length == reference.shape[1]
                decoded = recording.read(60)
            sizes.append(file.stat().st_size)
            scores.append(METRICS["si_snr"].measure(reference, decoded, 24_000))
        assert sizes[1] < sizes[0] and scores[1] > scores[0]
        all_sizes.append(sizes)
    nearest, searched = np.sum(all_sizes, axis=0)
    assert len(all_sizes) == 4 and searched < 0.95 * nearest


def test_without_it_a_file_holds_the_codes_of_the_codec(
    codec: Codec, speech_file: Path, tmp_path: Path
) -> None:
    file = tmp_path / "a.ecdc"
    compress(speech_file, file, model=codec, rdo=0)
    wav, _ = read_audio(speech_file, 24_000, 1)
    with sonant.open(file) as recording:
        np.testing.assert_allclose(recording.read(60), codec.decode(codec.encode(wav)), atol=1e-5)


@pytest.mark.parametrize("settings", [{"lm": False}, {"version": 0}])
def test_where_no_language_model_codes_there_is_no_search(
    codec: Codec, speech_file: Path, tmp_path: Path, settings: dict[str, Any]
) -> None:
    with pytest.raises(ConfigError, match="rdo needs a language model"):
        compress(speech_file, tmp_path / "a.ecdc", model=codec, rdo=0.3, **settings)
    files = [tmp_path / "b.ecdc", tmp_path / "c.ecdc"]
    for file, rdo in zip(files, (None, 0.0), strict=True):
        compress(speech_file, file, model=codec, rdo=rdo, **settings)
    assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.parametrize("rdo", [-0.1, 1.5, float("nan")])
def test_what_is_no_share_is_refused(codec: Codec, speech_file: Path, tmp_path: Path, rdo: float) -> None:
    with pytest.raises(ConfigError, match="from 0 to 1"):
        compress(speech_file, tmp_path / "a.ecdc", model=codec, rdo=rdo)


BOOKS, BINS = 3, 4
LM = Path("tests/data/lm/small.lm.safetensors")


class Tables:
    """A language model of tables: what a code costs hangs on the codes before it in its step."""

    n_q = BOOKS

    def __init__(self, seed: int) -> None:
        self.tables = (
            np.random.default_rng(seed).normal(0, 2, (BOOKS, BINS**BOOKS, BINS)).astype(np.float32)
        )

    def before_steps(self, values: np.ndarray) -> np.ndarray:
        return np.zeros((values.shape[1], 1), np.int64)

    def logits(self, before: np.ndarray, book: int) -> np.ndarray:
        return self.tables[book][before[:, 0]].copy()

    def with_code(self, before: np.ndarray, book: int, codes: np.ndarray) -> np.ndarray:
        return BINS * before + codes[:, None] + 1

    def nats(self, codes: tuple[int, ...]) -> float:
        total, before = 0.0, np.zeros((1, 1), np.int64)
        for book, code in enumerate(codes):
            logits = self.logits(before, book)[0].astype(float)
            total += np.log(np.exp(logits).sum()) - logits[code]
            before = self.with_code(before, book, np.array([code]))
        return total


@pytest.mark.parametrize("strength", [0.0, 0.3, 1.0])
def test_the_search_is_that_of_the_formula_by_hand(strength: float) -> None:
    """The best 3 beginnings by ‖x − Σe‖² + λ · nats, λ being strength · ‖x − nearest‖² / log(bins)."""
    random = np.random.default_rng(1)
    books = random.normal(0, 1, (BOOKS, BINS, 4)).astype(np.float32)
    latents = random.normal(0, 1, (40, 4)).astype(np.float32)
    nearest, rest = np.empty((BOOKS, 40), np.int16), latents.copy()
    for k in range(BOOKS):
        nearest[k] = np.square(rest[:, None] - books[k]).sum(2).argmin(1)
        rest -= books[k][nearest[k]]
    lm = Tables(2)
    found = RateDistortionSearch(lm, books, strength, 3)(nearest, latents)  # type: ignore[arg-type]
    for x, left, codes in zip(latents, rest, found.T, strict=True):
        price = strength * np.square(left).sum() / np.log(BINS)

        def cost(codes: tuple[int, ...], x: np.ndarray = x, price: float = price) -> float:
            error = x - sum(books[k][code] for k, code in enumerate(codes))
            return float(np.square(error).sum() + price * lm.nats(codes))

        beginnings: list[tuple[int, ...]] = [()]
        for _ in range(BOOKS):
            beginnings = sorted(((*b, c) for b in beginnings for c in range(BINS)), key=cost)[:3]
        assert cost(tuple(codes.tolist())) == pytest.approx(cost(beginnings[0]), abs=1e-4)


def test_logits_are_the_logarithms_of_the_frequencies() -> None:
    lm = load_language_model(LM)
    before = lm.before_steps(np.random.default_rng(0).integers(0, 200, (4, 20)).astype(np.int16))
    logits = lm.logits(before, 0).astype(float)
    nats = (
        np.log(np.exp(logits - logits.max(1, keepdims=True)).sum(1, keepdims=True))
        + logits.max(1, keepdims=True)
        - logits
    )
    widths = np.diff(lm.cumulative(before, 0)) / TOTAL
    often = widths > 2e-4
    assert often.sum() > 100
    np.testing.assert_allclose(nats[often], -np.log(widths[often]), atol=0.1)
