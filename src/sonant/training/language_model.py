"""Training of the language model on codes (paper, section 3.3).

Sequences of a few seconds are cut from tokenised crops; a batch has one number of codebooks. The
paper's position offset is drawn at random where `random_offset` is set; files restart the model at
every chunk, so a model for them trains with positions from zero.

Embeddings and output layers begin as linear images of the codec's codebooks and learn what differs:
the model starts with knowing which codes sound alike, which is worth hours of training.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from sonant.entropy.lm_store import read_language_model
from sonant.errors import ConfigError
from sonant.nn.distributed import largest
from sonant.nn.language_model import LanguageModel, shifted
from sonant.training.checkpoint import CHECKPOINT_NAME, if_possible, is_there, save_state
from sonant.training.devices import make_fabric
from sonant.training.finite import FiniteSteps
from sonant.training.lm_recipe import LanguageModelRecipe
from sonant.training.lm_restore import restored_state
from sonant.training.memory import keep_freed_memory
from sonant.training.optimizers import load_moments
from sonant.training.progress import LOG_NAME, ProgressLine, cut_log
from sonant.training.schedule import learning_rate, share_done, share_to_go_on_from
from sonant.training.shares import share_of_a_rank
from sonant.training.stopping import StopRequest
from sonant.training.tokens import Tokens

LOWEST_RATE = 0.02
"""Of the highest learning rate, at the end of a run."""


class FromCodebook(nn.Module):
    """Parametrises a table: a learnt linear image of a codebook plus a learnt difference."""

    def __init__(self, codebook: Tensor, projection: nn.Linear) -> None:
        super().__init__()
        self.register_buffer("codebook", codebook)
        self._projection = [projection]

    def forward(self, difference: Tensor) -> Tensor:
        """The table; a row too many in front, for a missing code, is learnt alone."""
        image = self._projection[0](self.codebook)
        return difference + F.pad(image, (0, 0, len(difference) - len(image), 0))


def start_from_codebooks(model: LanguageModel, codebooks: Tensor) -> nn.ModuleList:
    """Tie the tables of `model` to codebooks `[n_q, bins, D]`; returns what has to be trained with it."""
    power = codebooks.square().sum(2, keepdim=True).mean(1, keepdim=True)
    as_input, as_output = codebooks / power.sum().sqrt(), codebooks / power.sqrt()
    tables: list[tuple[list[nn.Module], Tensor, float]] = [
        (list(model.emb), as_input, 1.0),
        (list(model.linears), as_output, 0.3 * model.config.dim**-0.5),
    ]
    if model.conditioner is not None:
        tables.append((list(model.conditioner.emb), as_input, 1.0))
    size, dim = codebooks.shape[2], model.config.dim
    projections = nn.ModuleList(nn.Linear(size, dim, bias=False) for _ in tables)
    for projection, (group, books, scale) in zip(projections, tables, strict=True):
        nn.init.normal_(projection.weight, std=scale)
        for k, table in enumerate(group):
            nn.init.normal_(table.weight, std=0.01)  # type: ignore[arg-type]
            parametrize.register_parametrization(table, "weight", FromCodebook(books[k], projection))
    for linear in model.linears:
        nn.init.zeros_(linear.bias)  # type: ignore[arg-type]
    return projections


def untied(model: LanguageModel) -> dict[str, Tensor]:
    """The state of a model under the official names, on the CPU, parametrised tables written out."""
    state = {k: v for k, v in model.state_dict().items() if "parametrizations" not in k}
    for name, module in model.named_modules():
        if isinstance(module, nn.Embedding | nn.Linear) and parametrize.is_parametrized(module):
            state[f"{name}.weight"] = module.weight
    return {name: tensor.detach().cpu().clone() for name, tensor in state.items()}


def cross_entropy(model: LanguageModel, codes: Tensor, position: int | Tensor = 0) -> Tensor:
    """Nats per code of codes `[B, n_q, T]`, for each codebook `[n_q]`."""
    inputs, _ = model.head_inputs(shifted(codes), None, position, codes)
    losses = [
        F.cross_entropy(linear(x).flatten(0, 1), codes[:, k].flatten())
        for k, (linear, x) in enumerate(zip(model.linears, inputs, strict=False))
    ]
    return torch.stack(losses)


class NatsPerCode(nn.Module):
    """What is trained: a model, with what its tables are tied to; gives `cross_entropy`."""

    def __init__(self, model: LanguageModel, projections: nn.ModuleList) -> None:
        super().__init__()
        self.model, self.projections = model, projections

    def forward(self, codes: Tensor, position: int | Tensor) -> Tensor:
        """Nats `[n_q]` of codes `[B, n_q, T]`."""
        return cross_entropy(self.model, codes, position)


@torch.no_grad()
def bits_per_code(model: LanguageModel, codes: np.ndarray, n_q: int, frames: int) -> float:
    """Bits per code on crops `[crops, n_q, T]`, cut into chunks of `frames` that stand alone."""
    chunks = codes.shape[2] // frames
    cut = codes[:, :n_q, : chunks * frames].reshape(len(codes), n_q, chunks, frames)
    whole = torch.from_numpy(cut.transpose(0, 2, 1, 3).reshape(-1, n_q, frames).astype(np.int64))
    device = next(model.parameters()).device
    sums = [cross_entropy(model, part.to(device)).sum() * len(part) for part in whole.split(8)]
    return float(torch.stack(sums).sum()) / len(whole) / n_q / math.log(2)


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
        self.fabric = make_fabric(recipe.devices, recipe.precision, recipe.threads, some_unused=True)
        self._share = share_of_a_rank(recipe.batch_size, self.fabric.world_size)
        torch.manual_seed(recipe.seed)
        self.model = LanguageModel(recipe.model)
        for parameter in self.model.parameters():
            if parameter.dim() == 2:
                nn.init.normal_(parameter, std=0.02)
        self.projections = nn.ModuleList()
        start = Path(recipe.start) if recipe.start else None
        if start and start.suffix == ".safetensors":
            self._start_from_whole_numbers(start)
        else:
            if recipe.codebook_start:
                self.projections = start_from_codebooks(
                    self.model, torch.from_numpy(codebooks[: recipe.model.n_q])
                )
            if start:
                self._start_from(start)
        network = NatsPerCode(self.model, self.projections)
        optimizer = torch.optim.AdamW(
            network.parameters(),
            recipe.learning_rate,
            betas=(0.9, 0.95),
            weight_decay=recipe.weight_decay,
            fused=True,
        )
        self.network, self.optimizer = self.fabric.setup(network, optimizer)
        self.step, self.seconds, self._done_before = 0, 0.0, 0.0
        self._stop, self._finite = StopRequest(), FiniteSteps()
        if resume and is_there(self.checkpoint_path, self.fabric.device):
            self._load_checkpoint()

    @property
    def checkpoint_path(self) -> Path:
        """Where the run can be continued from."""
        return self.folder / CHECKPOINT_NAME

    def run(self) -> None:
        """Train until the recipe's steps, the time limit or SIGTERM; save at the end."""
        self.folder.mkdir(parents=True, exist_ok=True)
        recipe, before = self.recipe, self.seconds
        first = self.fabric.is_global_zero
        if first:
            cut_log(self.folder / LOG_NAME, self.step)
        progress = ProgressLine(self.folder / LOG_NAME, recipe.log_every) if first else None
        begun = saved = time.monotonic()
        with self._stop:
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
                    audio = recipe.batch_size * recipe.frames / recipe.frame_rate
                    progress.update(self.step, losses, audio, done)
                if time.monotonic() - saved > 60 * recipe.checkpoint_minutes:
                    if_possible(partial(self.save, done))
                    saved = time.monotonic()
            self.save(done)

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
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
            "done": done,
        }
        save_state(self.checkpoint_path, state)

    def _load_checkpoint(self) -> None:
        state = self._start_from(self.checkpoint_path)
        load_moments(self.optimizer, state["optimizer"])
        self.step, self.seconds = state["step"], state["seconds"]
        self._done_before = share_to_go_on_from(state["done"])

    def _start_from(self, path: Path) -> dict[str, Any]:
        """Take over the `checkpoint.pt` of a run, of this codec or one like it; returns all of it."""
        try:
            state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
            self.model.load_state_dict(state["model"])
            self.projections.load_state_dict(state["projections"])
        except Exception as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ConfigError(f"{path}: is no checkpoint of the recipe's model ({reason})") from None
        return state

    def _start_from_whole_numbers(self, path: Path) -> None:
        """Take over an integer model, of this codec or one like it."""
        config, tensors, _ = read_language_model(path)
        if replace(config, name=self.recipe.model.name) != self.recipe.model:
            raise ConfigError(f"{path}: is of other sizes than the recipe's model")
        self.model.load_state_dict(restored_state(config, tensors))

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
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.model.train()
        position: int | Tensor = 0
        if recipe.random_offset:
            drawn = torch.Generator().manual_seed(1_000_003 * recipe.seed + self.step)
            offsets = torch.randint(recipe.random_offset, (recipe.batch_size, 1, 1), generator=drawn)
            position = self._own_share(offsets)
        loss = self.network(codes, position).mean()
        self.optimizer.zero_grad()
        self.fabric.backward(loss)
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), recipe.gradient_clip)
        if self._finite.may_take(self.step, norm):
            self.optimizer.step()
        bits = loss.item() / math.log(2)
        return {"bits": bits, f"bits_{codes.shape[1]}": bits}
