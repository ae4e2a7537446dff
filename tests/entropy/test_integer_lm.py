"""The integer language model: the same bits whatever the block, batch, threads or BLAS."""

import hashlib
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from lm_files import MONO, random_codes, small_model, small_network, small_tensors
from sonant.config import LanguageModelConfig
from sonant.entropy.checked_tensors import CheckedTensors
from sonant.entropy.integer_layers import ACTIVATION_LIMIT
from sonant.entropy.integer_lm import IntegerLanguageModel
from sonant.entropy.integer_ops import cumulative_frequencies, layer_norm
from sonant.entropy.lm_coder import bits_of_books, decode_chunks, encode_chunk
from sonant.entropy.lm_store import CONFIG_KEY, load_language_model, save_language_model
from sonant.entropy.range_coder import TOTAL
from sonant.errors import WeightsError
from sonant.training.lm_loss import cross_entropy

GOLDEN = Path(__file__).parents[1] / "data" / "lm"


def shifted(codes: np.ndarray) -> np.ndarray:
    previous = np.zeros_like(codes, np.int64)
    previous[:, :, 1:] = codes[:, :, :-1] + 1
    return previous


KINDS = pytest.mark.parametrize(("conditioned", "step_feed_forward"), [(False, 0), (True, 0), (True, 48)])


@KINDS
def test_blocks_steps_and_batches_give_the_same_bits(conditioned: bool, step_feed_forward: int) -> None:
    lm = small_model(4, conditioned, step_feed_forward=step_feed_forward)
    codes = np.random.default_rng(0).integers(0, 1024, (16, 4, 96))
    previous = shifted(codes)
    whole = lm.forward(previous, lm.start(16, 96))
    for lane in (0, 9):
        state, done = lm.start(1, 96), 0
        for steps in (1, 1, 7, 40, 1, 46):
            part = lm.forward(previous[lane : lane + 1, :, done : done + steps], state)
            np.testing.assert_array_equal(part[0], whole[lane, done : done + steps])
            done += steps
    before = lm.before_books(whole.reshape(-1, 32))
    single = lm.before_books(whole[3, 5][None])
    for k in range(4):
        np.testing.assert_array_equal(lm.cumulative(before, k)[3 * 96 + 5], lm.cumulative(single, k)[0])
        before = lm.with_code(before, k, codes[:, k].reshape(-1))
        single = lm.with_code(single, k, codes[3, k, 5:6])


@KINDS
def test_bits_are_those_of_the_float_model(conditioned: bool, step_feed_forward: int) -> None:
    network = small_network(4, conditioned, step_feed_forward)
    lm = small_model(4, conditioned, step_feed_forward=step_feed_forward)
    codes = random_codes(MONO, 4, 4 * 96 * 320).values.reshape(4, 4, 96).transpose(1, 0, 2).astype(np.int64)
    with torch.no_grad():
        nats = float(cross_entropy(network, torch.from_numpy(codes)).mean())
    before = lm.before_books(lm.forward(shifted(codes), lm.start(4, 96)).reshape(-1, 32))
    bits = []
    for k in range(4):
        cumulative, symbols = lm.cumulative(before, k), codes[:, k].reshape(-1)
        rows = np.arange(len(symbols))
        bits.append(20 - np.log2(cumulative[rows, symbols + 1] - cumulative[rows, symbols]).mean())
        before = lm.with_code(before, k, symbols)
    assert np.mean(bits) < 8
    assert abs(np.mean(bits) / (nats / np.log(2)) - 1) < 0.005


def test_frequencies_are_positive_and_sum_to_a_power_of_two() -> None:
    lm = small_model()
    x = np.random.default_rng(2).integers(-ACTIVATION_LIMIT, ACTIVATION_LIMIT, (50, 32)).astype(np.float32)
    for k in range(8):
        cumulative = lm.cumulative(lm.before_books(x), k)
        assert (cumulative[:, 0] == 0).all() and (cumulative[:, -1] == TOTAL).all()
        assert np.diff(cumulative).min() >= 1


@pytest.mark.parametrize("lanes", [1, 5])
@pytest.mark.parametrize("predicted", [8, 3])
def test_chunks_come_back_side_by_side(lanes: int, predicted: int) -> None:
    lm = small_model(predicted)
    codes = np.stack([random_codes(MONO, 8, 91 * 320, seed).values for seed in range(lanes)])
    decoded, intact = decode_chunks(lm, [encode_chunk(lm, chunk) for chunk in codes], 8, 91)
    np.testing.assert_array_equal(decoded, codes)
    assert intact.all()


def test_codebooks_that_the_model_does_not_predict_change_nothing_for_those_it_does() -> None:
    lm = small_model(3)
    codes = random_codes(MONO, 8, 96 * 320).values
    payload, predicted = encode_chunk(lm, codes), encode_chunk(lm, codes[:3])
    assert payload[-len(predicted) :] == predicted
    assert len(payload) == len(predicted) + 5 * 96 * 10 // 8


