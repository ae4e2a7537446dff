from __future__ import annotations

import errno
import hashlib
import json
import os
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from safetensors.numpy import load_file, save_file

import sonant
from conftest import DATA, Golden
from sonant.codec import Codec
from sonant.config import CodecConfig
from sonant.errors import ConfigError, SonantError, WeightsError
from sonant.files import compress, decompress
from sonant.language_models import language_model
from sonant.models import layouts, registry, store
from sonant.models.export import export_transformers
from sonant.models.layouts import _fold, _norm_and_direction, convolutions
from sonant.models.official import (
    ENCODEC_24KHZ,
    ENCODEC_48KHZ,
    config_from_transformers,
    config_to_transformers,
)
from sonant.models.registry import bundled_models, known_config, load_model
from sonant.models.shapes import check_weights, tensor_shapes


def assert_same_weights(got: layouts.Weights, wanted: layouts.Weights) -> None:
    assert set(got) == set(wanted)
    for name, array in wanted.items():
        np.testing.assert_allclose(got[name], array, atol=1e-6, err_msg=name)


def test_layouts_there_and_back(golden: Golden) -> None:
    config, weights = golden.config, golden.weights
    assert_same_weights(layouts.from_official(layouts.to_official(weights, config), config), weights)
    assert_same_weights(
        layouts.from_transformers(layouts.to_transformers(weights, config), config), weights
    )


@pytest.mark.parametrize("config", [ENCODEC_24KHZ, ENCODEC_48KHZ])
def test_configs_there_and_back(config: CodecConfig) -> None:
    assert CodecConfig.from_json(config.to_json()) == config
    assert config_from_transformers(config_to_transformers(config), config.name) == config


def test_facts_of_the_published_models() -> None:
    assert [ENCODEC_24KHZ.codebooks_for(b) for b in ENCODEC_24KHZ.bandwidths] == [2, 4, 8, 16, 32]
    assert [ENCODEC_48KHZ.codebooks_for(b) for b in ENCODEC_48KHZ.bandwidths] == [2, 4, 8, 16]
    assert (ENCODEC_24KHZ.hop_length, ENCODEC_24KHZ.frame_rate) == (320, 75)
    assert (ENCODEC_48KHZ.segment_length, ENCODEC_48KHZ.segment_stride) == (48_000, 47_520)
    assert ENCODEC_48KHZ.segments(48_000) == [(0, 48_000), (47_520, 480)]


def test_impossible_configs_are_sentences() -> None:
    for change in (
        {"bins": 1000},
        {"norm": "batch"},
        {"norm": "time_group_norm"},
        {"n_q": 4},
        {"pad_mode": "wrap"},
        {"normalize": True},
        {"bandwidths": (0.5, 6.0)},
        {"bandwidths": (6.0, float("inf"))},
        {"bandwidths": (6.0, float("nan"))},
        {"bandwidths": (1e308,)},
        {"sample_rate": 0},
        {"channels": 0},
        {"n_filters": 2.5},
        {"compress": 0},
        {"lstm_layers": -1},
        {"ratios": ()},
        {"ratios": (8, 0)},
        {"bins": 1, "bandwidths": ()},
        {"bins": 1 << 16, "bandwidths": ()},
        {"overlap": float("nan")},
        {"overlap": -0.5},
        {"segment": 0.0},
        {"segment": float("inf")},
        {"segment": 10**400},
        {"sample_rate": 10**400},
        {"ratios": (1 << 24,) * 60},
        {"compress": 64},
        {"dilation_base": 10**9, "n_residual_layers": 2},
        {"n_residual_layers": 10**9},
        {"name": None},
    ):
        with pytest.raises(ConfigError):
            replace(ENCODEC_24KHZ, **change)
    with pytest.raises(ConfigError, match="trim_right_ratio of 1"):
        config_from_transformers({"sampling_rate": 24_000, "trim_right_ratio": 0.5}, "a")
    with pytest.raises(ConfigError, match="unknown key"):
        CodecConfig.from_dict({"name": "a", "sample_rate": 1, "colour": "blue"})
    for text in ("{", "[]", "null", "[" * 100_000):
        with pytest.raises(ConfigError):
            CodecConfig.from_json(text)


def test_official_files_load_by_path(golden: Golden, tmp_path: Path) -> None:
    """Safetensors and `.th`, with the config read off the names and shapes."""
    tensors = load_file(golden.folder / "model.safetensors")
    checkpoint = tmp_path / "encodec_small.th"
    torch.save({key: torch.from_numpy(value) for key, value in tensors.items()}, checkpoint)
    for path in (golden.folder / "model.safetensors", checkpoint):
        codec = sonant.load(path)
        codes = codec.encode(golden.wav, bitrate=6.0)
        np.testing.assert_array_equal(codes.values, golden.codes(6.0))


