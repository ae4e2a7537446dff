"""Checkpoints: resuming bit for bit, what is refused, what is damaged, full disks."""

import sys
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch
from safetensors.numpy import load_file

from sonant.errors import SonantError
from sonant.training import checkpoint
from sonant.training.checkpoint import load_checkpoint
from sonant.training.finite import FiniteSteps
from sonant.training.loop import Trainer
from training.training_helpers import ADVERSARIAL, losses, with_steps


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


@pytest.mark.parametrize("before", [(), (1, 2, 4), (4, 2, 1, 1)])
def test_discriminators_for_the_same_codebooks_go_on(tiny_recipe, tmp_path, before):
    """Whether the recipe names them or has those of the bandwidths."""
    part = {"filters": 2, "windows": [256], "start_step": 0, "per_bandwidth": True}
    recipe = with_steps(tiny_recipe(discriminator=part), 1)
    assert recipe.codebook_choices == (1, 2, 4)
    Trainer(replace(recipe, codebooks=before), tmp_path).save(0.5)
    for now in ((), (1, 2, 4)):
        assert load_checkpoint(tmp_path / "checkpoint.pt", replace(recipe, codebooks=now))["step"] == 0


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
