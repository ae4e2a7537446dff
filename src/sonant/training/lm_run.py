"""A language model from a recipe to the file that ships: tokens, training, whole numbers, a card."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sonant.codec import Codec
from sonant.entropy.integer_lm import IntegerLanguageModel
from sonant.entropy.lm_coder import encode_chunk
from sonant.entropy.lm_store import load_language_model, save_language_model
from sonant.errors import ConfigError
from sonant.language_models import LM_IN_A_FOLDER
from sonant.loading import load
from sonant.nn.distributed import leave
from sonant.nn.language_model import LanguageModel
from sonant.parallel import cores
from sonant.training.corpus import Corpus
from sonant.training.language_model import LanguageModelTrainer
from sonant.training.lm_quantise import integer_tensors
from sonant.training.lm_recipe import LanguageModelRecipe, load_lm_recipe
from sonant.training.lm_tables import untied
from sonant.training.tokens import Tokens, choice, frames_of_a_crop, load_tokens, save_tokens

CALIBRATION_CHUNKS = 16


def train_language_model(
    recipe_path: Path,
    folder: Path,
    resume: bool = False,
    time_limit: float | None = None,
    overrides: list[str] | None = None,
) -> Path:
    """Run a recipe; returns the file of the integer model, `lm.safetensors` in `folder`.

    The corpus is tokenised into `tokens.safetensors` unless that is there already. `lm.json` tells bits
    per code on the validation kinds, of the float model and of the integer one, and the saving. A run that
    SIGTERM ends leaves its checkpoint only, and `folder` is returned.

    Raises:
        ConfigError: if the recipe does not fit its codec, or the folder holds a run and not `resume`.
        AudioError: if no file of the corpus can be read.
        SonantError: if the run cannot go on.
    """
    recipe = load_lm_recipe(recipe_path, overrides)
    codec = load(recipe.codec, beam=1)
    if recipe.model.n_q > codec.config.n_q or recipe.model.bins != codec.config.bins:
        raise ConfigError(f"the recipe's model does not fit the codebooks of {recipe.codec}")
    if not any(kind.startswith("train") and hours for kind, hours in recipe.hours.items()):
        raise ConfigError("hours names nothing to train on, as in hours.train-speech")
    recipe.check_crop(frames_of_a_crop(codec.config, recipe.crop_seconds))
    tokens = _tokens(recipe, codec, folder)
    books = np.asarray(codec.weights["codebooks"], np.float32)
    trainer = LanguageModelTrainer(recipe, tokens, books, folder, time_limit, resume)
    if trainer.checkpoint_path.exists() and not resume:
        raise ConfigError(f"{folder}: holds a run; add --resume to continue it, or choose another --output")
    trainer.run()
    if trainer.fabric.is_global_zero and not trainer.stopped:
        finish(trainer, codec)
    leave()
    return folder if trainer.stopped else folder / LM_IN_A_FOLDER


def _tokens(recipe: LanguageModelRecipe, codec: Codec, folder: Path) -> Tokens:
    """The tokens of a run. One process of each machine makes them, before any of the others is needed."""
    file = folder / "tokens.safetensors"
    while int(os.environ.get("LOCAL_RANK", 0)) and not file.exists():
        time.sleep(1)
    chosen = choice(recipe.pack, recipe.hours, recipe.crop_seconds, recipe.model.n_q)
    if not file.exists():
        corpus = Corpus([Path(recipe.pack)], codec.config.sample_rate, codec.config.channels)
        threads = recipe.threads or cores()
        hours, seconds = recipe.hours, recipe.crop_seconds
        save_tokens(file, codec, corpus, hours, seconds, recipe.model.n_q, chosen, threads)
    return load_tokens(file, codec, chosen)


def finish(trainer: LanguageModelTrainer, codec: Codec) -> None:
    """Quantise a trained model, measure both forms, write `lm.safetensors` and `lm.json`."""
    recipe, folder = trainer.recipe, trainer.folder
    model = LanguageModel(recipe.model)
    model.load_state_dict(untied(trainer.model))
    tensors = integer_tensors(model.eval(), _calibration(trainer.tokens, recipe), recipe.frames)
    path = folder / LM_IN_A_FOLDER
    save_language_model(path, recipe.model, tensors, codec.weights_hash)
    report = {
        "steps": trainer.step,
        "seconds": round(trainer.seconds),
        "float_bits_per_code": trainer.validate(),
        "integer": integer_report(load_language_model(path, codec.weights_hash), trainer.tokens, recipe),
    }
    (folder / "lm.json").write_text(json.dumps(report, indent=1))


def _calibration(tokens: Tokens, recipe: LanguageModelRecipe) -> list[Tensor]:
    kinds = [codes for kind, codes in tokens.items() if kind.startswith("train")]
    each = -(-CALIBRATION_CHUNKS // len(kinds))
    codes = torch.from_numpy(np.concatenate([c[:each, :, : recipe.frames] for c in kinds]).astype(np.int64))
    return [codes[:, :n_q] for n_q in sorted({*recipe.codebooks, recipe.model.n_q})]


def integer_report(lm: IntegerLanguageModel, tokens: Tokens, recipe: LanguageModelRecipe) -> dict[str, Any]:
    """Bits per code and saving over packing, by kind and number of codebooks, from coded payloads."""
    report: dict[str, Any] = {}
    for kind, crops in tokens.items():
        if not kind.startswith("validation"):
            continue
        chunks = crops.shape[2] // recipe.frames
        for n_q in recipe.codebooks:
            payload = sum(
                len(encode_chunk(lm, crop[:n_q, c * recipe.frames : (c + 1) * recipe.frames]))
                for crop in crops
                for c in range(chunks)
            )
            bits = payload * 8 / (len(crops) * chunks * recipe.frames * n_q)
            report[f"{kind} {n_q}"] = {
                "bits_per_code": round(bits, 4),
                "saving": round(1 - bits / recipe.model.bits_per_code, 4),
            }
    return report