def test_a_checkpoint_with_code_in_it_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.th"
    torch.save({"encoder": print}, path)
    with pytest.raises(WeightsError, match="cannot read the checkpoint"):
        sonant.load(path)


def test_a_checkpoint_with_another_checksum_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "encodec_24khz-d7cc33bc.th"
    torch.save({"a": torch.zeros(1)}, path)
    with pytest.raises(WeightsError, match="wrong checksum"):
        sonant.load(path)


@pytest.mark.parametrize("name", ["mymodel-20261128", "mymodel-facade00", "encodec_24khz-20261128"])
def test_a_date_in_a_name_is_no_checksum(golden: Golden, tmp_path: Path, name: str) -> None:
    tensors = load_file(golden.folder / "model.safetensors")
    torch.save({key: torch.from_numpy(value) for key, value in tensors.items()}, tmp_path / f"{name}.th")
    assert sonant.load(tmp_path / f"{name}.th").name == name


def test_a_checkpoint_that_is_named_by_its_checksum_has_a_name(golden: Golden, tmp_path: Path) -> None:
    data = (golden.folder / "model.safetensors").read_bytes()
    name = hashlib.sha256(data).hexdigest()
    (tmp_path / f"{name}.safetensors").write_bytes(data)
    assert sonant.load(tmp_path / f"{name}.safetensors").name == name


