"""The loop: resuming bit for bit, stopping, steps that go wrong, every kind of recipe."""

import json
import math
import os
import random
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from safetensors.numpy import load_file
from torch import nn

from sonant.errors import ConfigError, SonantError, WeightsError
from sonant.models.export import export_transformers
from sonant.models.store import load_weights, save_weights
from sonant.nn.discriminators import Discriminators, multi_scale_stft
from sonant.nn.weights import export_weights
from sonant.training import checkpoint
from sonant.training.average import WeightAverage
from sonant.training.checkpoint import load_checkpoint
from sonant.training.finite import MAX_BAD_STEPS, FiniteSteps
from sonant.training.loop import Trainer
from sonant.training.networks import build_codec
from sonant.training.objective import Objective
from sonant.training.recipe_files import recipe_from_dict
from sonant.training.stopping import StopRequest
from training.training_helpers import tiny_values


def losses(folder):
    rows = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [{k: v for k, v in row.items() if k != "audio_seconds_per_second"} for row in rows]


ADVERSARIAL = {"start_step": 2, "per_bandwidth": True}


def with_steps(recipe, steps):
    return replace(recipe, run=replace(recipe.run, steps=steps))


@pytest.mark.parametrize("kind", ["adam", "muon"])
def test_a_resumed_run_is_the_run_that_was_not_interrupted(tiny_recipe, tmp_path, kind):
    recipe = tiny_recipe(
        discriminator={"filters": 2, "windows": [256], "warmup_steps": 1, **ADVERSARIAL},
        optimizer={"kind": kind},
    )
    Trainer(recipe, tmp_path / "whole").run()
    Trainer(with_steps(recipe, 3), tmp_path / "parts").run()
    resumed = Trainer(recipe, tmp_path / "parts", resume=True)
    assert resumed.step == 3
    resumed.run()
    rows = losses(tmp_path / "whole")
    assert losses(tmp_path / "parts") == rows
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert any("generator" in row for row in rows)
    whole, parts = (
        torch.load(tmp_path / name / "checkpoint.pt", weights_only=True) for name in ("whole", "parts")
    )
    assert whole["versions"]["sonant"]
    assert whole["recipe"]["model"]["name"] == "tiny"
    for key, value in whole["network"].items():
        assert torch.equal(value, parts["network"][key]), key


def test_a_run_that_starts_as_a_transform_needs_no_warm_start(tiny_recipe, tmp_path):
    recipe = tiny_recipe(
        model={"n_filters": 16, "dimension": 32, "bins": 64, "bandwidths": [0.45, 0.9, 1.8]},
        data={"strategies": [{"weight": 1, "kinds": ["music"]}], "gain_db": [0, 0]},
        loss={"time": 10.0, "balancer": False},
        run={"steps": 2, "warm_start_steps": 0, "transform_crops": 32, "log_every": 1, "listen_every": 0},
    )
    plain = replace(recipe, run=replace(recipe.run, transform_crops=0))
    started, cold = tmp_path / "started", tmp_path / "cold"
    for folder, plan in ((started, recipe), (cold, plain)):
        Trainer(plan, folder).run()
    assert losses(started)[0]["time"] < losses(cold)[0]["time"] / 2


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
        losses.append(objective.backward(step, 4, audio, decoded, torch.zeros(()), random.Random(0)))
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


def test_decoder_only_needs_an_encoder(tiny_recipe):
    with pytest.raises(ConfigError, match="set start"):
        tiny_recipe(decoder_only=True)


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


def test_a_time_limit_ends_the_run(tiny_recipe, tmp_path):
    recipe = tiny_recipe(run={"steps": 10**6, "warm_start_steps": 1, "listen_every": 0})
    trainer = Trainer(recipe, tmp_path, time_limit=0.5)
    trainer.run()
    assert 0 < trainer.step < 10**6
    for optimizer in trainer.optimizers:
        assert optimizer.param_groups[0]["lr"] <= recipe.optimizer.learning_rate


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


