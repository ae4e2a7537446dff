"""The networks: streams equal whole sequences, and both golden models and 🤗 Transformers agree."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from sonant.config import CodecConfig
from sonant.models.layouts import from_official, from_transformers, to_official, to_transformers
from sonant.nn.codec import CodecNetwork
from sonant.nn.initialization import initialise
from sonant.nn.weights import export_weights, load_weights

GOLDEN = Path(__file__).parents[1] / "data"
SMALL = {"dimension": 16, "n_filters": 4, "n_q": 4, "bandwidths": (1.5, 3.0)}


def golden_config(name: str) -> CodecConfig:
    values = json.loads((GOLDEN / name / "config.json").read_text())
    del values["lm"]
    values["bandwidths"] = values.pop("target_bandwidths")
    return CodecConfig.from_dict({"name": name, **values})


def golden_network(name: str) -> tuple[CodecNetwork, dict[str, np.ndarray]]:
    config = golden_config(name)
    network = CodecNetwork(config).eval()
    load_weights(network, from_official(load_file(GOLDEN / name / "model.safetensors"), config))
    return network, load_file(GOLDEN / name / "expected.safetensors")


def small_network(**changes) -> CodecNetwork:
    torch.manual_seed(0)
    network = CodecNetwork(CodecConfig(name="small", sample_rate=24000, **{**SMALL, **changes})).eval()
    initialise(network)
    return network


def test_24khz_golden_latents_codes_and_audio():
    network, expected = golden_network("24khz")
    wav = torch.from_numpy(expected["wav"]).T[None]
    with torch.no_grad():
        latents = network.encoder(wav)[0].T.numpy()
        assert np.abs(latents - expected["embedding"]).max() < 1e-5
        for rate, n_q in (("1.5", 2), ("3", 4), ("6", 8)):
            codes = network.encode(wav, n_q)
            np.testing.assert_array_equal(codes[0].numpy(), expected[f"codes.{rate}.0"])
            decoded = network.decode(codes)[0, : wav.shape[1]].T.numpy()
            assert np.abs(decoded - expected[f"decoded.{rate}"]).max() < 1e-5


def test_48khz_golden_codes_scales_and_audio():
    network, expected = golden_network("48khz")
    config, wav = network.config, torch.from_numpy(expected["wav"]).T[None]
    for rate, n_q in (("3", 2), ("6", 4)):
        for number, start in enumerate(range(0, wav.shape[1], config.segment_stride)):
            segment = wav[:, start : start + config.segment_length]
            scale = segment.mean(2).square().mean().sqrt() + 1e-8
            with torch.no_grad():
                codes = network.encode(segment / scale, n_q)
                decoded = network.decode(codes)[0, : segment.shape[1]].T.numpy() * scale.item()
            assert abs(scale.item() - expected[f"scale.{rate}.{number}"].item()) < 1e-6
            np.testing.assert_array_equal(codes[0].numpy(), expected[f"codes.{rate}.{number}"])
            if number == 0:
                alone = config.segment_stride
                assert np.abs(decoded[:, :alone] - expected[f"decoded.{rate}"][:, :alone]).max() < 1e-5


@settings(max_examples=15)
@given(cuts=st.lists(st.integers(1, 7), min_size=1, max_size=5), units=st.integers(1, 2))
def test_a_stream_equals_the_whole_however_it_is_cut(cuts, units):
    network = small_network(n_residual_layers=units)
    audio = torch.randn(1, sum(cuts) * 320, 1) * 0.3
    with torch.no_grad():
        latents = network.encoder(audio)
        decoded = network.decoder(latents)
        encoder_state, decoder_state = network.encoder.initial_state(1), network.decoder.initial_state(1)
        parts, heard, place = [], [], 0
        for cut in cuts:
            block = audio[:, place * 320 : (place + cut) * 320]
            y, encoder_state = network.encoder.step(block, encoder_state)
            z, decoder_state = network.decoder.step(y, decoder_state)
            parts.append(y)
            heard.append(z)
            place += cut
    torch.testing.assert_close(torch.cat(parts, 1), latents, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(torch.cat(heard, 1), decoded, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("changes", [{}, {"lstm_layers": 0}, {"true_skip": True, "n_residual_layers": 3}])
def test_every_sample_in_gives_one_out_and_only_the_past_is_heard(changes):
    network = small_network(**changes)
    audio = torch.randn(2, 5 * 320 + 17, 1) * 0.3
    with torch.no_grad():
        decoded, _ = network(audio, 0)
        later = audio.clone()
        later[:, 3 * 320 :] = 0
        changed, _ = network(later, 0)
    assert decoded.shape == audio.shape
    torch.testing.assert_close(changed[:, : 3 * 320], decoded[:, : 3 * 320])
    assert not torch.allclose(changed[:, 3 * 320 :], decoded[:, 3 * 320 :])


def test_initialisation_keeps_the_signal_alive():
    network = small_network(n_filters=16, dimension=128, norm="none")
    audio = torch.randn(1, 24000, 1) * 0.1
    with torch.no_grad():
        latents = network.encoder(audio)
        decoded = network.decoder(latents)
    assert 0.03 < (decoded.std() / audio.std()).item() < 10


@pytest.mark.parametrize("name", ["24khz", "48khz"])
def test_layout_round_trips(name):
    config = golden_config(name)
    weights = from_official(load_file(GOLDEN / name / "model.safetensors"), config)
    for there, back in ((to_official, from_official), (to_transformers, from_transformers)):
        again = back(there(weights, config), config)
        assert again.keys() == weights.keys()
        for key, value in weights.items():
            np.testing.assert_allclose(again[key], value, rtol=1e-6, atol=1e-7)
    network = CodecNetwork(config)
    load_weights(network, weights)
    exported = export_weights(network)
    assert exported.keys() == weights.keys()
    for key, value in weights.items():
        np.testing.assert_allclose(exported[key], value, rtol=1e-5, atol=1e-6)


def full_size(name: str) -> tuple[CodecConfig, dict]:
    if name == "24khz":
        return CodecConfig(name=name, sample_rate=24000, pad_mode="reflect"), {}
    config = CodecConfig(
        name=name,
        sample_rate=48000,
        channels=2,
        causal=False,
        pad_mode="reflect",
        norm="time_group_norm",
        n_q=16,
        bandwidths=(3.0, 6.0, 12.0, 24.0),
        normalize=True,
        segment=1.0,
    )
    theirs = {
        "target_bandwidths": [3.0, 6.0, 12.0, 24.0],
        "sampling_rate": 48000,
        "audio_channels": 2,
        "use_causal_conv": False,
        "norm_type": "time_group_norm",
        "normalize": True,
        "chunk_length_s": 1.0,
        "overlap": 0.01,
    }
    return config, theirs


@pytest.mark.parametrize("name", ["24khz", "48khz"])
def test_full_size_parity_with_transformers(name):
    transformers = pytest.importorskip("transformers")
    config, theirs = full_size(name)
    torch.manual_seed(0)
    peer = transformers.EncodecModel(transformers.EncodecConfig(**theirs)).eval()
    for layer in peer.quantizer.layers:
        layer.codebook.embed.normal_(std=0.3)
    network = CodecNetwork(config).eval()
    tensors = {key: value.numpy() for key, value in peer.state_dict().items()}
    load_weights(network, from_transformers(tensors, config))
    audio = torch.randn(1, 6000, config.channels) * 0.3
    with torch.no_grad():
        latents = network.encoder(audio)
        expected = peer.encoder(audio.transpose(1, 2))
        codes = network.quantizer.encode(latents, 8)
        expected_codes = peer.quantizer.encode(expected, config.bitrate_of(8)).transpose(0, 1)
        decoded = network.decode(codes)
        expected_audio = peer.decoder(peer.quantizer.decode(expected_codes.transpose(0, 1)))
    torch.testing.assert_close(latents.transpose(1, 2), expected, rtol=1e-4, atol=1e-5)
    assert (codes == expected_codes).float().mean() >= 0.999
    torch.testing.assert_close(decoded.transpose(1, 2), expected_audio, rtol=1e-3, atol=1e-4)


def test_samples_are_not_rounded_under_autocast():
    latents = torch.randn(2, 20, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        decoded = small_network().decoder(latents)
    assert (decoded != decoded.bfloat16()).float().mean() > 0.9
