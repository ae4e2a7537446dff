"""Batches mixed from several sources (paper, section 4.1): strategies, gains, clipping."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from sonant.training.corpus import PackedCorpus
from sonant.training.recipe import DataRecipe

SILENCE_RMS = 3e-3
ATTEMPTS = 20


class MixedCrops(IterableDataset[Tensor]):
    """An endless stream of training crops `[T, channels]`.

    Each crop follows one strategy drawn by weight: its kinds of sound are cropped, each scaled by
    a gain drawn from `gain_db`, and added. Clipped mixes and silence are drawn again.
    """

    def __init__(self, recipe: DataRecipe, sample_rate: int, seed: int) -> None:
        self.corpus = PackedCorpus(Path(recipe.pack))
        self.recipe, self.seed = recipe, seed
        self.length = int(recipe.seconds * sample_rate)
        weights = np.array([s["weight"] for s in recipe.strategies], dtype=float)
        self.weights = weights / weights.sum()

    def __iter__(self):  # type: ignore[no-untyped-def]
        worker = get_worker_info()
        random = np.random.default_rng([self.seed, worker.id if worker else 0])
        while True:
            yield torch.from_numpy(self.draw(random))

    def draw(self, random: np.random.Generator) -> np.ndarray:
        """One crop, neither clipped nor silent if that can be had in a few attempts."""
        mix = self._mix(random)
        for _ in range(ATTEMPTS):
            if np.abs(mix).max() < 1 and np.sqrt(np.mean(mix**2)) > SILENCE_RMS:
                break
            mix = self._mix(random)
        return np.clip(mix, -1, 1)

    def _mix(self, random: np.random.Generator) -> np.ndarray:
        strategy = self.recipe.strategies[random.choice(len(self.weights), p=self.weights)]
        mix = np.zeros((self.length, self.corpus.channels), np.float32)
        for kind in strategy["kinds"]:
            full_band = kind == "speech" and random.random() < self.recipe.full_band_share
            crop = self.corpus.crop(f"train-{kind}", self.length, random, full_band)
            mix += crop * np.float32(10 ** (random.uniform(*self.recipe.gain_db) / 20))
        return mix
