"""The training loop of the codec (paper, section 3.4 and appendix A.1)."""

from __future__ import annotations

import random
import time
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from sonant.errors import AudioError, ConfigError
from sonant.models.store import save_weights
from sonant.nn.distributed import largest, means_over_ranks
from sonant.nn.weights import export_weights
from sonant.training.average import WeightAverage
from sonant.training.checkpoint import (
    CHECKPOINT_NAME,
    State,
    has_discriminators,
    if_possible,
    is_there,
    load_checkpoint,
    save_checkpoint,
    tell_changes,
)
from sonant.training.devices import make_fabric
from sonant.training.discriminator_files import DISCRIMINATORS_NAME, save_discriminators
from sonant.training.file_problems import ATTEMPTS, FileProblems
from sonant.training.finite import FiniteSteps
from sonant.training.forgetting import forgetting_loss
from sonant.training.memory import keep_freed_memory
from sonant.training.mixing import BatchNumbers, MixedCrops, collate, readable_crop
from sonant.training.monitor import Monitor, validation_examples
from sonant.training.networks import build_codec, build_discriminators, frames_per_batch
from sonant.training.objective import Objective
from sonant.training.optimizers import load_moments, make_optimizers
from sonant.training.progress import LOG_NAME, ProgressLine, cut_log, tell_of_no_step
from sonant.training.recipe import Recipe
from sonant.training.schedule import learning_rate, share_done, share_to_go_on_from
from sonant.training.shares import share_of_a_rank
from sonant.training.start import fit_transform
from sonant.training.stopping import StopRequest, leave_signals_to_the_parent
from sonant.training.volume import forward_normalised
from sonant.whole_files import remove_partials

WEIGHTS_NAME = "weights.safetensors"
SEEDS_OF_A_RANK = 1_000_000_007


