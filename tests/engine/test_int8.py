from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto

from sonant.config import CodecConfig
from sonant.engine.backend import Backend
from sonant.engine.precision import decoder_layers, encoder_layers
from sonant.engine.runtime import Engine
from sonant.engine.seanet import decoder_graph, encoder_graph
from sonant.engine.states import Ends
from sonant.nn.codec import CodecNetwork
from sonant.nn.initialization import initialise
from sonant.nn.weights import export_weights

Audio = NDArray[np.float32]


@cache
def engines(segment: float | None = None) -> tuple[Engine, Engine]:
    """float32 and int8 of a model large enough to have products in int8."""
    norm = "none" if segment is None else "time_group_norm"
    config = CodecConfig(
        *("random", 24_000, 1, segment is None),
        n_filters=16,
        dimension=64,
        n_q=8,
        bandwidths=(),
        norm=norm,
        segment=segment,
    )
    torch.manual_seed(0)
    network = CodecNetwork(config).eval()
    initialise(network)
    network.quantizer.codebooks.normal_()
    weights = export_weights(network)
    return Engine(config, weights), Engine(config, weights, Backend(precision="int8"))


def noise(batch: int, samples: int, gain: float = 0.3) -> Audio:
    return (gain * np.random.default_rng(batch).standard_normal((batch, samples, 1))).astype(np.float32)


def decibels(wanted: Audio, got: Audio) -> float:
    return float(10 * np.log10(np.mean(wanted**2) / np.mean((wanted - got) ** 2)))


@pytest.mark.parametrize("segment", [None, 1.0])
@pytest.mark.parametrize("gain", [1e-3, 0.3])
def test_it_is_close_to_float32_however_soft_the_sound(segment: float | None, gain: float) -> None:
    reference, engine = engines(segment)
    audio = noise(1, 12_345, gain)
    latents, _ = reference.encode(audio, None, tail=True)
    got, _ = engine.encode(audio, None, tail=True)
    assert 25 < decibels(latents, got) < 60
    codes = reference.quantize(latents, 8)
    assert decibels(reference.decode(codes, None)[0], engine.decode(codes, None)[0]) > 25


def test_neighbours_in_a_batch_change_nothing() -> None:
    _, engine = engines()
    audio = noise(3, 3200) * np.array([1, 1e-3, 30], np.float32)[:, None, None]
    together, states = engine.encode(audio, None, tail=False)
    codes = engine.quantize(together, 8)
    decoded, _ = engine.decode(codes, None)
    for k in range(3):
        alone, state = engine.encode(audio[k : k + 1], None, tail=False)
        np.testing.assert_array_equal(together[k : k + 1], alone)
        for got, wanted in zip(states, state, strict=True):
            np.testing.assert_array_equal(got[k : k + 1], wanted)
        np.testing.assert_array_equal(decoded[k : k + 1], engine.decode(codes[k : k + 1], None)[0])


@settings(max_examples=20)
@given(cuts=st.lists(st.integers(1, 7), min_size=1, max_size=4), gain=st.sampled_from([1e-3, 0.3, 30]))
def test_blocks_of_any_size_change_nothing(cuts: list[int], gain: float) -> None:
    _, engine = engines()
    hop = engine.config.hop_length
    frames = sum(cuts)
    audio = noise(1, frames * hop, gain)
    whole, _ = engine.encode(audio, engine.encoder_start, tail=False)
    codes = engine.quantize(whole, 8)
    decoded, _ = engine.decode(codes, engine.decoder_start)
    state, decoder_state, start = engine.encoder_start, engine.decoder_start, 0
    for cut in cuts:
        stop = start + cut
        latents, state = engine.encode(audio[:, start * hop : stop * hop], state, tail=False)
        np.testing.assert_array_equal(latents, whole[:, start:stop])
        part, decoder_state = engine.decode(codes[:, :, start:stop], decoder_state)
        np.testing.assert_array_equal(part, decoded[:, start * hop : stop * hop])
        start = stop


def test_the_layers_beside_the_codebooks_are_exact() -> None:
    """Late codebooks code what is smaller than the rounding of 8 bits."""
    _, engine = engines()
    config, weights = engine.config, engine._weights
    start = Ends(stream=False, tail=False)
    encoder = encoder_graph(config, weights, start, layers=encoder_layers(config, weights, "int8"))
    decoder = decoder_graph(config, weights, start, layers=decoder_layers(config, weights, "int8"))
    types = {c.name: c.data_type for graph in (encoder, decoder) for c in graph.graph.initializer}
    assert types["encoder.10.w"] == types["decoder.0.w"] == TensorProto.FLOAT
    assert types["decoder.2.w"] == TensorProto.INT8
