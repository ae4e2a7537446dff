"""How long a step of a recipe takes on the device at hand, and where the time goes.

    python benchmarks/training_step.py recipes/24khz.toml --batch 64 --set run.precision=bf16-mixed

Steps are those of `sonant train`, all losses and discriminators in, on noise: reading and mixing audio
is not measured. The table lists kernels, or on a CPU operators, by their own time.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile

from sonant.training.datasets import KINDS
from sonant.training.loop import Trainer
from sonant.training.manifest import MANIFEST_NAME, Recording, write_manifest
from sonant.training.recipe_files import load_recipe

WARM_UP = 3
HALF_WAY = 0.5


def noise_pack(folder: Path, sample_rate: int, channels: int) -> None:
    """A pack with a second of noise, which passes for every kind of sound."""
    noise = np.random.default_rng(0).normal(0, 3000, (sample_rate, channels)).astype("<i2")
    (folder / "noise.pcm").write_bytes(noise.tobytes())
    recordings = [
        Recording(
            "noise.pcm",
            kind,
            "train",
            "noise",
            "",
            length=sample_rate,
            sample_rate=sample_rate,
            channels=channels,
        )
        for kind in KINDS
    ]
    write_manifest(folder / MANIFEST_NAME, recordings)


def synchronise() -> None:
    """Wait until the device has done all that it was given."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def timed_steps(trainer: Trainer, audio: torch.Tensor, count: int) -> list[float]:
    """Seconds of each of so many steps."""
    times = []
    for _ in range(count):
        begun = time.perf_counter()
        trainer._train_step(audio, HALF_WAY)
        synchronise()
        times.append(time.perf_counter() - begun)
        trainer.step += 1
    return times


def table_of_kernels(trainer: Trainer, audio: torch.Tensor, steps: int, rows: int) -> str:
    """What takes most of the device's time in a step, and how much there is in all."""
    gpu = torch.cuda.is_available()
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if gpu else [])]
    with profile(activities=activities) as profiler:
        timed_steps(trainer, audio, steps)
    entries: list[tuple[float, int, str]] = []
    for event in profiler.key_averages():
        on_gpu: Any = getattr(event, "device_type", None)
        if gpu and "CUDA" not in str(on_gpu):
            continue
        own = event.self_device_time_total if gpu else event.self_cpu_time_total
        entries.append((own / steps / 1000, event.count // steps, event.key))
    entries.sort(reverse=True)
    total, launches = sum(own for own, _, _ in entries), sum(count for _, count, _ in entries)
    lines = [f"{total:9.1f} ms {launches:6d}  all"]
    lines += [f"{own:9.1f} ms {count:6d}  {key[:90]}" for own, count, key in entries[:rows]]
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--rows", type=int, default=15)
    parser.add_argument("--set", action="append", default=[], dest="changes")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        changes = [f"data.pack={folder}", f"data.batch_size={options.batch}", "run.devices=1"]
        recipe = load_recipe(options.recipe, [*options.changes, *changes])
        model = recipe.model
        noise_pack(folder, model.sample_rate, model.channels)
        trainer = Trainer(recipe, folder / "run")
        part = recipe.discriminator
        trainer.step = max(recipe.run.warm_start_steps, part.start_step + part.warmup_steps)
        shape = options.batch, int(recipe.data.seconds * model.sample_rate), model.channels
        audio = (0.1 * torch.randn(shape)).to(trainer.fabric.device)
        timed_steps(trainer, audio, WARM_UP)
        middle = float(np.median(timed_steps(trainer, audio, options.steps)))
        seconds = options.batch * recipe.data.seconds / middle
        gpu = torch.cuda.is_available()
        print(torch.cuda.get_device_name() if gpu else "CPU", torch.__version__, recipe.run.precision)
        print(f"{1000 * middle:.0f} ms a step of {options.batch}, {seconds:.1f} s of audio a second")
        if gpu:
            print(f"{torch.cuda.max_memory_allocated() / 2**30:.1f} GiB")
        print(table_of_kernels(trainer, audio, 4, options.rows))


if __name__ == "__main__":
    main()
