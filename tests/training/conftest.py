"""A small corpus of real files, packed once, and recipes on it."""

import numpy as np
import pytest
import soundfile

from sonant.training.datasets import list_recordings
from sonant.training.loop import Trainer
from sonant.training.pack import pack_recordings
from sonant.training.recipe_files import recipe_from_dict
from training.training_helpers import RATE, noise, tiny_values, tone


@pytest.fixture(scope="session")
def corpus_folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("corpus")
    for split in ("train", "validation"):
        for kind in ("speech", "music", "noise"):
            (root / split / kind).mkdir(parents=True)
        for number in range(3):
            name = f"{number}.wav"
            speech = tone(150 + 50 * number, 1.5) * (noise(1.5, seed=number) > 0)
            soundfile.write(root / split / "speech" / name, speech, RATE)
            music = np.stack([tone(440 + 110 * number, 2.0, 44_100), tone(330, 2.0, 44_100)], 1)
            soundfile.write(root / split / "music" / name, music, 44_100)
            soundfile.write(root / split / "noise" / name, noise(1.0, seed=number), RATE)
    return root


@pytest.fixture(scope="session")
def pack(corpus_folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("pack")
    recordings = list_recordings(corpus_folder)
    assert list(pack_recordings(recordings, out, RATE, 1, "pcm")) == []
    return out


@pytest.fixture
def tiny_recipe(pack):
    return lambda **sections: recipe_from_dict(tiny_values(pack, **sections))


@pytest.fixture
def trainer(tiny_recipe, tmp_path):
    rates = {"learning_rate": 3e-3, "final_rate": 1e-3, "warmup_steps": 4}
    run = {"steps": 6, "warm_start_steps": 2, "listen_every": 0}
    return Trainer(tiny_recipe(optimizer=rates, run=run), tmp_path, time_limit=100.0)
