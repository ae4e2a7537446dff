"""The loop: steps that go wrong, stopping, the rate, every kind of recipe."""

import json
import os
import random
import signal
import subprocess
import sys
from functools import partial
from itertools import count
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from sonant.errors import ConfigError, SonantError, WeightsError
from sonant.models.store import load_weights
from sonant.training.average import WeightAverage
from sonant.training.finite import MAX_BAD_STEPS, FiniteSteps
from sonant.training.loop import Trainer, _check_batch
from sonant.training.recipe_files import recipe_from_dict
from sonant.training.stopping import StopRequest
from training.training_helpers import ADVERSARIAL, losses, tiny_values, with_steps


def test_a_run_learns_and_leaves_weights(tiny_recipe, tmp_path):
    recipe = tiny_recipe(
        model={"n_filters": 4, "dimension": 16},
        data={"strategies": [{"weight": 1, "kinds": ["music"]}], "gain_db": [0, 0]},
        loss={"time": 10.0, "balancer": False},
        optimizer={"learning_rate": 5e-3, "final_rate": 5e-3, "warmup_steps": 1},
        run={"steps": 60, "warm_start_steps": 40, "log_every": 10, "listen_every": 30},
    )
    Trainer(recipe, tmp_path).run()
    rows = [row for row in losses(tmp_path) if "mel" in row]
    assert rows[-1]["mel"] < 0.5 * rows[0]["mel"]
    heard = [row for row in losses(tmp_path) if "validation/music SI-SNR" in row]
    assert [row["step"] for row in heard] == [30, 60]
    weights, config = load_weights(tmp_path / "weights.safetensors")
    assert config == recipe.model
    assert weights["codebooks"].any()
    events = list(tmp_path.glob("events.*"))
    assert events
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(tmp_path))
    found.Reload()
    tags = found.Tags()
    assert {"mel", "time", "validation/music SI-SNR"} <= set(tags["scalars"])
    assert "music/decoded" in tags["images"]
    assert "music/decoded" in tags["audio"]


def test_decoder_only_leaves_every_code_as_it_was(tiny_recipe, tmp_path):
    Trainer(tiny_recipe(), tmp_path / "whole").run()
    start = tmp_path / "whole" / "weights.safetensors"
    recipe = tiny_recipe(start=str(start), decoder_only=True, discriminator={"start_step": 1})
    Trainer(recipe, tmp_path / "decoder").run()
    before, after = (load_weights(path)[0] for path in (start, tmp_path / "decoder" / start.name))
    changed = {key.split(".")[0] for key in before if not np.array_equal(before[key], after[key])}
    assert changed == {"decoder"}
    assert any("generator" in row for row in losses(tmp_path / "decoder"))


@pytest.mark.parametrize("per_bandwidth", [True, False])
def test_discriminators_go_on_in_another_run(tiny_recipe, tmp_path, per_bandwidth):
    part = {"start_step": 0, "per_bandwidth": per_bandwidth, "update_probability": 1.0}
    first = Trainer(tiny_recipe(discriminator=part), tmp_path)
    first.run()
    part["start"] = str(tmp_path / "discriminators.safetensors")
    second = Trainer(tiny_recipe(discriminator=part), tmp_path / "second")
    for key, (network, _) in first.objective.discriminators.items():
        started = second.objective.discriminators[key][0].state_dict()
        for name, value in network.state_dict().items():
            torch.testing.assert_close(started[name], value, rtol=1e-3, atol=1e-6)
    with pytest.raises(WeightsError, match="other kinds or sizes"):
        Trainer(tiny_recipe(discriminator={**part, "filters": 3}), tmp_path / "third")


@pytest.mark.parametrize("kind", ["ms-stft", "msd"])
def test_features_of_both_are_of_one_set_of_discriminators(tiny_recipe, tmp_path, kind):
    """Audio like its original has a feature loss of 0, however the discriminators learn."""
    part = {
        "start_step": 0,
        "update_probability": 1.0,
        "warmup_steps": 0,
        "learning_rate": 1e-2,
        "kinds": [kind],
    }
    objective = Trainer(tiny_recipe(discriminator=part), tmp_path).objective
    audio = 0.1 * torch.randn(2, 4800, 1, generator=torch.Generator().manual_seed(0))
    other = audio.flip(1).requires_grad_()
    losses = []
    for step, decoded in enumerate([audio.clone().requires_grad_(), other] * 3):
        losses.append(objective.backward(step, 4, audio, decoded, {}, random.Random(0)))
    assert [row["feature"] for row in losses[::2]] == [0, 0, 0]
    assert min(row["feature"] for row in losses[1::2]) > 0.05
    assert len({row["discriminator"] for row in losses[1::2]}) == 3


