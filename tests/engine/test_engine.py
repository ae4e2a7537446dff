from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import load_golden
from sonant.config import CodecConfig
from sonant.engine.runtime import Engine
from sonant.models.layouts import Weights
from sonant.nn.codec import CodecNetwork
from sonant.nn.initialization import initialise
from sonant.nn.weights import export_weights, load_weights


def network_of(config: CodecConfig, weights: Weights) -> CodecNetwork:
    network = CodecNetwork(config).eval()
    load_weights(network, weights)
    return network


def random_model(seed: int = 0, **sizes: object) -> tuple[CodecNetwork, Engine]:
    torch.manual_seed(seed)
    values = {"n_filters": 4, "dimension": 16, "n_q": 4, "bins": 64, "bandwidths": (), "norm": "none"}
    config = CodecConfig("random", 24_000, **{**values, **sizes})  # type: ignore[arg-type]
    network = CodecNetwork(config).eval()
    initialise(network)
    network.quantizer.codebooks.normal_()
    return network, Engine(config, export_weights(network))


def assert_same_as_torch(network: CodecNetwork, engine: Engine, samples: int, seed: int = 0) -> None:
    audio = np.random.default_rng(seed).standard_normal((1, samples, network.config.channels))
    audio = (0.3 * audio).astype(np.float32)
    with torch.no_grad():
        expected = network.encoder(torch.from_numpy(audio)).numpy()
        latents, _ = engine.encode(audio, None, tail=True)
        np.testing.assert_allclose(latents, expected, atol=1e-5)
        codes = engine.quantize(latents, 4).astype(np.int64)
        np.testing.assert_array_equal(codes, network.quantizer.encode(torch.from_numpy(latents), 4).numpy())
        decoded, _ = engine.decode(codes, None)
        np.testing.assert_allclose(decoded, network.decode(torch.from_numpy(codes)).numpy(), atol=1e-5)


GOLDEN = {name: load_golden(name) for name in ("24khz", "48khz")}
PAIRS = {n: (network_of(g.config, g.weights), Engine(g.config, g.weights)) for n, g in GOLDEN.items()}


@pytest.mark.parametrize("name", ["24khz", "48khz"])
@settings(max_examples=25)
@given(samples=st.one_of(st.integers(1, 700), st.integers(701, 6_000)))
def test_any_length_gives_what_pytorch_gives(name: str, samples: int) -> None:
    assert_same_as_torch(*PAIRS[name], samples)


@pytest.mark.parametrize(
    "sizes",
    [
        {"pad_mode": "reflect"},
        {"ratios": (5, 3), "kernel_size": 5, "last_kernel_size": 3},
        {"n_residual_layers": 3, "lstm_layers": 0},
        {"true_skip": True, "compress": 4, "lstm_layers": 1},
        {"channels": 2, "residual_kernel_size": 5, "norm": "weight_norm"},
        {"causal": False, "segment": 1.0},
        {"causal": False, "segment": 1.0, "pad_mode": "reflect", "norm": "time_group_norm"},
        {"norm": "time_group_norm", "segment": 1.0, "ratios": (4, 2)},
        {"ratios": (4, 1)},
        {"causal": False, "segment": 1.0, "ratios": (1, 4), "pad_mode": "reflect"},
        {"causal": False, "segment": 1.0, "ratios": (4, 1), "norm": "time_group_norm"},
        {"n_filters": 32, "dimension": 64},
    ],
)
@pytest.mark.parametrize("samples", [1, 77, 960, 1283])
def test_every_architecture_gives_what_pytorch_gives(sizes: dict[str, object], samples: int) -> None:
    assert_same_as_torch(*random_model(**sizes), samples)


def test_golden_latents_codes_and_audio() -> None:
    golden, engine = GOLDEN["24khz"], PAIRS["24khz"][1]
    audio = np.ascontiguousarray(golden.wav.T[None])
    latents, _ = engine.encode(audio, None, tail=True)
    np.testing.assert_allclose(latents[0].T, golden.expected["embedding"], atol=1e-5)
    codes = engine.quantize(latents, 8)[0]
    np.testing.assert_array_equal(codes, golden.codes(6.0))
    decoded, _ = engine.decode(codes[None].astype(np.int64), None)
    wanted = golden.expected["decoded.6"]
    np.testing.assert_allclose(decoded[0].T[:, : wanted.shape[1]], wanted, atol=1e-5)


def test_a_batch_gives_what_its_members_give() -> None:
    _, engine = random_model()
    audio = (0.3 * np.random.default_rng(1).standard_normal((3, 3200, 1))).astype(np.float32)
    together, _ = engine.encode(audio, None, tail=True)
    for member, latents in zip(audio, together, strict=True):
        np.testing.assert_allclose(engine.encode(member[None], None, tail=True)[0][0], latents, atol=1e-6)


def test_the_state_is_a_value() -> None:
    """Running a block twice from one state gives the same twice."""
    _, engine = random_model()
    audio = (0.3 * np.random.default_rng(1).standard_normal((1, 640, 1))).astype(np.float32)
    _, state = engine.encode(audio, engine.encoder_start, tail=False)
    before = [array.copy() for array in state]
    first, _ = engine.encode(audio, state, tail=False)
    second, _ = engine.encode(audio, state, tail=False)
    np.testing.assert_array_equal(first, second)
    for array, kept in zip(state, before, strict=True):
        np.testing.assert_array_equal(array, kept)