@given(st.binary(max_size=400))
def test_any_bytes_are_codes_or_told_to_be_none(payload: bytes) -> None:
    lm = small_model(2)
    decoded, intact = decode_chunks(lm, [payload], 4, 20)
    assert decoded.shape == (1, 4, 20) and decoded.min() >= 0 and decoded.max() < 1024
    if intact[0]:
        assert len(payload) >= 2 * 20 * 10 // 8


def test_golden_chunk() -> None:
    """Made on one machine, to be the same on every other for ever."""
    golden = load_file(GOLDEN / "chunk.safetensors")
    lm = load_language_model(GOLDEN / "small.lm.safetensors")
    payload = golden["payload"].tobytes()
    assert (
        hashlib.sha256(payload).hexdigest()
        == "861bbb0afe978fad3fb37ec124877f04ab21cec873293cc9577e3d52895648fd"
    )
    assert encode_chunk(lm, golden["codes"]) == payload
    np.testing.assert_array_equal(decode_chunks(lm, [payload], 4, 96)[0][0], golden["codes"])


@pytest.mark.parametrize(
    ("kernel", "threads"), [("Haswell", 1), ("SkylakeX", 2), ("Nehalem", 1), ("Sandybridge", 2)]
)
def test_any_blas_kernel_and_thread_count(kernel: str, threads: int) -> None:
    """The golden chunk under other BLAS kernels; on other processors the names are ignored."""
    program = (
        "import sys, numpy as np; from pathlib import Path; from safetensors.numpy import load_file;"
        "from sonant.entropy.lm_store import load_language_model as load;"
        "from sonant.entropy.lm_coder import encode_chunk;"
        "folder = Path(sys.argv[1]); golden = load_file(folder / 'chunk.safetensors');"
        "lm = load(folder / 'small.lm.safetensors');"
        "assert encode_chunk(lm, golden['codes']) == golden['payload'].tobytes()"
    )
    environment = os.environ | {"OPENBLAS_CORETYPE": kernel, "OPENBLAS_NUM_THREADS": str(threads)}
    result = subprocess.run([sys.executable, "-c", program, str(GOLDEN)], env=environment)
    if result.returncode == -signal.SIGILL:
        pytest.skip(f"this processor has not the instructions of {kernel}")
    assert result.returncode == 0


def test_layer_norm_is_rounded_once() -> None:
    x = np.random.default_rng(3).integers(-5000, 5000, (20, 64)).astype(np.float32)
    exact = (x - x.mean(1, keepdims=True, dtype=np.float64)) / x.std(1, keepdims=True, dtype=np.float64)
    got = layer_norm(x, np.full(64, 300.0), np.full(64, 7.0), 1e-9, 2047)
    np.testing.assert_allclose(got, np.rint(exact * 300 + 7).clip(-2047, 2047), atol=1)


def test_extreme_weights_keep_every_code_possible() -> None:
    weights = np.zeros((3, 1024))
    weights[0, 5] = weights[1, 0] = weights[2, 1023] = 1 << 22
    cumulative = cumulative_frequencies(weights, TOTAL)
    assert np.diff(cumulative).min() == 1 and (cumulative[:, -1] == TOTAL).all()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("layers.0.up.bias", 1 << 24),
        ("layers.1.down.weight", 30_000),
        ("exp.output", 1 << 23),
        ("exp.attention", -1),
        ("layers.0.gelu", 600),
        ("layers.1.score.scale", -0.1),
        ("emb.shift", 30),
        ("step.emb.shift", 20),
        ("norm_in.epsilon", 0),
        ("heads.3.scale", np.nan),
        ("step.3.up.bias", 1 << 24),
        ("step.0.gelu", 600),
    ],
)
def test_tensors_that_could_break_exactness_are_refused(name: str, value: float) -> None:
    config, tensors = small_tensors(4, step_feed_forward=16)
    tensors[name] = np.full_like(tensors[name], value, dtype=np.float64)
    with pytest.raises(WeightsError):
        IntegerLanguageModel(config, tensors)


def test_missing_and_misshapen_tensors_are_refused() -> None:
    config, tensors = small_tensors(4)
    with pytest.raises(WeightsError, match=r"lacks .*positions"):
        IntegerLanguageModel(config, {k: v for k, v in tensors.items() if k != "positions"})
    with pytest.raises(WeightsError, match="wrong shape"):
        IntegerLanguageModel(config, tensors | {"heads.0.bias": np.zeros(5)})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"step_feed_forward": -1}, "sizes"),
        ({"step_feed_forward": True}, "sizes"),
        ({"step_feed_forward": 10**18}, "wrong shape"),
        ({"conditioned": False}, "not conditioned"),
    ],
)
def test_step_networks_that_a_model_cannot_have_are_refused(change: dict[str, int], message: str) -> None:
    config, tensors = small_tensors(2, step_feed_forward=16)
    with pytest.raises(WeightsError, match=message):
        IntegerLanguageModel(replace(config, **change), tensors)


