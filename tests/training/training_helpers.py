"""Sounds to test with, and a recipe small enough for a test."""

import json
from dataclasses import replace

import numpy as np
import torch

RATE = 24_000
ADVERSARIAL = {"start_step": 2, "per_bandwidth": True}


def tone(frequency, seconds, rate=RATE, level=0.3):
    time = np.arange(int(seconds * rate)) / rate
    vibrato = 5 * np.sin(2 * np.pi * 3 * time)
    return (level * np.sin(2 * np.pi * frequency * time + vibrato)).astype(np.float32)


def noise(seconds, rate=RATE, level=0.1, seed=0):
    random = np.random.default_rng(seed)
    return (level * random.standard_normal(int(seconds * rate))).astype(np.float32)


def white_noise(seed, samples=RATE):
    return 0.1 * torch.randn(2, samples, 1, generator=torch.Generator().manual_seed(seed))


def after_descent(loss, reference, decoded):
    """The loss after 40 steps of Adam on the decoded audio itself."""
    decoded = decoded.clone().requires_grad_()
    optimizer = torch.optim.Adam([decoded], 0.01)
    for _ in range(40):
        optimizer.zero_grad()
        value = loss(reference, decoded)
        value.backward()
        optimizer.step()
    return value


def gradient_of_silence(loss):
    silent = torch.zeros(1, 6000, 2, requires_grad=True)
    loss(torch.zeros(1, 6000, 2), silent).backward()
    return silent.grad


def tiny_values(pack, **sections):
    values = {
        "model": {
            "name": "tiny",
            "sample_rate": RATE,
            "n_filters": 2,
            "dimension": 8,
            "lstm_layers": 1,
            "n_q": 4,
            "bins": 16,
            "bandwidths": [0.3, 0.6, 1.2],
        },
        "data": {"pack": str(pack), "batch_size": 2, "seconds": 0.2, "workers": 0},
        "discriminator": {"filters": 2, "windows": [256, 128], "warmup_steps": 1},
        "run": {"steps": 6, "warm_start_steps": 1, "log_every": 1, "listen_every": 0},
    }
    for name, changes in sections.items():
        values[name] = {**values.get(name, {}), **changes} if isinstance(changes, dict) else changes
    return values


def losses(folder):
    rows = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [{k: v for k, v in row.items() if k != "audio_seconds_per_second"} for row in rows]


def with_steps(recipe, steps):
    return replace(recipe, run=replace(recipe.run, steps=steps))