class Trainer:
    """One run of a recipe in a folder, which receives checkpoint, weights, log and TensorBoard events.

    Args:
        recipe: what to train and how.
        folder: where everything goes.
        time_limit: seconds after which the run saves and ends; the learning rate then falls over
            the time rather than over the recipe's steps.
        resume: continue from the folder's checkpoint, if there is one.

    Raises:
        SonantError: if the recipe cannot be run on so many processes, or from what it begins with.
    """

    def __init__(
        self, recipe: Recipe, folder: Path, time_limit: float | None = None, resume: bool = False
    ) -> None:
        keep_freed_memory()
        self.recipe, self.folder, self.time_limit = recipe, folder, time_limit
        run, learns_by_gradient = recipe.run, recipe.quantizer != "rvq"
        self.fabric = make_fabric(run.devices, run.precision, run.threads, learns_by_gradient)
        _check_batch(recipe, self.fabric.world_size)
        self.fabric.seed_everything(recipe.run.seed, verbose=False)
        self.crops = MixedCrops(
            recipe.data, recipe.model.sample_rate, recipe.model.channels, recipe.run.seed
        )
        resumes = resume and is_there(self.checkpoint_path, self.fabric.device)
        state = load_checkpoint(self.checkpoint_path, recipe) if resumes else None
        network = build_codec(recipe, resumes)
        if recipe.run.transform_crops and not recipe.start and not resumes:
            fit_transform(network, self.crops, recipe.run.transform_crops, frames_per_batch(recipe))
        rates = recipe.optimizer
        optimizers = make_optimizers(network, rates.kind, rates.learning_rate, rates.betas)
        if recipe.run.compile:
            network.encoder.compile()
            network.decoder.compile()
        self.network, *self.optimizers = self.fabric.setup(network, *optimizers)
        self.average = WeightAverage(self.network, rates.average_decay)
        judged = state is not None and has_discriminators(state)
        self.objective = Objective(recipe, self.fabric, build_discriminators(recipe, judged))
        self.step, self.finite = 0, FiniteSteps()
        self.done_before = 0.0
        self.problems = FileProblems()
        self._stop = StopRequest()
        if state is not None:
            self._restore(state)

    @property
    def checkpoint_path(self) -> Path:
        """Where the run can be continued from."""
        return self.folder / CHECKPOINT_NAME

    def run(self) -> None:
        """Train until the recipe's steps, the time limit or SIGTERM; save at the end.

        Raises:
            SonantError: if too many steps in a row gave no finite gradient, or no file can be read.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self._check_first_crop()
        with self._stop:
            self._train()

    def _train(self) -> None:
        first = self.fabric.is_global_zero
        if first:
            cut_log(self.folder / LOG_NAME, self.step)
        progress = ProgressLine(self.folder / LOG_NAME, self.recipe.run.log_every) if first else None
        monitor = Monitor(self.folder, self.recipe.model.sample_rate, self.step) if first else None
        examples = validation_examples(self.recipe) if first and self.recipe.run.listen_every else {}
        started = saved = time.monotonic()
        done, begun_at = self.done_before, self.step
        try:
            for audio, problems in self._batches():
                self.problems.note(problems)
                unreadable = len(problems) >= ATTEMPTS * len(audio)
                done = self._agreed_progress(time.monotonic() - started, unreadable)
                if done >= 1 or self._stop.made:
                    break
                values = self._train_step(audio, done)
                self.step += 1
                if progress and monitor:
                    data = self.recipe.data
                    row = progress.update(self.step, values, data.batch_size * data.seconds, done)
                    if row:
                        monitor.curves(self.step, row)
                    if examples and self.step % self.recipe.run.listen_every == 0:
                        progress.record(self.step, self._listen(monitor, examples))
                if time.monotonic() - saved > 60 * self.recipe.run.checkpoint_minutes:
                    if_possible(partial(self.save, done))
                    saved = time.monotonic()
        finally:
            if monitor:
                monitor.close()
            self.problems.report()
            if self.step > begun_at:
                self.save(done)
        if first and self.step == begun_at and not self._stop.made:
            tell_of_no_step()

    def _batches(self) -> Any:
        data, fabric = self.recipe.data, self.fabric
        numbers = BatchNumbers(data.batch_size, self.step, fabric.global_rank, fabric.world_size)
        loader = DataLoader(
            self.crops,
            batch_sampler=numbers,  # type: ignore[arg-type]
            num_workers=data.workers,
            prefetch_factor=8 if data.workers else None,
            collate_fn=collate,
            generator=torch.Generator(),
            worker_init_fn=leave_signals_to_the_parent,
            pin_memory=fabric.device.type == "cuda",
        )
        return fabric.setup_dataloaders(loader, use_distributed_sampler=False)

    def _check_first_crop(self) -> None:
        """Fail with a sentence before anything is started where nothing can be read."""
        readable_crop(self.crops, self.step * self.recipe.data.batch_size)

    def _agreed_progress(self, elapsed: float, unreadable: bool) -> float:
        """The fraction of the run that is over, the same on all ranks; so is the wish to stop.

        Args:
            unreadable: no file of this rank's batch could be read.

        Raises:
            AudioError: on all ranks, if that is so on one.
        """
        done = share_done(self.step / self.recipe.run.steps, elapsed, self.time_limit, self.done_before)
        done, stop, no_file = largest(self.fabric.device, done, self._stop.made, unreadable)
        if no_file:
            where = f"; the last: {[*self.problems.times][-1]}" if unreadable else ", on another rank"
            raise AudioError(f"no file of a whole batch could be read{where}")
        self._stop.made = bool(stop)
        return done

    def _set_rates(self, done: float) -> None:
        rates = self.recipe.optimizer
        rate = learning_rate(self.step, done, rates.learning_rate, rates.final_rate, rates.warmup_steps)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate

    def _draw_codebooks(self, draw: random.Random) -> int:
        run = self.recipe.run
        if not self.recipe.start and not run.transform_crops and self.step < run.warm_start_steps:
            return 0
        return draw.choice(self.recipe.codebook_choices)

    def _train_step(self, audio: Tensor, done: float) -> dict[str, float]:
        self.network.train()
        if self.recipe.decoder_only:
            self.network.module.quantizer.eval()
        self._set_rates(done)
        seed = self.recipe.run.seed * 1_000_003 + self.step
        draw = random.Random(seed)
        torch.manual_seed(seed + self.fabric.global_rank * SEEDS_OF_A_RANK)
        n_q = self._draw_codebooks(draw)
        most = min(self.recipe.run_up, len(audio) - 1)
        network = partial(self.network, run_up=draw.randint(0, most)) if most else self.network
        decoded, quantized = forward_normalised(network, audio, n_q, self.recipe.model.normalize)
        of_network = {"commitment": quantized.commitment}
        if self.recipe.loss.forgetting:
            with self.fabric.autocast():
                again = forgetting_loss(self.network.module, quantized.latents, decoded, draw)
            of_network["forgetting"] = again
        self.network.zero_grad()
        values = self.objective.backward(self.step, n_q, audio, decoded, of_network, draw)
        self._apply()
        return means_over_ranks(self.fabric.device, values)

    def _apply(self) -> None:
        """One step of the optimiser, unless a gradient is not finite."""
        norm = torch.nn.utils.clip_grad_norm_(
            self.network.parameters(), self.recipe.optimizer.gradient_clip
        )
        if self.finite.may_take(self.step, norm):
            for optimizer in self.optimizers:
                optimizer.step()
            self.average.update(self.network)

    @torch.no_grad()
    def _listen(self, monitor: Monitor, examples: dict[str, Tensor]) -> dict[str, float]:
        """Decode the examples with the averaged weights at the middle bandwidth."""
        choices = sorted(set(self.recipe.codebook_choices))
        n_q = choices[len(choices) // 2]
        quality: dict[str, float] = {}
        network = self.network.module.eval()
        with self.average.in_place(self.network):
            for kind, audio in examples.items():
                inputs = audio.to(self.fabric.device)
                with self.fabric.autocast():
                    decoded, _ = forward_normalised(network, inputs, n_q, self.recipe.model.normalize)
                quality |= monitor.listen(self.step, kind, audio, decoded.cpu())
        return quality

    def save(self, done: float) -> None:
        """Write checkpoint, averaged weights and discriminators, each under a temporary name first."""
        if self.fabric.is_global_zero:
            state = {
                "step": self.step,
                "skipped": self.finite.skipped,
                "done": done,
                "network": self.network.state_dict(),
                "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
                "average": self.average.state_dict(),
                "objective": self.objective.state_dict(),
            }
            save_checkpoint(self.checkpoint_path, self.recipe, state)
            for name in (WEIGHTS_NAME, DISCRIMINATORS_NAME):
                remove_partials(self.folder / name)
            if self.recipe.quantizer == "rvq":
                with self.average.in_place(self.network):
                    weights = export_weights(self.network.module)
                save_weights(self.folder / WEIGHTS_NAME, weights, self.recipe.model)
            if networks := {key: n.module for key, (n, _) in self.objective.discriminators.items()}:
                save_discriminators(self.folder / DISCRIMINATORS_NAME, networks)

    def _restore(self, state: State) -> None:
        self.step, self.finite = state["step"], FiniteSteps(state["skipped"])
        self.done_before = share_to_go_on_from(state["done"])
        self.network.load_state_dict(state["network"])
        for optimizer, moments in zip(self.optimizers, state["optimizers"], strict=True):
            load_moments(optimizer, moments)
        self.average.load_state_dict(state["average"])
        self.objective.load_state_dict(state["objective"])
        if self.fabric.is_global_zero:
            tell_changes(state, self.recipe)


def _check_batch(recipe: Recipe, ranks: int) -> None:
    """Every rank has as many crops; where it has only one, there are no others to hear before it."""
    share = share_of_a_rank(recipe.data.batch_size, ranks)
    if recipe.run_up and share == 1:
        raise ConfigError(
            "run_up is of use only with 2 crops or more in each process: raise data.batch_size"
        )