def test_discriminators_may_compute_in_bfloat16_beside_a_codec_in_float32(
    tiny_recipe, tmp_path, monkeypatch
):
    monkeypatch.setattr("sonant.training.objective.multiplies_bfloat16", lambda device: True)
    part = {"start_step": 0, "update_probability": 1.0, "bfloat16": True}
    trainer = Trainer(with_steps(tiny_recipe(discriminator=part), 3), tmp_path)
    seen = {"codec": set(), "discriminators": set()}
    judges = trainer.objective.discriminators[0][0].module
    for name, network in (("codec", trainer.network.module), ("discriminators", judges)):
        for layer in network.modules():
            if isinstance(layer, (torch.nn.Conv2d, torch.nn.LSTM)):
                layer.register_forward_hook(
                    lambda layer, inputs, output, name=name: seen[name].add(
                        (output[0] if isinstance(output, tuple) else output).dtype
                    )
                )
    trainer.run()
    assert seen["discriminators"] == {torch.bfloat16}
    assert seen["codec"] == {torch.float32}
    assert "feature" in losses(tmp_path)[-1]


def test_a_step_that_is_not_finite_is_skipped_and_counted(tiny_recipe, tmp_path, monkeypatch):
    trainer = Trainer(tiny_recipe(), tmp_path)
    mel, before = trainer.objective.mel_loss.forward, {}

    def spoilt(reference, decoded):
        loss = mel(reference, decoded)
        if trainer.step == 3:
            before.update({k: v.clone() for k, v in trainer.network.state_dict().items()})
            return loss * float("nan")
        if trainer.step == 4:
            for key, value in trainer.network.module.encoder.state_dict().items():
                assert torch.equal(before[f"encoder.{key}"], value)
        return loss

    monkeypatch.setattr(trainer.objective.mel_loss, "forward", spoilt)
    trainer.run()
    assert before
    assert trainer.finite.skipped == 1
    assert trainer.step == 6
    assert all(value.isfinite().all() for value in trainer.network.state_dict().values())


def test_too_many_bad_steps_end_the_run_with_a_reason(tiny_recipe, tmp_path, monkeypatch):
    trainer = Trainer(tiny_recipe(run={"steps": 100, "warm_start_steps": 1, "listen_every": 0}), tmp_path)
    monkeypatch.setattr(trainer.objective.mel_loss, "forward", lambda a, b: b.sum() * float("inf"))
    with pytest.raises(SonantError, match=f"{MAX_BAD_STEPS} gradients in a row"):
        trainer.run()
    assert (tmp_path / "checkpoint.pt").exists()


def test_a_time_limit_ends_the_run(tiny_recipe, tmp_path, monkeypatch):
    """On a clock that gains a second whenever it is read, twice in every step."""
    clock = SimpleNamespace(monotonic=partial(next, count()))
    monkeypatch.setattr("sonant.training.loop.time", clock)
    recipe = tiny_recipe(
        optimizer={"learning_rate": 1e-3, "final_rate": 0.0, "warmup_steps": 1},
        run={"steps": 10**6, "warm_start_steps": 1, "listen_every": 0},
    )
    trainer = Trainer(recipe, tmp_path, time_limit=10.0)
    trainer.run()
    assert trainer.step == 5
    for optimizer in trainer.optimizers:
        assert 0 < optimizer.param_groups[0]["lr"] < 1e-4


def test_a_run_that_takes_no_step_says_so(tiny_recipe, tmp_path, capsys):
    Trainer(tiny_recipe(), tmp_path, time_limit=1e-9).run()
    assert "no step was taken" in capsys.readouterr().err
    assert not (tmp_path / "checkpoint.pt").exists()


def test_a_run_up_in_batches_of_one_is_refused(tiny_recipe, tmp_path):
    with pytest.raises(ConfigError, match="run_up is of use only with 2 crops or more in each process"):
        Trainer(tiny_recipe(run_up=1, data={"batch_size": 1}), tmp_path)
    shared = tiny_recipe(run_up=3, data={"batch_size": 4})
    _check_batch(shared, 2)
    with pytest.raises(ConfigError, match="run_up is of use only"):
        _check_batch(shared, 4)
    _check_batch(tiny_recipe(data={"batch_size": 4}), 4)