def test_a_resumed_run_says_what_is_not_as_it_was(tiny_recipe, tmp_path, capsys):
    Trainer(with_steps(tiny_recipe(), 1), tmp_path).run()
    Trainer(with_steps(tiny_recipe(), 1), tmp_path, resume=True)
    assert "goes on with" not in capsys.readouterr().err
    Trainer(with_steps(tiny_recipe(optimizer={"learning_rate": 0.5}), 2), tmp_path, resume=True)
    said = "goes on with optimizer.learning_rate = 0.5 (0.0003 before); run.steps = 2 (1 before)"
    assert said in capsys.readouterr().err


def test_a_resumed_run_takes_discriminators_to_start_from_where_it_has_none(tiny_recipe, tmp_path, capsys):
    part = {"filters": 2, "windows": [256], "start_step": 0}
    Trainer(with_steps(tiny_recipe(discriminator=part), 1), tmp_path / "other").run()
    judges = tmp_path / "other" / "discriminators.safetensors"
    Trainer(with_steps(tiny_recipe(), 1), tmp_path / "run").run()
    begun = with_steps(tiny_recipe(discriminator={**part, "start": str(judges)}), 2)
    resumed = Trainer(begun, tmp_path / "run", resume=True)
    assert "discriminator.start = " in capsys.readouterr().err
    (network, _), halves = resumed.objective.discriminators[0], load_file(judges)
    for name, value in network.module.state_dict().items():
        torch.testing.assert_close(value.half().numpy(), halves[f"0.{name}"])
    resumed.run()
    capsys.readouterr()
    gone = replace(begun, start="gone", discriminator=replace(begun.discriminator, start="gone"))
    Trainer(gone, tmp_path / "run", resume=True)
    assert "gone" not in capsys.readouterr().err


def test_discriminators_for_other_codebooks_are_refused(tiny_recipe, tmp_path):
    part = {"filters": 2, "windows": [256], "start_step": 0, "per_bandwidth": True}
    recipe = with_steps(tiny_recipe(discriminator=part), 1)
    Trainer(recipe, tmp_path).run()
    with pytest.raises(SonantError, match="has discriminators for other codebooks"):
        Trainer(replace(recipe, codebooks=(1,)), tmp_path, resume=True)


def test_ranks_resume_all_or_none(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "largest", lambda device, *values: [1.0, 1.0])
    with pytest.raises(SonantError, match="on some of the machines only"):
        checkpoint.is_there(tmp_path / "checkpoint.pt", torch.device("cpu"))


