"""Files of models with segments decode to what their codes do, wherever the recording ends."""

import io

import numpy as np
import pytest
import torch

import sonant
from sonant.codec import Codec
from sonant.config import CodecConfig
from sonant.container import version0
from sonant.nn.codec import CodecNetwork
from sonant.nn.initialization import initialise
from sonant.nn.weights import export_weights

SIZES = {
    "dimension": 8,
    "n_filters": 4,
    "ratios": (4, 4),
    "n_q": 2,
    "bins": 64,
    "bandwidths": (),
    "causal": False,
    "pad_mode": "reflect",
    "norm": "time_group_norm",
}
RATE = 8_000


def random_codec(**sizes) -> Codec:
    torch.manual_seed(0)
    network = CodecNetwork(CodecConfig("small", RATE, **{**SIZES, **sizes}))
    initialise(network)
    network.quantizer.codebooks.normal_()
    return Codec(network.config, export_weights(network))


def codes_of(codec: Codec, length: int) -> sonant.Codes:
    config, random = codec.config, np.random.default_rng(length)
    segments = config.segments(length)
    frames = sum(config.frames_for(samples) for _, samples in segments)
    scales = random.uniform(0.5, 2, len(segments)).astype(np.float32) if config.normalize else None
    return sonant.Codes(random.integers(0, 64, (2, frames)).astype(np.int16), length, scales)


def read(data: io.BytesIO, codec: Codec) -> np.ndarray:
    data.seek(0)
    with sonant.open(data, codec) as recording:
        audio = np.concatenate(list(recording.blocks()), axis=1)
        assert not recording.damages
    return audio


@pytest.mark.parametrize(("overlap", "normalize"), [(0.1, True), (0.6, False)])
def test_recordings_that_end_anywhere(overlap: float, normalize: bool) -> None:
    codec = random_codec(segment=0.1, overlap=overlap, normalize=normalize)
    stride = codec.config.segment_stride
    assert stride
    for length in range(2 * stride - 20, 3 * stride + 20, 7):
        codes = codes_of(codec, length)
        audio = codec.decode(codes)
        for chunk in (0.001, 0.1, 0.25, 5.0):
            file = io.BytesIO()
            sonant.write(codes, file, codec, chunk=chunk)
            np.testing.assert_allclose(read(file, codec), audio, atol=1e-5)
        file = io.BytesIO()
        version0.write(file, codec.config, codes, codec.name)
        np.testing.assert_allclose(read(file, codec), audio, atol=1e-5)


@pytest.mark.parametrize("length", [9_600, 16_000, 17_000])
def test_version_0_files_of_long_segments(length: int) -> None:
    codec = random_codec(segment=1.2)
    assert codec.config.frames_for(9_600) > version0.BLOCK_FRAMES
    codes, file = codes_of(codec, length), io.BytesIO()
    version0.write(file, codec.config, codes, codec.name)
    np.testing.assert_allclose(read(file, codec), codec.decode(codes), atol=1e-5)
