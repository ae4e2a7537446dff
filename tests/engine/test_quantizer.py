"""The search for codes: nearest entries, nearest sums, and what lies between."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import sonant
from sonant.config import CodecConfig
from sonant.engine.quantizer import quantizer_graph
from sonant.engine.sessions import session_of
from sonant.errors import ConfigError
from sonant.nn.quantizer import ResidualVectorQuantizer
from sonant.streams import finish_all, push_all

STAGES, BINS, DIMENSION = 3, 8, 5
CONFIG = CodecConfig("small", 24_000, dimension=DIMENSION, n_q=STAGES, bins=BINS, bandwidths=())
BOOKS = np.random.default_rng(0).standard_normal((STAGES, BINS, DIMENSION)).astype(np.float32)
BOOKS /= np.arange(1, STAGES + 1)[:, None, None]
LATENTS = np.random.default_rng(1).standard_normal((2, 40, DIMENSION)).astype(np.float32)


def searched(beam: int, latents: NDArray[np.float32] = LATENTS) -> NDArray[np.int64]:
    graph = quantizer_graph(CONFIG, {"codebooks": BOOKS}, STAGES, beam)
    return session_of(graph).run(None, {"latents": latents})[0]


def errors(codes: NDArray[np.int64]) -> NDArray[np.float32]:
    sums = BOOKS[np.arange(STAGES)[:, None], codes].sum(axis=0)
    return np.square(LATENTS.reshape(-1, DIMENSION) - sums).sum(axis=1)


def test_a_beam_of_one_takes_the_nearest_entry_of_each_stage():
    residual = LATENTS.reshape(-1, DIMENSION).copy()
    for book, codes in zip(BOOKS, searched(1), strict=True):
        nearest = np.square(residual[:, None] - book).sum(axis=2).argmin(axis=1)
        np.testing.assert_array_equal(codes, nearest)
        residual -= book[nearest]


def test_a_beam_of_all_beginnings_finds_the_nearest_sum():
    every = np.array(list(product(range(BINS), repeat=STAGES)))
    sums = BOOKS[np.arange(STAGES), every].sum(axis=1)
    best = np.square(LATENTS.reshape(-1, 1, DIMENSION) - sums).sum(axis=2).argmin(axis=1)
    np.testing.assert_array_equal(searched(BINS**2), every[best].T)


def test_a_wider_search_is_nearer():
    means = [errors(searched(beam)).mean() for beam in (1, 2, 4, 64)]
    assert means == sorted(means, reverse=True)
    assert means[2] < 0.95 * means[0]


@pytest.mark.parametrize("beam", [1, 2, 4, 64])
def test_training_searches_as_coding_does(beam):
    quantizer = ResidualVectorQuantizer(DIMENSION, STAGES, BINS)
    quantizer.adopt_codebooks(torch.from_numpy(BOOKS), 100)
    codes = quantizer.encode(torch.from_numpy(LATENTS), STAGES, beam)
    np.testing.assert_array_equal(codes.transpose(0, 1).flatten(1), searched(beam))


def test_vectors_are_searched_for_one_by_one():
    alone = [searched(4, LATENTS[:1, k : k + 1]) for k in range(LATENTS.shape[1])]
    np.testing.assert_array_equal(np.concatenate(alone, axis=1), searched(4, LATENTS[:1]))


def test_streams_of_several_bitrates_run_together_as_alone(speech):
    codec = sonant.load()
    wavs = [speech[:, start : start + 10_000] for start in (0, 5_000, 20_000)]
    bitrates = (3.0, 6.0, 6.0)
    together = [codec.encoder(bitrate) for bitrate in bitrates]
    parts = zip(push_all(together, wavs), finish_all(together), strict=True)
    for (first, rest), wav, bitrate in zip(parts, wavs, bitrates, strict=True):
        alone = codec.encode(wav, bitrate=bitrate).values
        np.testing.assert_array_equal(np.concatenate([first.values, rest.values], axis=1), alone)


def test_weights_that_others_read_give_the_codes_that_others_get(golden):
    assert sonant.load().beam == 4
    assert sonant.load(beam=2).beam == 2
    assert sonant.load(golden.folder / "model.safetensors").beam == 1


def test_a_search_keeps_something():
    with pytest.raises(ConfigError, match="at least 1"):
        sonant.load(beam=0)
    with pytest.raises(ConfigError, match="at least 1"):
        sonant.load().encoder(beam=0)