def test_a_damaged_checkpoint_is_a_sentence(tiny_recipe, tmp_path):
    (tmp_path / "checkpoint.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(SonantError, match="damaged"):
        Trainer(tiny_recipe(), tmp_path, resume=True)


def test_what_a_killed_run_left_of_its_checkpoint_goes(tiny_recipe, tmp_path):
    left = [tmp_path / f".{name}.123.partial" for name in ("checkpoint.pt", "weights.safetensors")]
    other = tmp_path / ".weights.pt.123.partial"
    for file in (*left, other):
        file.write_bytes(b"half")
    Trainer(with_steps(tiny_recipe(), 1), tmp_path).run()
    assert not any(file.exists() for file in left)
    assert other.exists()
    assert (tmp_path / "checkpoint.pt").exists()


def test_a_checkpoint_of_another_model_or_optimiser_is_refused(tiny_recipe, tmp_path):
    recipe = with_steps(tiny_recipe(), 1)
    Trainer(recipe, tmp_path).run()
    other = replace(recipe, model=replace(recipe.model, n_filters=4))
    with pytest.raises(SonantError, match="another model"):
        Trainer(other, tmp_path, resume=True)
    muon = replace(recipe, optimizer=replace(recipe.optimizer, kind="muon"))
    with pytest.raises(SonantError, match="is not muon"):
        Trainer(muon, tmp_path, resume=True)


def test_a_run_starts_from_weights(tiny_recipe, tmp_path):
    recipe = with_steps(tiny_recipe(), 3)
    Trainer(recipe, tmp_path).run()
    weights, _ = load_weights(tmp_path / "weights.safetensors")
    again = Trainer(replace(recipe, start=str(tmp_path / "weights.safetensors")), tmp_path / "next")
    codebooks = again.network.module.quantizer.codebooks.numpy()
    assert (codebooks == weights["codebooks"]).all()
    again.run()
    (tmp_path / "weights.safetensors").unlink()
    assert Trainer(again.recipe, tmp_path / "next", resume=True).step == 3


def test_a_run_starts_from_weights_in_the_layout_of_transformers(tiny_recipe, tmp_path):
    recipe = tiny_recipe()
    network = build_codec(recipe)
    network.quantizer.fit(torch.randn(500, recipe.model.dimension), 3, 10)
    weights = export_weights(network)
    export_transformers(recipe.model, weights, tmp_path / "model")
    again = export_weights(build_codec(replace(recipe, start=str(tmp_path / "model"))))
    assert again.keys() == weights.keys()
    assert all(np.allclose(again[key], weights[key], atol=1e-6) for key in weights)


def test_a_run_starts_from_fewer_codebooks_under_another_name(tiny_recipe, tmp_path):
    small = {"name": "small", "n_q": 2, "bandwidths": [0.3, 0.6]}
    Trainer(with_steps(tiny_recipe(model=small), 1), tmp_path).run()
    network = build_codec(tiny_recipe(start=str(tmp_path / "weights.safetensors")))
    assert network.quantizer.initialised.tolist() == [True, True, False, False]


@pytest.mark.parametrize(
    "grown", [{"n_residual_layers": 2}, {"n_filters": 4}, {"n_residual_layers": 2, "n_filters": 6}]
)
def test_a_run_starts_from_fewer_residual_units_or_filters(tiny_recipe, tmp_path, grown):
    Trainer(with_steps(tiny_recipe(), 1), tmp_path).run()
    start = str(tmp_path / "weights.safetensors")
    model = tiny_recipe().model
    assert (model.n_residual_layers, model.n_filters) == (1, 2)
    before = build_codec(tiny_recipe(start=start))
    larger = build_codec(tiny_recipe(start=start, model=grown))
    audio = 0.1 * torch.randn(1, 3200, 1)
    assert sum(p.numel() for p in larger.parameters()) > sum(p.numel() for p in before.parameters())
    torch.testing.assert_close(larger(audio, 2)[0], before(audio, 2)[0], rtol=1e-4, atol=1e-5)
    with pytest.raises(SonantError, match="n_residual_layers = 1, that of the recipe 0"):
        build_codec(tiny_recipe(start=start, model={"n_residual_layers": 0}))


@pytest.mark.parametrize(
    "change",
    [
        {"n_filters": 3},
        {"lstm_layers": 2},
        {"bins": 32, "bandwidths": [0.75]},
        {"sample_rate": 48_000, "bandwidths": [0.6]},
        {"pad_mode": "reflect"},
        {"causal": False, "segment": 1.0},
        {"dilation_base": 3},
    ],
)
def test_weights_of_another_model_are_refused(tiny_recipe, tmp_path, change):
    Trainer(with_steps(tiny_recipe(), 1), tmp_path).run()
    recipe = tiny_recipe(model=change, start=str(tmp_path / "weights.safetensors"))
    with pytest.raises(WeightsError, match=f"its model has {next(iter(change))} = "):
        build_codec(recipe)


def without(name):
    return lambda weights: {key: value for key, value in weights.items() if key != name}


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (without("encoder.0.weight"), "the weights lack encoder.0.weight"),
        (without("codebooks"), "the weights lack codebooks"),
        (lambda w: {**w, "encoder.0.bias": np.zeros(3)}, r"bias has the shape \[3\] and not \[2\]"),
        (lambda w: {**w, "codebooks": np.zeros((9, 16, 8))}, r"\[9, 16, 8\] and not \[4, 16, 8\]"),
    ],
)
def test_weights_that_are_not_as_their_config_are_refused(tiny_recipe, tmp_path, spoil, message):
    recipe, path = tiny_recipe(), tmp_path / "weights.safetensors"
    save_weights(path, spoil(export_weights(build_codec(recipe))), recipe.model)
    with pytest.raises(WeightsError, match=message):
        build_codec(replace(recipe, start=str(path)))


