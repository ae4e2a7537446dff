"""Two processes that train together: the same codebooks on both, and the same run as one process."""

import json
import os
import socket
import subprocess
import sys

import pytest
import torch

from sonant.training.loop import Trainer
from sonant.training.recipe_files import recipe_from_dict
from training.test_language_model import TINY
from training.training_helpers import tiny_values

CODEBOOK = """
import torch
from sonant.nn.quantizer import ResidualVectorQuantizer

def revived(rows):
    torch.manual_seed(0)
    quantizer = ResidualVectorQuantizer(4, 1, 32)
    codebook = torch.randn(1, 32, 4)
    codebook[0, 16:] += 1000
    quantizer.adopt_codebooks(codebook, 256)
    for step in range(400):
        torch.manual_seed(step)
        quantizer(torch.randn(1, 256, 4)[:, rows], 1)
    return quantizer.codebooks
"""

RANK = (
    CODEBOOK
    + """
import json, os, sys
from pathlib import Path
import torch
from sonant.training.loop import Trainer
from sonant.training.recipe_files import recipe_from_dict
recipe = recipe_from_dict(json.loads(sys.argv[1]))
trainer = Trainer(recipe, Path(sys.argv[2]))
trainer.run()
rank = trainer.fabric.global_rank
state = trainer.network.module.state_dict()
if hasattr(os, "sched_getaffinity"):
    state["cores"] = sorted(os.sched_getaffinity(0))
state["draws"] = torch.rand(4)
state["revived"] = revived(slice(128 * rank, 128 * rank + 128))
torch.save(state, sys.argv[2] + f"/rank{rank}.pt")
"""
)

LANGUAGE_MODEL = """
import json, sys
from pathlib import Path
import numpy as np
from sonant.nn.distributed import leave
from sonant.training.language_model import LanguageModelTrainer
from sonant.training.lm_recipe import recipe_from_dict

def trained(values, folder):
    random = np.random.default_rng(0)
    tokens = {"train-speech": random.integers(0, 16, (6, 4, 40)).astype(np.int16)}
    codebooks = random.standard_normal((4, 16, 8)).astype(np.float32)
    trainer = LanguageModelTrainer(recipe_from_dict(values), tokens, codebooks, folder)
    trainer.run()
    return trainer

if __name__ == "__main__":
    trained(json.loads(sys.argv[1]), Path(sys.argv[2]))
    leave()
"""

