"""The training loop of the codec (paper, section 3.4 and appendix A.1)."""

from __future__ import annotations

import math
import os
import random
import signal
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.utils.data import DataLoader

from sonant.errors import SonantError
from sonant.models.store import load_weights as load_weights_file
from sonant.models.store import save_weights
from sonant.nn.codec import CodecNetwork
from sonant.nn.discriminators import Discriminators, multi_scale_stft
from sonant.nn.initialization import initialise
from sonant.nn.weights import export_weights, load_weights
from sonant.training.adversarial import Balancer, discriminator_loss, feature_loss, generator_loss
from sonant.training.average import WeightAverage
from sonant.training.losses import MelLoss, time_loss
from sonant.training.memory import keep_freed_memory
from sonant.training.mixing import MixedCrops
from sonant.training.progress import ProgressLine
from sonant.training.recipe import Recipe

MAX_BAD_STEPS = 20


class Trainer:
    """One run of a recipe in a folder, which receives `checkpoint.pt` and `weights.safetensors`.

    Args:
        recipe: what to train and how.
        folder: where checkpoints and weights go.
        time_limit: seconds after which the run saves and ends; the learning rate then falls over
            the time rather than over the recipe's steps.
        resume: continue from the folder's checkpoint, if there is one.
    """

    def __init__(
        self, recipe: Recipe, folder: Path, time_limit: float | None = None, resume: bool = False
    ) -> None:
        keep_freed_memory()
        self.recipe, self.folder, self.time_limit = recipe, folder, time_limit
        if recipe.run.threads:
            torch.set_num_threads(recipe.run.threads)
        self.fabric = Fabric(devices=1, precision=recipe.run.precision)  # type: ignore[arg-type]
        self.fabric.seed_everything(recipe.run.seed, verbose=False)
        config = recipe.model
        network = CodecNetwork(config)
        initialise(network)
        if recipe.start:
            weights, _ = load_weights_file(Path(recipe.start))
            load_weights(network, weights, self.frames_per_batch)
        rates = recipe.optimizer
        optimizer = torch.optim.Adam(network.parameters(), rates.learning_rate, betas=rates.betas)
        self.network, self.optimizer = self.fabric.setup(network, optimizer)
        self.average = WeightAverage(self.network, rates.average_decay)
        self.mel_loss = MelLoss(config.sample_rate).to(self.fabric.device)
        self.balancer = Balancer(self._loss_weights())
        self.step, self.bad_steps, self.seconds = 0, 0, 0.0
        self._set_up_discriminator()
        self._stop = False
        if resume and self.checkpoint_path.exists():
            self._load_checkpoint()

    def _set_up_discriminator(self) -> None:
        part = self.recipe.discriminator
        self.discriminator: Any = None
        if part.start_step < 0:
            return
        discriminator = Discriminators(multi_scale_stft(part.windows, part.filters))
        optimizer = torch.optim.Adam(
            discriminator.parameters(), part.learning_rate, betas=self.recipe.optimizer.betas
        )
        self.discriminator, self.discriminator_optimizer = self.fabric.setup(
            discriminator, optimizer
        )

    def _loss_weights(self) -> dict[str, float]:
        loss = self.recipe.loss
        return {"time": loss.time, "mel": loss.mel, "generator": loss.generator, "feature": loss.feature}

    @property
    def frames_per_batch(self) -> int:
        """Latent vectors in one batch."""
        data = self.recipe.data
        frames = self.recipe.model.frames_for(int(data.seconds * self.recipe.model.sample_rate))
        return data.batch_size * frames

    @property
    def checkpoint_path(self) -> Path:
        """Where the run can be continued from."""
        return self.folder / "checkpoint.pt"

    def run(self) -> None:
        """Train until the recipe's steps, the time limit or SIGTERM; save at the end.

        Raises:
            SonantError: if too many steps in a row gave no finite gradient.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask_to_stop)
        data = self.recipe.data
        crops = MixedCrops(data, self.recipe.model.sample_rate, self.recipe.run.seed + self.step)
        loader = DataLoader(crops, data.batch_size, num_workers=1, prefetch_factor=8)
        started, saved = time.monotonic(), time.monotonic()
        progress = ProgressLine(self.folder / "log.jsonl", self.recipe.run.log_every)
        for batch in self.fabric.setup_dataloaders(loader):
            elapsed = time.monotonic() - started
            done = self._progress(elapsed)
            if self._stop or done >= 1:
                break
            losses = self._train_step(batch, done)
            self.step += 1
            audio_seconds = data.batch_size * data.seconds
            progress.update(self.step, losses, audio_seconds, done)
            if time.monotonic() - saved > 60 * self.recipe.run.checkpoint_minutes:
                self.save()
                saved = time.monotonic()
        self.seconds += time.monotonic() - started
        self.save()

    def _ask_to_stop(self, *_: Any) -> None:
        self._stop = True

    def _progress(self, elapsed: float) -> float:
        by_steps = self.step / self.recipe.run.steps
        return max(by_steps, elapsed / self.time_limit) if self.time_limit else by_steps

    def _set_rates(self, done: float) -> None:
        rates = self.recipe.optimizer
        warm = min(1.0, (self.step + 1) / max(1, rates.warmup_steps))
        cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
        rate = rates.final_rate + (rates.learning_rate - rates.final_rate) * cosine
        for group in self.optimizer.param_groups:
            group["lr"] = warm * rate

    def _draw_codebooks(self) -> int:
        if not self.recipe.start and self.step < self.recipe.run.warm_start_steps:
            return 0
        model = self.recipe.model
        choices = self.recipe.codebooks or tuple(map(model.codebooks_for, model.bandwidths))
        return random.Random(self.recipe.run.seed * 1_000_003 + self.step).choice(choices)

    def _train_step(self, audio: Tensor, done: float) -> dict[str, float]:
        self.network.train()
        self._set_rates(done)
        n_q = self._draw_codebooks()
        decoded, quantized = self.network(audio, n_q)
        decoded = decoded.float()
        losses = {"time": time_loss(audio, decoded), "mel": self.mel_loss(audio, decoded)}
        part = self.recipe.discriminator
        adversarial = self.discriminator is not None and self.step >= part.start_step
        values: dict[str, float] = {}
        if adversarial:
            real_logits, real = self._discriminate(audio)
            if random.random() < part.update_probability:
                values["discriminator"] = self._update_discriminator(real_logits, decoded.detach())
            if self.step >= part.start_step + part.warmup_steps:
                self.discriminator.requires_grad_(False)
                logits, fake = self._discriminate(decoded)
                losses["generator"] = generator_loss(logits)
                losses["feature"] = feature_loss(real, fake)
                self.discriminator.requires_grad_(True)
        self._backward(losses, quantized.commitment, decoded)
        values |= {name: loss.item() for name, loss in losses.items()}
        values["commitment"] = quantized.commitment.item()
        self._apply()
        return values

    def _discriminate(self, audio: Tensor) -> Any:
        return self.discriminator(audio.transpose(1, 2))

    def _update_discriminator(self, real_logits: list[Tensor], decoded: Tensor) -> float:
        fake_logits, _ = self._discriminate(decoded)
        loss = discriminator_loss(real_logits, fake_logits)
        self.discriminator_optimizer.zero_grad()
        self.fabric.backward(loss)
        self.discriminator_optimizer.step()
        return loss.item()

    def _backward(self, losses: dict[str, Tensor], commitment: Tensor, decoded: Tensor) -> None:
        self.optimizer.zero_grad()
        outside = self.recipe.loss.commitment * commitment
        if self.recipe.loss.balancer:
            gradient = self.balancer.gradient(losses, decoded)
            tensors = [decoded] + ([outside] if outside.requires_grad else [])
            torch.autograd.backward(tensors, [gradient, None][: len(tensors)])
        else:
            weights = self._loss_weights()
            total = sum(weights[name] * loss for name, loss in losses.items()) + outside
            self.fabric.backward(total)

    def _apply(self) -> None:
        """One step of the optimiser, unless a gradient is not finite."""
        norm = torch.nn.utils.clip_grad_norm_(
            self.network.parameters(), self.recipe.optimizer.gradient_clip
        )
        if not torch.isfinite(norm):
            self.bad_steps += 1
            if self.bad_steps >= MAX_BAD_STEPS:
                raise SonantError(f"step {self.step}: {MAX_BAD_STEPS} gradients in a row are not finite")
            return
        self.bad_steps = 0
        self.optimizer.step()
        self.average.update(self.network)

    def save(self) -> None:
        """Write the checkpoint and the averaged weights, each under a temporary name first."""
        state = {
            "recipe": self.recipe.to_dict(),
            "step": self.step,
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average.state_dict(),
            "balancer": self.balancer.state_dict(),
        }
        if self.discriminator is not None:
            state["discriminator"] = self.discriminator.state_dict()
            state["discriminator_optimizer"] = self.discriminator_optimizer.state_dict()
        temporary = self.checkpoint_path.with_suffix(".partial")
        torch.save(state, temporary)
        os.replace(temporary, self.checkpoint_path)
        self.average.swap(self.network)
        weights = export_weights(self.network.module)
        self.average.swap(self.network)
        save_weights(self.folder / "weights.safetensors", weights, self.recipe.model)

    def _load_checkpoint(self) -> None:
        state: defaultdict[str, Any] = torch.load(self.checkpoint_path, "cpu", weights_only=True)
        self.step = state["step"]
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.average.load_state_dict(state["average"])
        self.balancer.load_state_dict(state["balancer"])
        if self.discriminator is not None and "discriminator" in state:
            self.discriminator.load_state_dict(state["discriminator"])
            self.discriminator_optimizer.load_state_dict(state["discriminator_optimizer"])
