"""Version 0 files against those that the official tool wrote."""

import io
import json
import struct
import sys
from pathlib import Path
from types import ModuleType
from unittest.mock import MagicMock

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from lm_files import MONO, STEREO
from sonant.codes import Codes
from sonant.config import CodecConfig
from sonant.container import version0
from sonant.container.probe import probe
from sonant.container.streams import Reader
from sonant.entropy.float_lm import FloatLanguageModel, load_float_lm
from sonant.errors import ConfigError, FormatError, WeightsError
from sonant.nn.language_model import from_official

DATA = Path(__file__).parents[1] / "data"
FILES = [("24khz", 3), ("24khz", 6), ("48khz", 3), ("48khz", 6)]


class DrippingPipe(io.RawIOBase):
    """A stream that gives at most three bytes at a time."""

    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)

    def read(self, size: int = -1) -> bytes:
        return self._file.read(min(size, 3))


def header_of(stream: Reader) -> version0.Header:
    header = probe(stream)[0]
    assert isinstance(header, version0.Header)
    return header


def read_all(
    stream: Reader, header: version0.Header, config: CodecConfig, lm: version0.StepModel | None = None
) -> Codes:
    """All that follows the header, as one recording."""
    blocks = list(version0.read_blocks(stream, header, config, lm))
    values = [np.zeros((header.n_q, 0), np.int16), *(block.values for block in blocks)]
    scales = [np.zeros(0, np.float32), *(block.scales for block in blocks if block.scales is not None)]
    joined = np.concatenate(scales) if config.normalize else None
    return Codes(np.concatenate(values, axis=1), header.length, joined)


def config_of(model: str) -> CodecConfig:
    values = json.loads((DATA / model / "config.json").read_text())
    values.pop("lm")
    values["bandwidths"] = values.pop("target_bandwidths")
    return CodecConfig.from_dict({"name": f"encodec_{model}", **values})


def golden_codes(model: str, kbps: int) -> Codes:
    config, expected = config_of(model), load_file(DATA / model / "expected.safetensors")
    length = expected["wav"].shape[1]
    parts = range(len(config.segments(length)))
    values = np.concatenate([expected[f"codes.{kbps}.{i}"] for i in parts], axis=1)
    if not config.normalize:
        return Codes(values, length)
    return Codes(values, length, np.concatenate([expected[f"scale.{kbps}.{i}"] for i in parts]))


def language_model(model: str) -> FloatLanguageModel:
    return load_float_lm(DATA / model / "lm.safetensors", config_of(model))


def golden_file(model: str, kbps: int, lm: bool) -> bytes:
    return (DATA / model / f"clip_{kbps}kbps{'_lm' if lm else ''}.ecdc").read_bytes()


def read(data: bytes, model: str, lm: bool) -> Codes:
    stream = DrippingPipe(data)
    header = header_of(stream)
    return read_all(stream, header, config_of(model), language_model(model) if lm else None)


def assert_equal(codes: Codes, expected: Codes) -> None:
    np.testing.assert_array_equal(codes.values, expected.values)
    assert codes.length == expected.length
    if expected.scales is None:
        assert codes.scales is None
    else:
        np.testing.assert_array_equal(codes.scales, expected.scales)


def written(model: str, kbps: int, lm: bool) -> bytes:
    out, network = io.BytesIO(), language_model(model) if lm else None
    version0.write(out, config_of(model), golden_codes(model, kbps), f"encodec_{model}", network)
    return out.getvalue()


@pytest.mark.parametrize(("model", "kbps"), FILES)
def test_golden_file_decodes_from_a_pipe(model: str, kbps: int) -> None:
    assert_equal(read(golden_file(model, kbps, False), model, False), golden_codes(model, kbps))


@pytest.mark.parametrize(("model", "kbps"), FILES)
def test_writes_the_bytes_of_the_official_tool(model: str, kbps: int) -> None:
    assert written(model, kbps, False) == golden_file(model, kbps, False)


def golden_probabilities(model: str) -> tuple[np.ndarray, np.ndarray]:
    """What the float model gives here for the golden codes, and what it gave to the official tool."""
    tensors = {k: torch.from_numpy(v) for k, v in load_file(DATA / model / "lm.safetensors").items()}
    network = from_official(tensors, model, int(3.5 * config_of(model).frame_rate))
    codes = torch.from_numpy(golden_codes(model, 6).values[None, :4, :10].astype(np.int64))
    with torch.no_grad():
        logits, _ = network(1 + codes)
    here = logits.permute(0, 3, 2, 1).softmax(1)[0].numpy()
    return here, load_file(DATA / model / "expected.safetensors")["lm_probabilities"]


