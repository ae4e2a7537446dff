"""The search for codes: with nothing to weigh it finds the nearest, else fewer bits or less error."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sonant
from lm_files import small_model
from sonant.audio import Audio, read_audio
from sonant.codec import Codec
from sonant.codes import Codes, join
from sonant.entropy.integer_lm import IntegerLanguageModel
from sonant.entropy.lm_coder import encode_chunk
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


def test_a_language_model_without_conditions_will_do(codec: Codec, nearest: Codes) -> None:
    search = RateDistortionSearch(small_model(conditioned=False), codec.weights["codebooks"], 0.5)
    assert search(nearest.values[:, :20], nearest.latents[:20]).shape == (N_Q, 20)


def test_files_are_smaller_and_no_worse_than_of_nearest_entries(
    codec: Codec, speech_file: Path, tmp_path: Path
) -> None:
    reference = read_audio(speech_file, 24_000, 1)[0]
    sizes, scores = [], []
    for settings in ({"rdo": 0.0, "beam": 1}, {}):
        file = tmp_path / f"{len(settings)}.ecdc"
        compress(speech_file, file, model=codec, **settings)
        with sonant.open(file) as recording:
            assert recording.length == reference.shape[1]
            decoded = recording.read(60)
        sizes.append(file.stat().st_size)
        scores.append(METRICS["si_snr"].measure(reference, decoded, 24_000))
    assert sizes[1] < 0.95 * sizes[0]
    assert scores[1] > scores[0]


def test_without_it_a_file_holds_the_codes_of_the_codec(
    codec: Codec, speech_file: Path, tmp_path: Path
) -> None:
    file = tmp_path / "a.ecdc"
    compress(speech_file, file, model=codec, rdo=0)
    wav, _ = read_audio(speech_file, 24_000, 1)
    with sonant.open(file) as recording:
        np.testing.assert_allclose(recording.read(60), codec.decode(codec.encode(wav)), atol=1e-5)


@pytest.mark.parametrize("settings", [{"lm": False}, {"bitrate": 24.0}, {"version": 0}])
def test_where_no_language_model_codes_there_is_no_search(
    codec: Codec, speech_file: Path, tmp_path: Path, settings: dict[str, Any]
) -> None:
    with pytest.raises(ConfigError, match="leave out --rdo"):
        compress(speech_file, tmp_path / "a.ecdc", model=codec, rdo=0.3, **settings)
    files = [tmp_path / "b.ecdc", tmp_path / "c.ecdc"]
    for file, rdo in zip(files, (None, 0.0), strict=True):
        compress(speech_file, file, model=codec, rdo=rdo, **settings)
    assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.parametrize("rdo", [-0.1, 1.5, float("nan")])
def test_what_is_no_share_is_refused(codec: Codec, speech_file: Path, tmp_path: Path, rdo: float) -> None:
    with pytest.raises(ConfigError, match="from 0 to 1"):
        compress(speech_file, tmp_path / "a.ecdc", model=codec, rdo=rdo)