def test_a_model_of_another_codec_is_refused(tmp_path: Path) -> None:
    config, tensors = small_tensors(4)
    save_language_model(tmp_path / "a.lm.safetensors", config, tensors, "12" * 32)
    assert load_language_model(tmp_path / "a.lm.safetensors", "12" * 32).n_q == 4
    with pytest.raises(WeightsError, match="another codec"):
        load_language_model(tmp_path / "a.lm.safetensors", "13" * 32)
    (tmp_path / "b.lm.safetensors").write_bytes(b"nonsense")
    with pytest.raises(WeightsError, match="cannot read"):
        load_language_model(tmp_path / "b.lm.safetensors")


def sizes(bins: int = 4, heads: int = 1, dim: int = 4) -> tuple[LanguageModelConfig, dict[str, np.ndarray]]:
    """A model without layers, of zeros."""
    config = LanguageModelConfig("tiny", 1, bins, dim, 0, heads, 4, 8)
    shapes = {"emb": (1, bins + 1, dim), "emb.shift": (1,), "positions": (8, dim)}
    shapes |= {"heads.0.weight": (dim, bins), "heads.0.bias": (bins,), "heads.0.scale": (bins,)}
    shapes |= {"norm_in.gain": (dim,), "norm_in.bias": (dim,)}
    tensors = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    tensors |= {"norm_in.epsilon": np.ones(1), "exp.attention": np.array([2.0, 1.0])}
    return config, tensors | {"exp.output": np.array([1 << 22, 1])}


@pytest.mark.parametrize(
    ("change", "tables", "message"),
    [
        ({"dim": 33, "heads": 1}, {}, "attention"),
        ({"bins": 2048}, {}, "softmax"),
        ({}, {"exp.output": [2, 1, -1]}, "falling"),
        ({}, {"exp.output": [0, 0]}, "falling"),
        ({}, {"exp.attention": [2, 1, 2]}, "falling"),
        ({}, {"exp.attention": []}, "falling"),
        ({}, {"exp.attention": np.ones((1 << 22) + 1, np.int8)}, "falling"),
        ({}, {"exp.output": [1.5, 1]}, "whole numbers"),
        ({"dim": 6, "heads": 4}, {}, "equal heads"),
        ({"heads": 0}, {}, "sizes"),
        ({}, {"heads.0.scale": [1e300] * 4}, "not finite"),
        ({}, {"emb.shift": [25]}, "shifts"),
    ],
)
def test_sizes_and_tables_that_could_break_exactness_are_refused(
    change: dict[str, int], tables: dict[str, list[float]], message: str
) -> None:
    IntegerLanguageModel(*sizes())
    config, tensors = sizes(**change)
    with pytest.raises(WeightsError, match=message):
        IntegerLanguageModel(config, tensors | {name: np.array(t) for name, t in tables.items()})


def test_a_table_of_one_entry_makes_all_codes_equal() -> None:
    config, tensors = sizes()
    lm = IntegerLanguageModel(config, tensors | {"exp.output": np.array([3])})
    before = lm.before_steps(np.zeros((1, 2), np.int16))
    assert np.ptp(lm.logits(before, 0)) == 0
    assert np.ptp(np.diff(lm.cumulative(before, 0))) <= 1


def test_norms_of_many_channels_are_refused() -> None:
    with pytest.raises(WeightsError, match="norms"):
        CheckedTensors({}).check_norm_inputs(np.zeros((1, 2, 4), np.float32), None, 2400)
    grid = CheckedTensors({"step.grid": np.array([1 << 14])})
    with pytest.raises(WeightsError, match="norms"):
        grid.check_norm_inputs(np.zeros((1, 2, 4), np.float32), np.zeros((1, 2, 4), np.float32), 4)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [(None, "holds no"), ({CONFIG_KEY: "{"}, "cannot read"), ({CONFIG_KEY: "{}"}, "cannot read")],
)
def test_a_file_of_something_else_is_refused(
    tmp_path: Path, metadata: dict[str, str] | None, message: str
) -> None:
    save_file({"x": np.zeros(2)}, tmp_path / "a.lm.safetensors", metadata)
    with pytest.raises(WeightsError, match=message):
        load_language_model(tmp_path / "a.lm.safetensors")


def test_bits_of_books_add_up_to_the_bytes() -> None:
    lm = load_language_model(GOLDEN / "small.lm.safetensors")
    values = np.random.default_rng(0).integers(0, 200, (4, 30)).astype(np.int16)
    bits = bits_of_books(lm, values)
    assert bits.shape == (4,)
    assert abs(bits.sum() / 8 - len(encode_chunk(lm, values))) < 4
    more = bits_of_books(lm, np.concatenate([values, values[:3]]))
    np.testing.assert_array_equal(more, [*bits, 300, 300, 300])
