from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
from typer.testing import CliRunner

import sonant
from conftest import Golden
from sonant.cli import app
from sonant.codec import Codec
from sonant.engine.export import export_onnx
from sonant.errors import ConfigError
from sonant.outputs import check_new_folder


def session(path: Path) -> ort.InferenceSession:
    return ort.InferenceSession(path, providers=["CPUExecutionProvider"])


def test_the_graphs_give_the_codecs_codes_and_audio(
    golden: Golden, golden_codec: Codec, tmp_path: Path
) -> None:
    export_onnx(golden.config, golden.weights, tmp_path)
    wav = golden.wav[:, :20_000]
    codes = golden_codec.encode(wav, bitrate=6.0)
    audio = wav if codes.scales is None else wav / codes.scales[0]
    latents = session(tmp_path / "encoder.onnx").run(None, {"audio": audio.T[None]})[0]
    values = session(tmp_path / f"quantizer_{codes.n_q}.onnx").run(None, {"latents": latents})[0]
    np.testing.assert_array_equal(values, codes.values)
    entries = (values + golden.config.bins * np.arange(codes.n_q)[:, None])[None]
    decoded = session(tmp_path / "decoder.onnx").run(None, {"entries": entries})[0][0].T
    decoded = decoded if codes.scales is None else decoded * codes.scales[0]
    np.testing.assert_allclose(decoded[:, :20_000], golden_codec.decode(codes), atol=1e-5)


def test_the_readme_says_what_the_graphs_leave_to_do(golden: Golden, tmp_path: Path) -> None:
    export_onnx(golden.config, golden.weights, tmp_path)
    text = (tmp_path / "README.md").read_text("utf-8")
    config = golden.config
    assert ("multiplied by it" in text) == config.normalize
    assert ("mirrors the start" in text) == (config.causal and config.pad_mode == "reflect")
    assert ("not those of the frame filled up" in text) == config.causal


def test_the_readme_says_how_segments_are_put_together(tmp_path: Path) -> None:
    """Followed with no code of ours it gives what the codec decodes."""
    codec = sonant.load("48khz")
    export_onnx(codec.config, codec.weights, tmp_path, codec.beam)
    text = (tmp_path / "README.md").read_text("utf-8")
    assert "segments of 48000 samples, one every 47520" in text
    assert "0.5 − |(n + 1) / 48001 − 0.5|" in text
    wav = np.random.default_rng(0).normal(0, 0.1, (2, 60_000)).astype(np.float32)
    codes = codec.encode(wav, bitrate=3.0)
    assert codes.scales is not None
    decoder, offsets = session(tmp_path / "decoder.onnx"), 1024 * np.arange(codes.n_q)[:, None]
    total, weights = np.zeros(wav.shape), np.zeros(wav.shape[1])
    pieces = np.split(codes.values, [150], axis=1)
    for start, values, scale in zip((0, 47_520), pieces, codes.scales, strict=True):
        audio = decoder.run(None, {"entries": (values + offsets)[None]})[0][0].T[:, : 60_000 - start]
        weight = 0.5 - abs((np.arange(audio.shape[1]) + 1) / 48_001 - 0.5)
        total[:, start : start + audio.shape[1]] += weight * scale * audio
        weights[start : start + audio.shape[1]] += weight
    np.testing.assert_allclose(total / weights, codec.decode(codes), atol=1e-5)


def test_the_quantisers_search_as_widely_as_the_codec(
    codec: Codec, speech: np.ndarray, tmp_path: Path
) -> None:
    codes = codec.encode(speech[:, :9600], bitrate=6.0)
    latents, _ = codec.engine.encode(speech[:, :9600].T[None], None, tail=True)
    export_onnx(codec.config, codec.weights, tmp_path, codec.beam)
    values = session(tmp_path / "quantizer_8.onnx").run(None, {"latents": latents})[0]
    np.testing.assert_array_equal(values, codes.values)
    assert f"a beam of {codec.beam}" in (tmp_path / "README.md").read_text()


def test_the_stream_graphs_pass_their_state_on(codec: Codec, speech: np.ndarray, tmp_path: Path) -> None:
    export_onnx(codec.config, codec.weights, tmp_path)
    encoder = session(tmp_path / "encoder_stream.onnx")
    state = {i.name: np.zeros([1, *i.shape[1:]], np.float32) for i in encoder.get_inputs()[1:]}
    parts = []
    for start in range(0, 9600, 960):
        block = speech[:, start : start + 960].T[None]
        latents, *following = encoder.run(None, {"audio": block, **state})
        state = {f"state_{k}": value for k, value in enumerate(following)}
        parts.append(latents)
    whole = session(tmp_path / "encoder.onnx").run(None, {"audio": speech[:, :9600].T[None]})[0]
    np.testing.assert_allclose(np.concatenate(parts, axis=1), whole, atol=1e-5)


@pytest.mark.parametrize("option", ["--onnx", "--transformers"])
def test_an_export_goes_into_a_new_folder(tmp_path: Path, option: str) -> None:
    (tmp_path / "README.md").write_text("notes")
    result = CliRunner().invoke(app, ["export", "24khz", option, str(tmp_path)])
    assert isinstance(result.exception, ConfigError)
    assert "is not empty; name a new folder" in str(result.exception)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["notes"]
    with pytest.raises(ConfigError, match="is a file; name a new folder"):
        check_new_folder(tmp_path / "README.md")
