"""Training of the language model on codes (paper, section 3.3).

Sequences of a few seconds are cut from tokenised crops; a batch has one number of codebooks. The
paper's position offset is drawn at random where `random_offset` is set; files restart the model at
every chunk, so a model for them trains with positions from zero.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sonant.entropy.lm_store import read_language_model
from sonant.errors import ConfigError
from sonant.nn.distributed import largest
from sonant.nn.language_model import LanguageModel
from sonant.training.checkpoint import (
    CHECKPOINT_NAME,
    State,
    if_possible,
    is_there,
    read_checkpoint,
    save_checkpoint,
    tell_changes,
)
from sonant.training.devices import make_fabric
from sonant.training.finite import FiniteSteps
from sonant.training.lm_loss import NatsPerCode, bits_per_code
from sonant.training.lm_recipe import LanguageModelRecipe
from sonant.training.lm_restore import restored_state, silent_step_networks
from sonant.training.lm_tables import start_from_codebooks
from sonant.training.memory import keep_freed_memory
from sonant.training.optimizers import load_moments, make_lm_optimizers
from sonant.training.progress import LOG_NAME, ProgressLine, cut_log, tell_of_no_step
from sonant.training.schedule import learning_rate, share_done, share_to_go_on_from
from sonant.training.shares import share_of_a_rank
from sonant.training.stopping import StopRequest
from sonant.training.tokens import Tokens

LOWEST_RATE = 0.02
"""Of the highest learning rate, at the end of a run."""


class LanguageModelTrainer:
    """One run in a folder, which receives `checkpoint.pt`.

    Args:
        recipe: what to train and how.
        tokens: codes by kind, `train-*` and `validation-*`.
        codebooks: of the codec, `[n_q, bins, D]`.
        folder: where the run lives.
        time_limit: seconds from the start of `run`; the learning rate falls over the time rather than over
            the steps.
        resume: continue from the folder's checkpoint, if there is one.

    Raises:
        SonantError: if the tokens are too short for the recipe, or what the run begins with is of another
            model or cannot be read.
    """

    def __init__(
        self,
        recipe: LanguageModelRecipe,
        tokens: Tokens,
        codebooks: np.ndarray,
        folder: Path,
        time_limit: float | None = None,
        resume: bool = False,
    ) -> None:
        keep_freed_memory()
        self.recipe, self.folder, self.time_limit, self.tokens = recipe, folder, time_limit, tokens
        self._crop_frames = min(codes.shape[2] for codes in tokens.values())
        recipe.check_crop(self._crop_frames)
        self.fabric = make_fabric(recipe.devices, recipe.precision, recipe.threads, some_unused=True)
        self._share = share_of_a_rank(recipe.batch_size, self.fabric.world_size)
        torch.manual_seed(recipe.seed)
        self.model = LanguageModel(recipe.model)
        for parameter in self.model.parameters():
            if parameter.dim() == 2:
                nn.init.normal_(parameter, std=0.02)
        self.projections = nn.ModuleList()
        resumes = resume and is_there(self.checkpoint_path, self.fabric.device)
        state = self._checkpoint() if resumes else None
        self._begin(torch.from_numpy(codebooks[: recipe.model.n_q]), state)
        network = NatsPerCode(self.model, self.projections)
        optimizers = make_lm_optimizers(
            network, recipe.optimizer, recipe.learning_rate, recipe.weight_decay
        )
        self.network, *self.optimizers = self.fabric.setup(network, *optimizers)
        self.step, self.seconds, self._done_before = 0, 0.0, 0.0
        self._stop, self._finite = StopRequest(), FiniteSteps()
        if state is not None:
            self._restore(state)

    @property
    def checkpoint_path(self) -> Path:
        """Where the run can be continued from."""
        return self.folder / CHECKPOINT_NAME

    @property
    def stopped(self) -> bool:
        """Whether a signal has ended the run."""
        return self._stop.made

    def run(self) -> None:
        """Train until the recipe's steps, the time limit or SIGTERM; save at the end.

        Raises:
            SonantError: if too many steps in a row gave no finite gradient.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._stop:
            self._train()

    def _train(self) -> None:
        recipe, before = self.recipe, self.seconds
        first = self.fabric.is_global_zero
        if first:
            cut_log(self.folder / LOG_NAME, self.step)
        progress = ProgressLine(self.folder / LOG_NAME, recipe.log_every) if first else None
        audio = recipe.batch_size * recipe.crop_seconds * recipe.frames / self._crop_frames
        begun = saved = time.monotonic()
        done, begun_at = self._done_before, self.step
        try:
            for codes in self._batches():
                elapsed = time.monotonic() - begun
                self.seconds = before + elapsed
                done, stop = largest(self.fabric.device, self._done(elapsed), self._stop.made)
                self._stop.made = bool(stop)
                if done >= 1 or self._stop.made:
                    break
                losses = self._train_step(codes, done)
                self.step += 1
                if progress:
                    progress.update(self.step, losses, audio, done)
                if time.monotonic() - saved > 60 * recipe.checkpoint_minutes:
                    if_possible(partial(self.save, done))
                    saved = time.monotonic()
        finally:
            if self.step > begun_at:
                self.save(done)
        if first and self.step == begun_at and not self.stopped:
            tell_of_no_step()

    def validate(self) -> dict[str, float]:
        """Bits per code by kind and number of codebooks, chunked as in files."""
        self.model.eval()
        return {
            f"{kind} {n_q}": bits_per_code(self.model, codes, n_q, self.recipe.frames)
            for kind, codes in self.tokens.items()
            if kind.startswith("validation")
            for n_q in self.recipe.codebooks
        }

    def save(self, done: float) -> None:
        """Write the checkpoint atomically, on one rank; `done` is the share of the run behind it."""
        if not self.fabric.is_global_zero:
            return
        state = {
            "model": self.model.state_dict(),
            "projections": self.projections.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "step": self.step,
            "skipped": self._finite.skipped,
            "seconds": self.seconds,
            "done": done,
        }
        save_checkpoint(self.checkpoint_path, self.recipe, state)

    def _begin(self, codebooks: Tensor, state: State | None) -> None:
        """Give the model what it learns from: the weights of a checkpoint, or what the recipe says.

        A run that resumes has its own, and what it started from need not be there any more.
        """
        start = Path(self.recipe.start) if self.recipe.start and state is None else None
        if start and start.suffix == ".safetensors":
            self._start_from_whole_numbers(start)
            return
        tied = self.recipe.codebook_start if state is None else bool(state.get("projections"))
        if tied:
            self.projections = start_from_codebooks(self.model, codebooks)
        path = start if state is None else self.checkpoint_path
        if path:
            with _of_the_model(path):
                self._take_over(state or torch.load(path, map_location="cpu", weights_only=True))

    def _checkpoint(self) -> State:
        state = read_checkpoint(self.checkpoint_path)
        if state["recipe"].get("optimizer") != self.recipe.optimizer:
            reason = f"its optimiser is not {self.recipe.optimizer}; start from it in another --output"
            raise ConfigError(f"{self.checkpoint_path}: {reason}")
        return state

    def _restore(self, state: State) -> None:
        for optimizer, moments in zip(self.optimizers, state["optimizers"], strict=True):
            load_moments(optimizer, moments)
        self.step, self.seconds = state["step"], state["seconds"]
        self._finite = FiniteSteps(state["skipped"])
        self._done_before = share_to_go_on_from(state["done"])
        if self.fabric.is_global_zero:
            tell_changes(state, self.recipe)

    def _take_over(self, state: State) -> None:
        """Take over the weights of a checkpoint, of this codec or one like it."""
        self.model.load_state_dict(state["model"])
        self.projections.load_state_dict(state["projections"])

    def _start_from_whole_numbers(self, path: Path) -> None:
        """Take over an integer model, which may lack the recipe's `step_feed_forward`."""
        config, tensors, _ = read_language_model(path)
        wanted = replace(self.recipe.model, name=config.name)
        state = restored_state(config, tensors)
        if replace(wanted, step_feed_forward=0) == config:
            state |= silent_step_networks(self.model)
        elif wanted != config:
            raise ConfigError(f"{path}: is of other sizes than the recipe's model")
        self.model.load_state_dict(state)

    def _done(self, elapsed: float) -> float:
        return share_done(self.step / self.recipe.steps, elapsed, self.time_limit, self._done_before)

    def _batches(self) -> Iterator[Tensor]:
        recipe = self.recipe
        kinds = [kind for kind in self.tokens if kind.startswith("train")]
        sizes = np.array([self.tokens[kind][:, 0].size for kind in kinds], float)
        weights = np.array(recipe.codebook_weights) / sum(recipe.codebook_weights)
        while True:
            random = np.random.default_rng((recipe.seed, self.step))
            n_q = int(random.choice(recipe.codebooks, p=weights))
            rows: list[Any] = []
            for kind in random.choice(kinds, recipe.batch_size, p=sizes / sizes.sum()):
                crops = self.tokens[kind]
                start = random.integers(crops.shape[2] - recipe.frames + 1)
                rows.append(crops[random.integers(len(crops)), :n_q, start : start + recipe.frames])
            yield self._own_share(torch.from_numpy(np.stack(rows).astype(np.int64)))

    def _own_share(self, rows: Tensor) -> Tensor:
        """This rank's part of what all ranks have drawn alike."""
        return rows.split(self._share)[self.fabric.global_rank].to(self.fabric.device)

    def _train_step(self, codes: Tensor, done: float) -> dict[str, float]:
        recipe = self.recipe
        highest = recipe.learning_rate
        rate = learning_rate(self.step, done, highest, LOWEST_RATE * highest, recipe.warmup_steps)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
        self.model.train()
        position: int | Tensor = 0
        if recipe.random_offset:
            drawn = torch.Generator().manual_seed(1_000_003 * recipe.seed + self.step)
            offsets = torch.randint(recipe.random_offset, (recipe.batch_size, 1, 1), generator=drawn)
            position = self._own_share(offsets)
        loss = self.network(codes, position).mean()
        self.network.zero_grad()
        self.fabric.backward(loss)
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), recipe.gradient_clip)
        if self._finite.may_take(self.step, norm):
            for optimizer in self.optimizers:
                optimizer.step()
        bits = loss.item() / math.log(2)
        return {"bits": bits, f"bits_{codes.shape[1]}": bits}


@contextmanager
def _of_the_model(path: Path) -> Iterator[None]:
    """What goes wrong with a checkpoint is a ConfigError that names it."""
    try:
        yield
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConfigError(f"{path}: is no checkpoint of the recipe's model ({reason})") from None