def test_exports_load_in_transformers(golden: Golden, golden_codec: Codec, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    export_transformers(golden.config, golden.weights, tmp_path)
    assert_same_weights(load_model(str(tmp_path))[1], golden.weights)
    peer = transformers.EncodecModel.from_pretrained(tmp_path).eval()
    processor = transformers.AutoProcessor.from_pretrained(tmp_path)
    assert (processor.sampling_rate, processor.chunk_length_s) == (
        golden.config.sample_rate,
        golden.config.segment,
    )
    if golden.config.segment:
        wav = golden.wav[:, :24_000]
        scale = golden_codec.encode(wav, bitrate=6.0).scales
        assert scale is not None
        ready = wav / scale[0]
    else:
        wav = ready = golden.wav
    codes = golden_codec.encode(wav, bitrate=6.0)
    with torch.no_grad():
        latents = peer.encoder(torch.from_numpy(ready)[None])
        theirs = peer.quantizer.encode(latents, 6.0)[:, 0]
        audio = peer.decoder(peer.quantizer.decode(theirs[:, None]))[0].numpy()
    np.testing.assert_array_equal(theirs.numpy(), codes.values)
    ours = golden_codec.decode(codes) / (codes.scales[0] if codes.scales is not None else 1)
    np.testing.assert_allclose(ours, audio[:, : ours.shape[1]], atol=1e-4)


def test_the_bundled_model_loads_in_transformers(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    codec = sonant.load(beam=1)
    export_transformers(codec.config, codec.weights, tmp_path)
    peer = transformers.EncodecModel.from_pretrained(tmp_path).eval()
    wav = (0.1 * np.random.default_rng(0).standard_normal((1, 5000))).astype(np.float32)
    with torch.no_grad():
        theirs = peer.encode(torch.from_numpy(wav)[None], bandwidth=6.0).audio_codes[0, 0].numpy()
    assert np.count_nonzero(theirs != codec.encode(wav).values) <= 1


def test_weights_files_keep_weights_and_config(golden: Golden, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    store.save_weights(path, golden.weights, golden.config)
    weights, config = store.load_weights(path)
    assert config == golden.config
    for name, array in golden.weights.items():
        np.testing.assert_allclose(weights[name], array, rtol=1e-3, atol=1e-6)
    assert len(store.weights_hash(path)) == 64
    assert [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]


def test_bad_weights_are_sentences(tmp_path: Path) -> None:
    for content in (b"", b"nonsense", b"\xff" * 100):
        path = tmp_path / "a.safetensors"
        path.write_bytes(content)
        with pytest.raises(WeightsError, match=r"a\.safetensors: cannot read"):
            sonant.load(path)
    save_file({"a": np.zeros(1, np.float32)}, path)
    with pytest.raises(WeightsError, match="no codec that is known"):
        sonant.load(path)
    tensors = load_file(DATA / "24khz" / "model.safetensors")
    del tensors["decoder.model.15.conv.conv.bias"]
    save_file(tensors, path)
    with pytest.raises(WeightsError, match=r"lack decoder\.model\.15"):
        sonant.load(path)
    with pytest.raises(WeightsError, match="known are 24khz"):
        sonant.load("25khz")
    (tmp_path / "config.json").write_text(json.dumps({}))
    with pytest.raises(WeightsError, match=r"holds no model\.safetensors"):
        sonant.load(tmp_path)


def test_weights_that_cannot_be_opened_are_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model.safetensors").mkdir()
    with pytest.raises(WeightsError, match=r"model\.safetensors: cannot be read \(Is a directory\)"):
        sonant.load(tmp_path)

    def refuse(path: Path) -> str:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(store, "weights_hash", refuse)
    with pytest.raises(WeightsError, match=r"24khz\.safetensors: cannot be read \(Permission denied\)"):
        sonant.load()


def test_offline_is_a_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import huggingface_hub
    from huggingface_hub.errors import LocalEntryNotFoundError

    def refuse(*_: object, **__: object) -> str:
        raise LocalEntryNotFoundError("offline")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", refuse)
    with pytest.raises(WeightsError, match="hub cannot be reached"):
        sonant.load("facebook/encodec_24khz")


def test_bundled_models_are_known() -> None:
    assert "24khz" in [path.stem for path in bundled_models()]
    for path in bundled_models():
        config = known_config(path.stem)
        assert config.name == path.stem
        assert path.with_suffix(".md").exists(), "every bundled model has a card"


def test_models_of_the_hub_are_called_as_there_and_not_after_a_folder(
    golden: Golden, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = tmp_path / "snapshots" / "c1dbe2ae3f1d"
    export_transformers(golden.config, golden.weights, snapshot)
    monkeypatch.setattr(registry, "download", lambda repository: snapshot)
    names = [sonant.load(name).name for name in ("encodec_24khz", "facebook/encodec_24khz", "some/model")]
    assert names == ["encodec_24khz", "encodec_24khz", "some/model"]


def test_a_folder_of_a_bundled_name_does_not_hide_its_language_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "24khz").mkdir()
    monkeypatch.chdir(tmp_path)
    assert language_model(sonant.load("24khz"))


def test_a_file_fetches_no_model_and_opens_none(
    golden: Golden, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "custom.safetensors"
    store.save_weights(path, golden.weights, replace(golden.config, name="some/model"))
    wav = tmp_path / "a.wav"
    soundfile.write(wav, golden.wav.T[:24_000], golden.config.sample_rate)
    compress(wav, tmp_path / "a.ecdc", model=path)
    monkeypatch.setattr(registry, "download", lambda repository: pytest.fail("fetched"))
    with pytest.raises(WeightsError, match="some/model, which has to be given with -m"):
        decompress(tmp_path / "a.ecdc", tmp_path / "b.wav")
    decompress(tmp_path / "a.ecdc", tmp_path / "b.wav", model=path)


def test_a_channel_of_zeros_stays_one() -> None:

    weight = np.zeros((2, 3, 4), np.float32)
    weight[1] = 0.5
    np.testing.assert_allclose(_fold(*_norm_and_direction(weight)), weight)


def test_without_an_lstm_the_layers_after_it_come_one_earlier() -> None:

    names = [layer.official for layer in convolutions(CodecConfig("a", 24_000, lstm_layers=0))]
    assert "encoder.model.14.conv.conv" in names
    assert "decoder.model.2.convtr.convtr" in names
    assert names[-1] == "decoder.model.14.conv.conv"


def test_shortcuts_are_convolutions_unless_a_config_says_otherwise() -> None:

    config = config_from_transformers({"sampling_rate": 24_000}, "a")
    assert not config.true_skip


def test_a_hyphen_in_a_name_is_no_checksum(tmp_path: Path) -> None:

    torch.save({"a": torch.zeros(1)}, tmp_path / "my-model.th")
    with pytest.raises(WeightsError, match="no codec that is known"):
        sonant.load(tmp_path / "my-model.th")


def test_models_are_called_by_their_whole_names(golden: Golden, tmp_path: Path) -> None:
    weights = golden.folder / "model.safetensors"
    digest = store.weights_hash(weights)[:8]
    for file, name in (
        ("my-model.v2.safetensors", "my-model.v2"),
        (f"my-model.v2-{digest}.safetensors", "my-model.v2"),
        ("my-model.v3/model.safetensors", "my-model.v3"),
    ):
        path = tmp_path / file
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(weights.read_bytes())
        assert sonant.load(path).name == name
    export_transformers(golden.config, golden.weights, tmp_path / "my-model.v4")
    names = [sonant.load(tmp_path / f"my-model.{version}").name for version in ("v3", "v4")]
    assert names == ["my-model.v3", "my-model.v4"]


def test_weights_of_other_shapes_than_the_config_are_a_sentence(golden: Golden, tmp_path: Path) -> None:
    assert dict(tensor_shapes(golden.config)) == {k: v.shape for k, v in golden.weights.items()}
    for name, weight in golden.weights.items():
        for changed, words in (
            ({name: weight[:-1]}, f"{name} has the shape"),
            ({name: np.full_like(weight, np.nan)}, f"{name} is not finite"),
            ({}, f"the weights lack {name};"),
        ):
            others = {k: v for k, v in golden.weights.items() if k != name}
            with pytest.raises(WeightsError, match=re.escape(words)):
                check_weights(others | changed, golden.config)
    store.save_weights(tmp_path / "a.safetensors", golden.weights, replace(golden.config, n_filters=32))
    with pytest.raises(WeightsError, match=r"a\.safetensors: encoder\.0\.weight has the shape"):
        sonant.load(tmp_path / "a.safetensors")


def test_what_a_config_of_transformers_lacks_is_as_there() -> None:
    assert replace(config_from_transformers({}, "encodec_24khz"), name="a") == replace(
        ENCODEC_24KHZ, name="a"
    )


@pytest.mark.parametrize(
    "text", ["[]", '{"target_bandwidths": []}', '{"sampling_rate": 0}', "{", "[" * 100_000]
)
def test_a_nonsense_config_of_transformers_is_a_sentence(golden: Golden, tmp_path: Path, text: str) -> None:
    export_transformers(golden.config, golden.weights, tmp_path)
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(WeightsError, match=r"config\.json"):
        sonant.load(tmp_path)


@pytest.mark.parametrize("claim", [{"target_bandwidths": [1e7]}, {"num_lstm_layers": 10**7}])
def test_a_config_that_claims_more_than_the_weights_have_takes_no_time(
    golden: Golden, tmp_path: Path, claim: dict[str, object]
) -> None:
    export_transformers(golden.config, golden.weights, tmp_path)
    file = tmp_path / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | claim))
    with pytest.raises(WeightsError, match=r"the weights lack (en|de|quantizer)[a-z.]*layers\."):
        sonant.load(tmp_path)


@pytest.mark.parametrize("own", [True, False])
def test_tensors_of_types_that_numpy_has_not_are_a_sentence(tmp_path: Path, own: bool) -> None:
    path, metadata = tmp_path / "a.safetensors", {store.CONFIG_KEY: ENCODEC_24KHZ.to_json()}
    header = {"encoder.model.0": {"dtype": "F8_E4M3", "shape": [4], "data_offsets": [0, 4]}}
    text = json.dumps(header | ({"__metadata__": metadata} if own else {})).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(4))
    with pytest.raises(WeightsError, match=r"a\.safetensors: cannot read the weights"):
        sonant.load(path)


def test_a_number_in_a_config_beyond_all_floats_is_a_sentence(golden: Golden, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    values = json.loads(golden.config.to_json()) | {"sample_rate": 10**400}
    save_file(golden.weights, path, {store.CONFIG_KEY: json.dumps(values)})
    with pytest.raises(WeightsError, match="config makes no sense"):
        sonant.load(path)


def test_a_model_that_transformers_has_not_is_not_exported(golden: Golden, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="has no LSTM"):
        export_transformers(replace(golden.config, lstm_layers=0), golden.weights, tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_a_name_that_no_file_can_have_is_no_model() -> None:
    with pytest.raises(WeightsError, match="no such model"):
        sonant.load("a" * 5000)


@pytest.mark.skipif(os.name == "nt", reason="has no limit of the size of files")
def test_weights_may_be_read_by_all_and_a_full_disk_is_an_error_of_the_system(
    golden: Golden, tmp_path: Path
) -> None:
    import resource

    limits, mask = resource.getrlimit(resource.RLIMIT_FSIZE), os.umask(0o022)
    try:
        for error, write in (
            (
                OSError,
                lambda folder: store.save_weights(
                    folder / "model.safetensors", golden.weights, golden.config
                ),
            ),
            (SonantError, lambda folder: export_transformers(golden.config, golden.weights, folder)),
        ):
            assert not list(tmp_path.glob("model*"))
            write(tmp_path)
            assert (tmp_path / "model.safetensors").stat().st_mode & 0o777 == 0o644
            (tmp_path / "model.safetensors").unlink()
            resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
            with pytest.raises(error, match="too large"):
                write(tmp_path)
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert not list(tmp_path.glob("model*"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        os.umask(mask)
