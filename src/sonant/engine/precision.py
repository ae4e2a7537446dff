"""The layers of a precision: float32 is the reference, int8 takes its ranges from fixed signals."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
from numpy.typing import NDArray

from sonant.config import CodecConfig
from sonant.engine.backend import Precision
from sonant.engine.graph import GraphBuilder
from sonant.engine.int8 import Int8LayerBuilder
from sonant.engine.layers import LayerBuilder
from sonant.engine.seanet import Layers, frames_of_audio
from sonant.engine.sessions import session_of
from sonant.engine.states import START
from sonant.engine.weights import Weights

FRAMES = 25
ROOM = 1.5
ENCODER_ZERO, DECODER_ZERO = 64, 96


def encoder_layers(config: CodecConfig, weights: Weights, precision: Precision) -> Layers:
    """Of an encoder; in int8 its LSTM has room for white noise at full scale."""
    if precision == "float32":
        return LayerBuilder
    build = LayerBuilder(GraphBuilder("range"), config, weights, START)
    size = (1, FRAMES * config.hop_length, config.channels)
    noise = np.random.default_rng(0).uniform(-1, 1, size).astype(np.float32)
    return _int8(build, frames_of_audio(build), {"audio": noise}, ENCODER_ZERO)


def decoder_layers(config: CodecConfig, weights: Weights, precision: Precision) -> Layers:
    """Of a decoder; in int8 its LSTM has room for random codes."""
    if precision == "float32":
        return LayerBuilder
    build = LayerBuilder(GraphBuilder("range"), config, weights, START)
    codes = np.random.default_rng(0).integers(0, config.bins, (config.n_q, FRAMES))
    vectors = weights["codebooks"][np.arange(config.n_q)[:, None], codes].sum(axis=0)
    x = build.graph.input("vectors", ["batch", "frames", config.dimension])
    return _int8(build, build.conv(x, "decoder.0"), {"vectors": vectors[None]}, DECODER_ZERO)


def _int8(build: LayerBuilder, x: str, signal: dict[str, NDArray[np.generic]], zero: int) -> Layers:
    """Layers whose LSTM takes a power of two over the largest magnitude that `x` has for a signal."""
    g = build.graph
    g.output(g.op("ReduceMax", g.op("Abs", x), keepdims=0), "largest", [])
    largest = float(session_of(g.build()).run(None, signal)[0])
    return partial(
        Int8LayerBuilder, lstm_range=2.0 ** math.ceil(math.log2(ROOM * largest + 1e-20)), zero=zero
    )