def test_sigterm_saves_and_stops(pack, tmp_path):
    recipe = tiny_values(pack, run={"steps": 10**6, "warm_start_steps": 1, "log_every": 1})
    recipe["data"]["workers"] = 1
    code = (
        "import json, sys\nfrom pathlib import Path\n"
        "from sonant.training.loop import Trainer\n"
        "from sonant.training.recipe_files import recipe_from_dict\n"
        "Trainer(recipe_from_dict(json.loads(sys.argv[1])), Path(sys.argv[2])).run()\nprint('saved')\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, json.dumps(recipe), str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    for line in process.stderr:
        if line.startswith("step 2"):
            break
    os.killpg(process.pid, signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert out.strip() == "saved"
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert state["step"] >= 2


def test_stereo_is_normalised_and_judged_per_channel(corpus_folder, tmp_path):
    from sonant.training.datasets import list_recordings
    from sonant.training.pack import pack_recordings

    recordings = [r for r in list_recordings(corpus_folder) if r.kind == "music"]
    list(pack_recordings(recordings, tmp_path / "pack", 48_000, 2, "pcm"))
    values = tiny_values(tmp_path / "pack", discriminator={**ADVERSARIAL, "filters": 2, "windows": [256]})
    values["model"] |= {
        "sample_rate": 48_000,
        "channels": 2,
        "causal": False,
        "norm": "time_group_norm",
        "pad_mode": "reflect",
        "normalize": True,
        "segment": 1.0,
        "bandwidths": [0.6, 1.2],
    }
    values["data"]["strategies"] = [{"weight": 1, "kinds": ["music"]}]
    Trainer(recipe_from_dict(values), tmp_path / "run").run()
    assert "feature" in losses(tmp_path / "run")[-1]


@pytest.mark.parametrize("quantizer", ["diffq", "gumbel"])
def test_other_quantisers_train(tiny_recipe, tmp_path, quantizer):
    trainer = Trainer(tiny_recipe(quantizer=quantizer), tmp_path)
    before = {k: v.clone() for k, v in trainer.network.module.quantizer.named_parameters()}
    trainer.run()
    for name, value in trainer.network.module.quantizer.named_parameters():
        assert not torch.equal(value, before[name]), name
    assert not (tmp_path / "weights.safetensors").exists()


def test_the_average_of_the_weights_by_hand():
    """Decays of 2/11, 3/12, … until they reach the one asked for; it goes on from a checkpoint."""
    network, expected = nn.Linear(1, 1, bias=False), 1.0
    network.weight.data.fill_(1.0)
    average = WeightAverage(network, 0.3)
    for number, value in enumerate([3.0, -1.0, 5.0, 2.0], start=1):
        if number == 3:
            state, network = average.state_dict(), nn.Linear(1, 1, bias=False)
            average = WeightAverage(network, 0.3)
            average.load_state_dict(state)
        network.weight.data.fill_(value)
        average.update(network)
        decay = min(0.3, (1 + number) / (10 + number))
        expected = decay * expected + (1 - decay) * value
        assert average.values[0].item() == pytest.approx(expected)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_request_hears_a_signal_and_gives_it_back(number):
    def ignored(*_):
        pass

    before = signal.signal(number, ignored)
    try:
        with StopRequest() as stop:
            signal.raise_signal(number)
        assert stop.made
        assert signal.getsignal(number) is ignored
    finally:
        signal.signal(number, before)


def test_only_bad_steps_in_a_row_end_a_run():
    finite, bad, good = FiniteSteps(2), torch.tensor(float("nan")), torch.tensor(1.0)
    for norm in (*[bad] * (MAX_BAD_STEPS - 1), good, *[bad] * (MAX_BAD_STEPS - 1)):
        assert finite.may_take(0, norm) == (norm is good)
    assert finite.skipped == 2 * MAX_BAD_STEPS
    with pytest.raises(SonantError, match=f"{MAX_BAD_STEPS} gradients in a row"):
        finite.may_take(0, bad)


def test_the_rate_warms_up_and_falls_to_its_end(trainer):
    def rate(step, done):
        trainer.step = step
        trainer._set_rates(done)
        return trainer.optimizers[0].param_groups[0]["lr"]

    assert [rate(step, 0.0) for step in range(5)] == pytest.approx([0.75e-3, 1.5e-3, 2.25e-3, 3e-3, 3e-3])
    assert [rate(9, done) for done in (0.5, 1.0)] == pytest.approx([2e-3, 1e-3])


def test_a_step_that_is_left_out_does_not_count_in_the_average(trainer):
    for parameter in trainer.network.parameters():
        parameter.grad = torch.full_like(parameter, float("nan"))
    trainer._apply()
    assert trainer.average.updates == 0
    assert trainer.finite.skipped == 1


def test_an_average_leaves_the_network_after_an_error():
    network = nn.Linear(1, 1)
    average, before = WeightAverage(network, 0.9), network.weight.detach().clone()
    average.values[0].add_(1)
    with pytest.raises(OSError, match="disk"), average.in_place(network):
        assert network.weight.item() == pytest.approx(before.item() + 1)
        raise OSError("disk")
    assert torch.equal(network.weight, before)


@pytest.mark.parametrize("balancer", [False, True])
@pytest.mark.parametrize("judged", [False, True])
def test_mixed_precision_trains_with_and_without_a_balancer(tiny_recipe, tmp_path, balancer, judged):
    recipe = tiny_recipe(
        loss={"balancer": balancer},
        discriminator={"start_step": 0 if judged else -1, "warmup_steps": 0},
        run={"precision": "bf16-mixed"},
    )
    trainer = Trainer(with_steps(recipe, 2), tmp_path)
    trainer.run()
    assert (trainer.step, trainer.finite.skipped) == (2, 0)


def test_encoder_and_decoder_are_compiled_in_place(tiny_recipe, tmp_path, monkeypatch):
    calls = []

    def compiled(function):
        def call(*values):
            calls.append(function.__self__)
            return function(*values)

        return call

    monkeypatch.setattr(torch, "compile", compiled)
    trainer = Trainer(tiny_recipe(run={"steps": 1, "compile": True}), tmp_path)
    trainer.run()
    network = trainer.network.module
    assert calls == [network.encoder, network.decoder]
    weights, _ = load_weights(tmp_path / "weights.safetensors")
    assert not [name for name in weights if "_orig_mod" in name]