def test_a_checkpoint_of_other_discriminators_or_more_to_learn_is_refused(tiny_recipe, tmp_path):
    part = {"filters": 2, "windows": [256, 128], "warmup_steps": 1, "start_step": 0}
    recipe = with_steps(tiny_recipe(discriminator=part), 1)
    Trainer(recipe, tmp_path).run()
    changes = (("kinds", ("msd",)), ("filters", 4), ("windows", (256,)), ("per_bandwidth", True))
    for key, value in changes:
        other = replace(recipe, discriminator=replace(recipe.discriminator, **{key: value}))
        with pytest.raises(SonantError, match=rf"another discriminator\.{key}"):
            load_checkpoint(tmp_path / "checkpoint.pt", other)
        without_any = replace(other, discriminator=replace(other.discriminator, start_step=-1))
        assert load_checkpoint(tmp_path / "checkpoint.pt", without_any)["step"] == 1
    decoder = replace(recipe, decoder_only=True, start=str(tmp_path / "weights.safetensors"))
    with pytest.raises(SonantError, match="another decoder_only"):
        Trainer(decoder, tmp_path, resume=True)


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


def test_no_usable_file_is_an_error_at_the_start(tiny_recipe, corpus_folder, tmp_path):
    from sonant.training.manifest import read_manifest, write_manifest

    recordings = [replace(r, file=str(tmp_path / "gone.wav")) for r in read_manifest(packed(tiny_recipe))]
    write_manifest(tmp_path / "manifest.jsonl", recordings)
    recipe = tiny_recipe()
    recipe = replace(recipe, data=replace(recipe.data, pack=str(tmp_path)))
    with pytest.raises(SonantError, match=r"no file could be read .*gone.wav: no such file"):
        Trainer(recipe, tmp_path / "run").run()


def packed(tiny_recipe):
    from pathlib import Path

    return Path(tiny_recipe().data.packs[0])


def test_a_missing_pack_is_an_error_at_the_start(tiny_recipe, tmp_path):
    recipe = tiny_recipe(data={"pack": str(tmp_path / "nowhere")})
    with pytest.raises(ConfigError, match="nowhere"):
        Trainer(recipe, tmp_path)


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


def objective_of(**sections):
    recipe = recipe_from_dict(tiny_values("none", **sections))
    return Objective(
        recipe, Fabric(accelerator="cpu", devices=1), {0: Discriminators(multi_scale_stft((64,), 2))}
    )


def audio_of():
    audio = 0.1 * torch.randn(2, 2400, 1, generator=torch.Generator().manual_seed(0))
    return audio, audio.flip(1).requires_grad_()


def backward(objective, step=0, draw=None, decoded=None, commitment=None):
    audio, other = audio_of()
    decoded = other if decoded is None else decoded
    commitment = torch.zeros(()) if commitment is None else commitment
    return objective.backward(step, 4, audio, decoded, commitment, draw or random.Random(0))


def weights_of(objective):
    return [p.detach().clone() for p in objective.discriminators[0][0].parameters()]


@pytest.mark.parametrize("balancer", [True, False])
def test_commitment_has_its_weight_beside_the_balancer(balancer):
    commitment = torch.ones((), requires_grad=True)
    backward(objective_of(loss={"balancer": balancer, "commitment": 5.0}), commitment=commitment)
    assert commitment.grad.item() == 5


