"""Models that look ahead and have no segments, as that of MusicGen, against Transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

import sonant
from sonant.audio import Audio
from sonant.codec import Codec
from sonant.codes import join
from sonant.files import join_files

RATE = 2.2

Pair = tuple[Any, Codec]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """A small model with random weights, of Transformers and as loaded from what it saved."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.EncodecConfig(
        num_filters=4,
        hidden_size=16,
        codebook_dim=16,
        upsampling_ratios=[8, 5, 4, 4],
        target_bandwidths=[RATE],
        sampling_rate=32_000,
        codebook_size=2048,
        use_causal_conv=False,
        use_conv_shortcut=False,
    )
    peer = transformers.EncodecModel(config).eval()
    for layer in peer.quantizer.layers:
        layer.codebook.embed.normal_()
    folder = tmp_path_factory.mktemp("looks_ahead")
    peer.save_pretrained(folder)
    return peer, sonant.load(folder)


def noise(length: int) -> Audio:
    return (0.1 * np.random.default_rng(length).standard_normal((1, length))).astype(np.float32)


@pytest.mark.parametrize("length", [1, 640, 641, 33_333])
def test_codes_and_audio_are_those_of_transformers(pair: Pair, length: int) -> None:
    peer, codec = pair
    wav = noise(length)
    codes = codec.encode(wav, bitrate=RATE)
    with torch.no_grad():
        theirs = peer.encode(torch.from_numpy(wav)[None], bandwidth=RATE)
        audio = peer.decode(theirs.audio_codes, theirs.audio_scales)[0][0].numpy()
    np.testing.assert_array_equal(theirs.audio_codes[0, 0], codes.values)
    np.testing.assert_allclose(codec.decode(codes), audio[:, :length], atol=1e-5)


def test_without_a_bitrate_it_is_the_nearest_to_6(pair: Pair, speech_file: Path, tmp_path: Path) -> None:
    _, codec = pair
    assert codec.encode(noise(640)).n_q == codec.config.n_q == 4
    sonant.compress(speech_file, tmp_path / "speech.ecdc", model=codec)
    with sonant.open(tmp_path / "speech.ecdc", codec) as recording:
        assert {piece.n_q for piece in recording.codes()} == {4}
    assert sonant.load("24khz").encode(np.zeros(320, np.float32)).n_q == 8


@pytest.mark.parametrize("cut", [1, 300, 640, 20_000])
def test_a_stream_gives_all_at_its_end(pair: Pair, cut: int) -> None:
    _, codec = pair
    wav = noise(33_333)
    codes, encoder, decoder = codec.encode(wav, bitrate=RATE), codec.encoder(RATE), codec.decoder()
    pieces = [encoder.push(wav[:, :cut]), encoder.push(wav[:, cut:]), encoder.finish()]
    assert [piece.frames for piece in pieces] == [0, 0, codes.frames]
    np.testing.assert_array_equal(join(pieces).values, codes.values)
    first, rest = codes.part(0, 10, 6400), codes.part(10, codes.frames, codes.length - 6400)
    parts = [decoder.push(first), decoder.push(rest), decoder.finish()]
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), codec.decode(codes))


def test_files_there_and_back(pair: Pair, tmp_path: Path) -> None:
    _, codec = pair
    source, coded, target = (tmp_path / name for name in ("a.wav", "a.ecdc", "b.wav"))
    soundfile.write(source, noise(400_000)[0], 32_000, "FLOAT")
    sonant.compress(source, coded, model=codec, bitrate=RATE)
    sonant.decompress(coded, target, model=codec)
    expected = codec.decode(codec.encode(noise(400_000), bitrate=RATE))
    np.testing.assert_allclose(soundfile.read(target)[0], expected[0], atol=2**-15)


def test_joined_files_are_decoded_one_by_one(pair: Pair, tmp_path: Path) -> None:
    _, codec = pair
    one, joined = tmp_path / "one.ecdc", tmp_path / "joined.ecdc"
    codes = codec.encode(noise(33_333), bitrate=RATE)
    sonant.write(codes, one, codec)
    join_files([one, one], joined)
    with sonant.open(joined, codec) as recording:
        audio = np.concatenate(list(recording.blocks()), axis=1)
    np.testing.assert_array_equal(audio, np.tile(codec.decode(codes), 2))
