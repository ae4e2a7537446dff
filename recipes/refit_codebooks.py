"""Codebooks anew, for an encoder and a decoder that stay as they are.

    python recipes/refit_codebooks.py recipes/24khz_16_partials.toml -o refitted.safetensors \\
        --set start=trained.safetensors --set data.batch_size=48

While encoder and codebooks learn together, averages over a hundred batches have to do: with 8 crops in a
batch an entry is the mean of some 60 frames, and a tenth of it is chance ("Noise in the codebooks" in
docs/experiments.md). Here the averages go on over more and more batches.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from sonant.models.store import save_weights
from sonant.nn.weights import export_weights
from sonant.training.memory import keep_freed_memory
from sonant.training.mixing import MixedCrops, readable_crop
from sonant.training.networks import build_codec
from sonant.training.recipe import Recipe
from sonant.training.recipe_files import load_recipe
from sonant.training.volume import volume

FIRST_WINDOW, GROWTH = 8.0, 0.5


def refit_codebooks(recipe: Recipe, target: Path, steps: int) -> None:
    """Write the weights that a recipe starts from, with codebooks that went on for so many batches.

    Raises:
        WeightsError: if the weights cannot be read or are of another model.
        AudioError: if the audio cannot be read.
    """
    model, size = recipe.model, recipe.data.batch_size
    keep_freed_memory()
    torch.manual_seed(recipe.run.seed)
    draw = random.Random(recipe.run.seed)
    crops = MixedCrops(recipe.data, model.sample_rate, model.channels, recipe.run.seed)
    network = build_codec(recipe)
    for step in range(steps):
        audio = torch.stack([readable_crop(crops, step * size + place) for place in range(size)])
        network.quantizer.decay = 1 - 1 / (FIRST_WINDOW + GROWTH * step)
        with torch.no_grad():
            latents = network.encoder(audio / volume(audio) if model.normalize else audio)
            network.quantizer(latents, draw.choice(recipe.codebook_choices))
        print(f"\rbatch {step + 1} of {steps}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    save_weights(target, export_weights(network), model)


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=120, help="batches")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="as `sonant train` has it"
    )
    options = parser.parse_args(arguments)
    refit_codebooks(load_recipe(options.recipe, options.set), options.output, options.steps)


if __name__ == "__main__":
    main()