def test_without_a_balancer_losses_have_their_weights():
    audio, decoded = audio_of()
    loss = {"balancer": False, "time": 10.0, "mel": 0.0}
    backward(objective_of(loss=loss, discriminator={"start_step": 9}), decoded=decoded)
    expected = 10 * (decoded - audio).detach().sign() / decoded.numel()
    torch.testing.assert_close(decoded.grad, expected)


def test_the_recipe_s_losses_reach_the_objective():
    loss = {"generator": 5.0, "feature": 7.0, "time": 2.0, "mel": 3.0, "mel_exponents": [6, 8]}
    objective = objective_of(loss={**loss, "mel_l2": "linear", "mel_alpha": "sqrt"})
    assert {k: v for k, v in objective.weights.items() if v} == {
        "generator": 5,
        "feature": 7,
        "time": 2,
        "mel": 3,
    }
    assert objective.balancer.weights == objective.weights
    assert objective.mel_loss.windows == [64, 128, 256]
    assert (objective.mel_loss.log_l2, objective.mel_loss.root_alpha) == (False, True)
    assert objective_of().mel_loss.log_l2


def test_discriminators_begin_at_their_step_and_are_heard_after_their_warm_up():
    part = {"start_step": 2, "warmup_steps": 3, "update_probability": 1.0}
    rows = [backward(objective_of(discriminator=part), step) for step in range(7)]
    assert [step for step, row in enumerate(rows) if "discriminator" in row] == [2, 3, 4, 5, 6]
    assert [step for step, row in enumerate(rows) if "generator" in row] == [5, 6]
    assert [step for step, row in enumerate(rows) if "feature" in row] == [5, 6]


@pytest.mark.parametrize(("drawn", "learns"), [(0.2, True), (0.3, False)])
def test_discriminators_learn_with_their_probability(drawn, learns):
    class Draw:
        def random(self):
            return drawn

    objective = objective_of(discriminator={"start_step": 0, "warmup_steps": 0, "update_probability": 0.25})
    before = weights_of(objective)
    row = backward(objective, draw=Draw())
    assert ("discriminator" in row) == learns
    assert "generator" in row
    changed = any((a != b).any() for a, b in zip(before, weights_of(objective), strict=True))
    assert changed == learns


@pytest.mark.parametrize("balancer", [True, False])
def test_the_codec_s_losses_do_not_teach_discriminators(balancer):
    part = {"start_step": 0, "warmup_steps": 0, "update_probability": 0.0}
    objective = objective_of(discriminator=part, loss={"balancer": balancer})
    backward(objective)
    assert all(p.grad is None for p in objective.discriminators[0][0].parameters())
    assert all(p.requires_grad for p in objective.discriminators[0][0].parameters())


def test_discriminators_do_not_step_by_a_gradient_that_is_not_finite():
    objective = objective_of(discriminator={"start_step": 0, "warmup_steps": 9, "update_probability": 1.0})
    before, decoded = weights_of(objective), audio_of()[1]
    assert math.isnan(
        backward(objective, decoded=(decoded.detach() * np.nan).requires_grad_())["discriminator"]
    )
    assert all(torch.equal(a, b) for a, b in zip(before, weights_of(objective), strict=True))


def test_feature_matching_is_as_the_recipe_has_it():
    objective = objective_of(discriminator={"start_step": 0, "warmup_steps": 0, "update_probability": 0.0})
    relative = backward(objective)["feature"]
    recipe = objective.recipe
    objective.recipe = replace(recipe, loss=replace(recipe.loss, relative_features=False))
    assert backward(objective)["feature"] != pytest.approx(relative, rel=0.05)


def test_discriminators_that_a_checkpoint_lacks_begin_anew():
    objective = objective_of(discriminator={"start_step": 0})
    before = weights_of(objective)
    objective.load_state_dict({**objective.state_dict(), "discriminators": {}})
    assert all(torch.equal(a, b) for a, b in zip(before, weights_of(objective), strict=True))