UNREADABLE_ON_RANK_1 = """
import json, sys
from pathlib import Path
from sonant.errors import AudioError
from sonant.nn.distributed import leave
from sonant.training.loop import Trainer
from sonant.training.file_problems import ATTEMPTS
from sonant.training.recipe_files import recipe_from_dict
recipe = recipe_from_dict(json.loads(sys.argv[1]))
trainer = Trainer(recipe, Path(sys.argv[2]))
rank, crops = trainer.fabric.global_rank, trainer.crops

class Crops:
    def __getitem__(self, number):
        audio, problems = crops[number]
        gone = rank == 1 and number >= 2 * recipe.data.batch_size
        return audio, ["gone.wav"] * ATTEMPTS if gone else problems

trainer.crops = Crops()
try:
    trainer.run()
except AudioError as error:
    Path(sys.argv[2], f"rank{rank}.txt").write_text(str(error))
    leave()
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def run_two_ranks(script, values, folder):
    """What torchrun does: one process per rank, told by the environment; returns what each has said."""
    folder.mkdir()
    shared = {
        "WORLD_SIZE": "2",
        "LOCAL_WORLD_SIZE": "2",
        "GROUP_RANK": "0",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": free_port(),
        "TORCHELASTIC_RUN_ID": "test",
        "OMP_NUM_THREADS": "1",
    }
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script, json.dumps(values), str(folder)],
            env={**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    said = []
    for process in processes:
        said.append(process.communicate(timeout=120)[1])
        assert process.returncode == 0, said[-1]
    return said


def train_on_two_ranks(values, folder):
    run_two_ranks(RANK, values, folder)
    return [torch.load(folder / f"rank{rank}.pt", weights_only=True) for rank in range(2)]


@pytest.fixture(scope="module")
def runs(pack, tmp_path_factory):
    folder = tmp_path_factory.mktemp("ranks")
    values = tiny_values(
        pack,
        data={"batch_size": 4, "seconds": 0.6},
        discriminator={"filters": 2, "windows": [256], "start_step": 2, "per_bandwidth": True},
        loss={"commitment": 30.0, "forgetting": 1.0},
        optimizer={"learning_rate": 1e-5, "final_rate": 1e-5, "warmup_steps": 1, "gradient_clip": 1e9},
        run={"steps": 5, "threads": 1, "warm_start_steps": 0},
    )
    values["codebooks"] = [4]
    values["discriminator"]["warmup_steps"] = 1
    both = train_on_two_ranks(values, folder / "two")
    trainer = Trainer(recipe_from_dict(values), folder / "one")
    start = {k: v.clone() for k, v in trainer.network.module.state_dict().items()}
    trainer.run()
    return both, start, trainer.network.module.state_dict(), folder


def test_every_rank_has_the_same_codebooks_to_the_bit(runs):
    (first, second), *_ = runs
    assert first["quantizer.initialised"].all()
    for key in ("codebooks", "usage", "sums"):
        assert torch.equal(first[f"quantizer.{key}"], second[f"quantizer.{key}"]), key


def test_dead_entries_are_replaced_alike_on_every_rank(runs):
    (first, second), *_ = runs
    here: dict = {}
    exec(CODEBOOK, here)
    assert torch.equal(first["revived"], second["revived"])
    assert first["revived"].abs().max() < 10
    torch.testing.assert_close(first["revived"], here["revived"](slice(None)), rtol=1e-4, atol=1e-5)


def test_every_rank_draws_noise_of_its_own(runs):
    (first, second), *_ = runs
    assert not torch.equal(first["draws"], second["draws"])


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="cores cannot be chosen here")
def test_every_rank_keeps_to_cores_of_its_own(runs):
    (first, second), *_ = runs
    if len(os.sched_getaffinity(0)) == 1:
        assert first["cores"] == second["cores"]
    else:
        assert not set(first["cores"]) & set(second["cores"])


def test_two_ranks_are_one_rank_with_the_doubled_batch(runs):
    """To the noise of Adam, which takes gradients of 1e-12 and −1e-12 for opposite ones of full size.

    Other batches would move the weights by 1.4 times as much elsewhere.
    """
    (first, second), start, alone, folder = runs
    for key, value in alone.items():
        assert torch.equal(first[key], second[key]), key
        if key.startswith("quantizer"):
            torch.testing.assert_close(first[key], value, rtol=1e-3, atol=1e-4)
    names = [key for key in alone if not key.startswith("quantizer")]
    moved = torch.cat([(alone[key] - start[key]).flatten() for key in names])
    moved_by_two = torch.cat([(first[key] - start[key]).flatten() for key in names])
    assert moved.norm() > 0
    assert (moved - moved_by_two).norm() < 0.1 * moved.norm()
    rows = [json.loads(line) for line in (folder / "two" / "log.jsonl").read_text().splitlines()]
    assert "generator" in rows[-1]


def test_the_log_has_the_mean_over_ranks(runs):
    *_, folder = runs
    two, one = (
        json.loads((folder / name / "log.jsonl").read_text().split("\n")[0]) for name in ("two", "one")
    )
    for name in ("time", "mel"):
        assert two[name] == pytest.approx(one[name], rel=1e-3)


def test_a_batch_unreadable_on_one_rank_ends_the_run_on_all(pack, tmp_path):
    folder = tmp_path / "ranks"
    said = run_two_ranks(UNREADABLE_ON_RANK_1, tiny_values(pack), folder)
    first, second = ((folder / f"rank{rank}.txt").read_text() for rank in range(2))
    assert first == "no file of a whole batch could be read, on another rank"
    assert second == "no file of a whole batch could be read; the last: gone.wav"
    assert "problems with files" not in said[0]
    assert "1 problems with files, met 20 times" in said[1]


def test_a_language_model_learns_on_two_ranks_what_it_learns_on_one(tmp_path):
    values = {**TINY, "batch_size": 4, "steps": 6, "random_offset": 50}
    here: dict = {"__name__": "here"}
    exec(LANGUAGE_MODEL, here)
    here["trained"]({**values, "steps": 1, "learning_rate": 0.0}, tmp_path / "none")
    here["trained"](values, tmp_path / "one")
    run_two_ranks(LANGUAGE_MODEL, values, tmp_path / "two")
    start, one, two = (
        torch.cat([value.flatten() for value in state["model"].values()])
        for name in ("none", "one", "two")
        for state in [torch.load(tmp_path / name / "checkpoint.pt", weights_only=True)]
    )
    assert (one - start).norm() > 0
    assert (two - one).norm() < 0.02 * (one - start).norm()
