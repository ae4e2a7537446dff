"""Training crops mixed from several sources (paper, section 4.1): strategies, gains, rooms, clipping."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soxr
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from sonant.errors import AudioError, ConfigError
from sonant.training.corpus import Corpus
from sonant.training.file_problems import ATTEMPTS, none_readable
from sonant.training.manifest import Recording
from sonant.training.recipe_sections import DataRecipe
from sonant.training.reverberation import RT60_RANGE, measured_rt60, reverberate, synthesise_response
from sonant.training.shares import share_of_a_rank

SILENCE_RMS = 3e-3

Audio = NDArray[np.float32]
Problems = list[str]


class MixedCrops(Dataset[tuple[Tensor, Problems]]):
    """An endless row of training crops `[T, channels]`, each made from its number and the seed alone.

    Each crop follows one strategy drawn by weight: its kinds of sound are cropped, each played at
    a speed drawn from `speed` and scaled by a gain drawn from `gain_db`, and added; sometimes a
    room is added, never to music alone.
    Clipped mixes and silence are drawn again, as are files that cannot be read; those are named.
    """

    def __init__(self, recipe: DataRecipe, sample_rate: int, channels: int, seed: int) -> None:
        self.corpus = Corpus([Path(p) for p in recipe.packs], sample_rate, channels)
        self.recipe, self.seed = recipe, seed
        self.length = int(recipe.seconds * sample_rate)
        weights = np.array([s["weight"] for s in recipe.strategies], dtype=float)
        self.weights = weights / weights.sum()
        self.kinds = [[self._available(k) for k in s["kinds"]] for s in recipe.strategies]
        self._rooms: dict[Recording, float] = {}

    def _available(self, union: str) -> list[str]:
        """The kinds of `a|b|c` that the corpus has."""
        kinds = [kind for kind in union.split("|") if self.corpus.has(f"train-{kind}")]
        if not kinds:
            raise ConfigError(
                f"{', '.join(self.recipe.packs)}: has no train recordings of {union}; see data.strategies"
            )
        return kinds

    def __getitem__(self, number: int) -> tuple[Tensor, Problems]:
        """Crop `number`, and what was wrong with files that were to be part of it.

        Silence, if attempt after attempt met files that cannot be read.
        """
        random = np.random.default_rng([self.seed, number])
        problems: Problems = []
        mix = np.zeros((self.length, self.corpus.channels), np.float32)
        for _ in range(ATTEMPTS):
            try:
                mix = self._mix(random)
            except AudioError as error:
                problems.append(str(error))
                continue
            if np.abs(mix).max() < 1 and np.sqrt(np.mean(np.square(mix))) > SILENCE_RMS:
                break
        return torch.from_numpy(np.clip(mix, -1, 1)), problems

    def _mix(self, random: np.random.Generator) -> Audio:
        unions = self.kinds[random.choice(len(self.weights), p=self.weights)]
        mix = np.zeros((self.length, self.corpus.channels), np.float32)
        kinds = [kinds[random.integers(len(kinds))] for kinds in unions]
        for kind in kinds:
            full_band = kind == "speech" and random.random() < self.recipe.full_band_share
            crop = self._played(f"train-{kind}", random.uniform(*self.recipe.speed), random, full_band)
            mix += crop * np.float32(10 ** (random.uniform(*self.recipe.gain_db) / 20))
        if kinds != ["music"] and random.random() < self.recipe.reverberation:
            mix = reverberate(mix, self._room(random))
        return mix

    def _played(self, kind: str, speed: float, random: np.random.Generator, full_band: bool) -> Audio:
        crop = self.corpus.crop(kind, math.ceil(self.length * speed), random, full_band)
        return crop if speed == 1 else soxr.resample(crop, speed, 1)[: self.length]

    def _room(self, random: np.random.Generator) -> Audio:
        """A measured impulse response of the right length where the corpus has some, else a drawn one."""
        rate = self.corpus.sample_rate
        if measured := self.corpus.recordings("train-rir"):
            recording = measured[random.integers(len(measured))]
            length = -(-recording.length * rate // recording.sample_rate)
            response = self.corpus.read(recording, 0, length)[:, 0]
            if recording not in self._rooms:
                self._rooms[recording] = measured_rt60(response, rate)
            if RT60_RANGE[0] <= self._rooms[recording] <= RT60_RANGE[1]:
                return response
        return synthesise_response(random.uniform(*RT60_RANGE), rate, random)


def readable_crop(crops: MixedCrops, number: int) -> Tensor:
    """Crop `number`.

    Raises:
        AudioError: if attempt after attempt met files that cannot be read.
    """
    crop, problems = crops[number]
    if len(problems) >= ATTEMPTS:
        raise none_readable(problems[-1])
    return crop


class BatchNumbers:
    """The numbers of the crops of every batch from step `first_step` on, for one of several ranks.

    The ranks' batches, laid end to end, are the batch of a single process.
    """

    def __init__(self, batch_size: int, first_step: int = 0, rank: int = 0, ranks: int = 1) -> None:
        self.batch_size, self.step = batch_size, first_step
        self.share, self.rank = share_of_a_rank(batch_size, ranks), rank

    def __iter__(self) -> Iterator[list[int]]:
        """One list of numbers per step, without end."""
        step = self.step
        while True:
            start = step * self.batch_size + self.rank * self.share
            yield list(range(start, start + self.share))
            step += 1


def collate(items: list[tuple[Tensor, Problems]]) -> tuple[Tensor, Problems]:
    """A batch `[B, T, channels]` and all problems met on the way."""
    return torch.stack([crop for crop, _ in items]), [p for _, problems in items for p in problems]