def test_discriminators_learn_from_the_gradient_of_one_step():
    part = {"start_step": 0, "warmup_steps": 9, "update_probability": 1.0, "learning_rate": 0.0}
    objective, gradients = objective_of(discriminator=part), []
    for _ in range(2):
        backward(objective)
        gradients.append([p.grad.clone() for p in objective.discriminators[0][0].parameters()])
    torch.testing.assert_close(*gradients)


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


@pytest.fixture
def trainer(tiny_recipe, tmp_path):
    rates = {"learning_rate": 3e-3, "final_rate": 1e-3, "warmup_steps": 4}
    run = {"steps": 6, "warm_start_steps": 2, "listen_every": 0}
    return Trainer(tiny_recipe(optimizer=rates, run=run), tmp_path, time_limit=100.0)


def test_the_rate_warms_up_and_falls_to_its_end(trainer):
    def rate(step, done):
        trainer.step = step
        trainer._set_rates(done)
        return trainer.optimizers[0].param_groups[0]["lr"]

    assert [rate(step, 0.0) for step in range(5)] == pytest.approx([0.75e-3, 1.5e-3, 2.25e-3, 3e-3, 3e-3])
    assert [rate(9, done) for done in (0.5, 1.0)] == pytest.approx([2e-3, 1e-3])


def test_only_a_run_that_begins_at_random_begins_without_a_quantiser(trainer):
    plain = replace(trainer.recipe, codebooks=(4,))
    transform = replace(plain, run=replace(plain.run, transform_crops=8))
    for recipe, expected in (
        (plain, [0, 0, 4]),
        (replace(plain, start="weights.safetensors"), [4, 4, 4]),
        (transform, [4, 4, 4]),
    ):
        drawn = []
        for trainer.step in range(3):
            trainer.recipe = recipe
            drawn.append(trainer._draw_codebooks(random.Random(0)))
        assert drawn == expected


def test_a_resumed_run_knows_what_is_over_and_what_was_left_out(trainer):
    trainer.finite = FiniteSteps(3)
    trainer.save(0.25)
    resumed = Trainer(trainer.recipe, trainer.folder, time_limit=100.0, resume=True)
    assert resumed.finite.skipped == 3
    assert resumed._agreed_progress(50.0, False) == pytest.approx(0.25 + 0.75 / 2)


def test_saving_and_listening_leave_the_weights_as_they_are(trainer, monkeypatch):
    class Silent:
        def listen(self, *_):
            return {}

    for value in trainer.average.values:
        value.add_(1)
    before = {k: v.clone() for k, v in trainer.network.state_dict().items()}
    heard = []

    def forward(network, audio, n_q, _):
        heard.append((n_q, next(network.parameters()).detach().clone()))
        return audio, None

    monkeypatch.setattr("sonant.training.loop.forward_normalised", forward)
    trainer.save(0.5)
    trainer._listen(Silent(), {"music": torch.zeros(1, 4800, 1)})
    for key, value in trainer.network.state_dict().items():
        assert torch.equal(before[key], value), key
    ((n_q, parameter),) = heard
    assert n_q == 2
    assert torch.equal(parameter, trainer.average.values[0])


def test_a_step_that_is_left_out_does_not_count_in_the_average(trainer):
    for parameter in trainer.network.parameters():
        parameter.grad = torch.full_like(parameter, float("nan"))
    trainer._apply()
    assert trainer.average.updates == 0
    assert trainer.finite.skipped == 1


def test_a_resumed_run_has_the_discriminators_rate_of_its_recipe():
    slow, fast = (objective_of(discriminator={"start_step": 0, "learning_rate": r}) for r in (1e-4, 1e-3))
    backward(fast)
    slow.load_state_dict(fast.state_dict())
    (optimizer,) = slow.discriminators[0][1]
    assert optimizer.param_groups[0]["lr"] == 1e-4