@pytest.mark.parametrize("model", ["24khz", "48khz"])
def test_probabilities_are_the_official_ones(model: str) -> None:
    np.testing.assert_allclose(*golden_probabilities(model), atol=2e-8)


@pytest.mark.parametrize(("model", "kbps"), FILES)
def test_lm_file_round_trip_at_the_official_size(model: str, kbps: int) -> None:
    data, golden = written(model, kbps, True), golden_file(model, kbps, True)
    assert_equal(read(data, model, True), golden_codes(model, kbps))
    header = 65
    assert data[:header] == golden[:header]
    assert abs(len(data) - len(golden)) <= 2


@pytest.mark.parametrize(("model", "kbps"), FILES)
def test_golden_lm_file(model: str, kbps: int) -> None:
    """Exact only where floats come out as on the machine that wrote the files: hence version 1."""
    if not np.array_equal(*golden_probabilities(model)):
        pytest.skip("the float language model is not bit-equal on this machine")
    assert_equal(read(golden_file(model, kbps, True), model, True), golden_codes(model, kbps))


@pytest.fixture
def official(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The official package, without the parts of torchaudio that it names and these tests do not use."""
    for name in ("torchaudio", "torchaudio.transforms"):
        monkeypatch.setitem(sys.modules, name, MagicMock())
    return pytest.importorskip("encodec")


@pytest.mark.parametrize("model", ["24khz", "48khz"])
def test_the_official_coder_makes_the_same_bytes_here(model: str, official: ModuleType) -> None:
    from encodec.model import LMModel
    from encodec.quantization.ac import ArithmeticCoder, build_stable_quantized_cdf

    config, codes, out = config_of(model), golden_codes(model, 6), io.BytesIO()
    lm = LMModel(config.n_q, 1024, num_layers=2, dim=24, past_context=int(3.5 * config.frame_rate)).eval()
    lm.load_state_dict(
        {k: torch.from_numpy(v) for k, v in load_file(DATA / model / "lm.safetensors").items()}
    )
    values = torch.from_numpy(codes.values.astype(np.int64))[None]
    version0_header = golden_file(model, 6, True)[:65]
    out.write(version0_header)
    first = 0
    for index, (_, samples) in enumerate(config.segments(codes.length)):
        if codes.scales is not None:
            out.write(struct.pack("!f", codes.scales[index]))
        coder, state, offset = ArithmeticCoder(out), None, 0
        previous = torch.zeros(1, config.n_q, 1, dtype=torch.long)
        for t in range(first, first + config.frames_for(samples)):
            with torch.no_grad():
                probabilities, state, offset = lm(previous, state, offset)
            previous = 1 + values[:, :, t : t + 1]
            for k in range(config.n_q):
                cdf = build_stable_quantized_cdf(probabilities[0, :, k, 0], 24, check=False)
                coder.push(int(values[0, k, t]), cdf)
        coder.flush()
        first += config.frames_for(samples)
    assert written(model, 6, True) == out.getvalue()


@given(cut=st.integers(0, 570))
@settings(max_examples=60)
def test_every_cut_is_a_sentence(cut: int) -> None:
    with pytest.raises(FormatError, match="cut off" if cut else "is empty"):
        read(golden_file("24khz", 3, False)[:cut], "24khz", False)


@pytest.mark.parametrize("cut", [0, 1, 50, 200, 470])
def test_a_cut_lm_file_is_a_sentence(cut: int) -> None:
    with pytest.raises(FormatError, match="cut off" if cut else "is empty"):
        read(written("24khz", 3, True)[:cut], "24khz", True)


@given(st.binary(max_size=200))
@settings(max_examples=200)
def test_any_bytes_are_codes_or_a_sentence(data: bytes) -> None:
    for prefix in (b"", b"ECDC\0", golden_file("24khz", 3, False)[:64]):
        try:
            read(prefix + data, "24khz", False)
        except FormatError as error:
            assert str(error)


def file_with(metadata: bytes) -> bytes:
    return struct.pack("!4sBI", b"ECDC", 0, len(metadata)) + metadata


@pytest.mark.parametrize(
    "metadata",
    [
        b"[" * 60_000,
        b"{}",
        b"[]",
        b"\xff",
        b'{"m": "x", "al": -1, "nc": 4, "lm": false}',
        b'{"m": "x", "al": true, "nc": 4, "lm": false}',
        b'{"m": "x", "al": 1e999, "nc": 4, "lm": false}',
        b'{"m": "x", "al": 99, "nc": 0, "lm": false}',
        b'{"m": "x", "al": 99, "nc": 4, "lm": 0}',
    ],
)
def test_nonsense_headers(metadata: bytes) -> None:
    with pytest.raises(FormatError):
        header_of(io.BytesIO(file_with(metadata)))


@pytest.mark.parametrize("nc", [9, 60_000])
def test_more_codebooks_than_the_model(nc: int) -> None:
    data = file_with(b'{"m": "x", "al": 99, "nc": %d, "lm": false}' % nc)
    with pytest.raises(FormatError, match="codebooks"):
        read(data, "24khz", False)


def test_a_boundless_length_reserves_no_memory() -> None:
    data = file_with(b'{"m": "x", "al": 4000000000000000000, "nc": 4, "lm": false}')
    for model in ("24khz", "48khz"):
        with pytest.raises(FormatError, match="cut off"):
            read(data + bytes(10_000), model, False)


def test_lm_file_without_its_model() -> None:
    with pytest.raises(FormatError, match="language model"):
        read(golden_file("24khz", 3, True), "24khz", False)


def test_weights_of_something_else() -> None:
    with pytest.raises(WeightsError):
        load_float_lm(DATA / "24khz" / "model.safetensors", config_of("24khz"))


@given(st.integers(1, 4), st.integers(0, 30_000), st.randoms(use_true_random=False))
@settings(max_examples=30)
def test_round_trip_of_any_length(n_q: int, length: int, random) -> None:
    config = config_of("48khz")
    frames = sum(config.frames_for(samples) for _, samples in config.segments(length))
    source = np.random.default_rng(random.getrandbits(32))
    codes = Codes(
        source.integers(0, 1024, (n_q, frames), np.int16),
        length,
        source.random(len(config.segments(length)), np.float32),
    )
    out = io.BytesIO()
    version0.write(out, config, codes, "encodec_48khz")
    again = read(out.getvalue(), "48khz", False)
    np.testing.assert_array_equal(again.values, codes.values)
    np.testing.assert_array_equal(again.scales, codes.scales)
    assert again.length == length


@pytest.mark.parametrize("volume", [np.nan, np.inf, 1e38, -1.0])
def test_a_volume_that_cannot_be(volume: float) -> None:
    config = config_of("48khz")
    codes = Codes(np.zeros((2, config.frames_for(640)), np.int16), 640, np.array([volume], np.float32))
    out = io.BytesIO()
    version0.write(out, config, codes, "encodec_48khz")
    source = io.BytesIO(out.getvalue())
    with pytest.raises(FormatError, match="not a number"):
        read_all(source, header_of(source), config)


def test_a_language_model_of_fewer_codebooks() -> None:
    class Small:
        n_q = 1

    header = version0.Header("encodec_24khz", 320, 2, True)
    with pytest.raises(FormatError, match="language model has 1"):
        read_all(io.BytesIO(bytes(99)), header, config_of("24khz"), Small())  # type: ignore[arg-type]
    codes = Codes(np.zeros((2, 1), np.int16), 320)
    with pytest.raises(ConfigError, match="language model has 1"):
        version0.write(io.BytesIO(), config_of("24khz"), codes, "encodec_24khz", Small())  # type: ignore[arg-type]


@pytest.mark.parametrize("length", [1, 320, 512 * 320 + 7, 47_520 * 2 + 100])
@pytest.mark.parametrize("config", [MONO, STEREO])
def test_blocks_add_up_to_the_length(config: CodecConfig, length: int) -> None:
    segments = config.segments(length)
    frames = sum(config.frames_for(samples) for _, samples in segments)
    scales = np.ones(len(segments), np.float32) if config.normalize else None
    out = io.BytesIO()
    version0.write(out, config, Codes(np.zeros((2, frames), np.int16), length, scales), config.name)
    out.seek(0)
    blocks = version0.read_blocks(out, header_of(out), config)
    assert sum(block.length for block in blocks) == length