def test_a_step_in_which_no_loss_has_a_weight_moves_nothing():
    objective = objective_of(
        loss={"time": 0.0, "mel": 0.0},
        discriminator={"start_step": 0, "warmup_steps": 0, "per_bandwidth": True},
    )
    decoded = torch.randn(2, 2400, 1, requires_grad=True)
    backward(objective, decoded=decoded)
    assert not decoded.grad.any()


def test_an_average_leaves_the_network_after_an_error():
    network = nn.Linear(1, 1)
    average, before = WeightAverage(network, 0.9), network.weight.detach().clone()
    average.values[0].add_(1)
    with pytest.raises(OSError, match="disk"), average.in_place(network):
        assert network.weight.item() == pytest.approx(before.item() + 1)
        raise OSError("disk")
    assert torch.equal(network.weight, before)


def test_listening_that_fails_leaves_the_weights_to_the_checkpoint(tiny_recipe, tmp_path):
    class Full:
        def listen(self, *_):
            raise OSError("no space left")

    trainer = Trainer(tiny_recipe(), tmp_path)
    for value in trainer.average.values:
        value.add_(1)
    before = {k: v.clone() for k, v in trainer.network.state_dict().items()}
    with pytest.raises(OSError, match="no space"):
        trainer._listen(Full(), {"music": torch.zeros(1, 4800, 1)})
    for key, value in trainer.network.state_dict().items():
        assert torch.equal(before[key], value), key


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


def test_a_run_that_fails_at_once_leaves_its_checkpoint_as_it_was(tiny_recipe, tmp_path, monkeypatch):
    recipe = with_steps(tiny_recipe(), 4)
    Trainer(recipe, tmp_path / "new")
    trainer = Trainer(recipe, tmp_path)
    trainer.folder.mkdir(exist_ok=True)
    trainer.step = 2
    trainer.save(0.6)
    before = trainer.checkpoint_path.read_bytes()

    def fail(*_):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(Trainer, "_train_step", fail)
    with pytest.raises(RuntimeError, match="out of memory"):
        Trainer(recipe, tmp_path, time_limit=100.0, resume=True).run()
    assert trainer.checkpoint_path.read_bytes() == before
    with pytest.raises(RuntimeError, match="out of memory"):
        Trainer(recipe, tmp_path / "new").run()
    assert not (tmp_path / "new" / "checkpoint.pt").exists()


def test_a_checkpoint_that_cannot_be_written_is_tried_again(tiny_recipe, tmp_path, monkeypatch, capsys):
    recipe = tiny_recipe(run={"checkpoint_minutes": 0.0})
    trainer, save, calls = Trainer(with_steps(recipe, 3), tmp_path), Trainer.save, []

    def full_at_first(self, done):
        calls.append(done)
        if len(calls) == 1:
            raise OSError(28, "No space left on device")
        save(self, done)

    monkeypatch.setattr(Trainer, "save", full_at_first)
    trainer.run()
    assert trainer.step == 3
    assert len(calls) == 4
    assert "no checkpoint this time (No space left on device)" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full is Linux's")
def test_a_full_disk_is_an_error_of_the_system(tmp_path, monkeypatch):
    @contextmanager
    def on_a_full_disk(target):
        yield "/dev/full"

    monkeypatch.setattr(checkpoint, "replacing", on_a_full_disk)
    with pytest.raises(OSError, match="No space left on device"):
        checkpoint.save_state(tmp_path / "checkpoint.pt", {"much": torch.zeros(1_000_000)})


def test_a_resumed_run_has_the_settings_of_its_recipe(tiny_recipe, tmp_path):
    recipe = tiny_recipe()
    Trainer(with_steps(recipe, 1), tmp_path).run()
    other = replace(recipe, optimizer=replace(recipe.optimizer, betas=(0.8, 0.99)))
    resumed = Trainer(other, tmp_path, resume=True)
    assert [group["betas"] for group in resumed.optimizers[0].param_groups] == [(0.8, 0.99)]
    assert resumed.optimizers[0].state
