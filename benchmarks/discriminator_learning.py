"""How fast discriminators learn to tell a codec's audio from the original, with and without emphasis.

    python benchmarks/discriminator_learning.py PACK [--model 24khz] [--emphasis 0 0.97] [--steps 120]

PACK is a packed corpus (`sonant data pack`). The codec stays as it is; discriminators with the windows
and filters of `recipes/24khz_16_adversarial.toml` begin at random. Prints their hinge loss, 2 where they
know nothing, over crops that they do not learn from.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import sonant
from sonant.codec import Codec
from sonant.nn.discriminators import Discriminators, multi_scale_stft
from sonant.training.adversarial import discriminator_loss
from sonant.training.corpus import Corpus

WINDOWS, FILTERS = (2048, 1024, 512), 16
KINDS = ("train-speech", "train-speech", "train-music")
CROPS, HELD_OUT, BATCH = 450, 48, 8


def pairs(codec: Codec, pack: Path, bitrate: float) -> tuple[Tensor, Tensor]:
    """Crops of a second and what the codec makes of them, `[crops, channels, samples]`."""
    corpus = Corpus([pack], codec.config.sample_rate, codec.config.channels)
    random = np.random.default_rng(0)
    kinds = [kind for kind in KINDS if corpus.has(kind)]
    crops = [
        corpus.crop(kinds[number % len(kinds)], codec.config.sample_rate, random).T
        for number in range(CROPS)
    ]
    decoded = codec.decode_batch(codec.encode_batch(crops, bitrate=bitrate))
    return torch.from_numpy(np.stack(crops)), torch.from_numpy(np.stack(decoded))


def main() -> None:
    """Print a line for each emphasis."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("pack", type=Path)
    parser.add_argument("--model", default="24khz")
    parser.add_argument("--bitrate", type=float, default=6.0)
    parser.add_argument("--emphasis", type=float, nargs="+", default=[0.0, 0.97])
    parser.add_argument("--steps", type=int, default=120)
    parser.add_argument("--rate", type=float, default=1e-3)
    options = parser.parse_args()
    real, fake = pairs(sonant.load(options.model), options.pack, options.bitrate)
    for emphasis in options.emphasis:
        torch.manual_seed(0)
        network = Discriminators(multi_scale_stft(WINDOWS, FILTERS), emphasis)
        optimizer = torch.optim.Adam(network.parameters(), options.rate, betas=(0.5, 0.9))
        for _ in range(options.steps):
            batch = HELD_OUT + torch.randint(CROPS - HELD_OUT, (BATCH,))
            optimizer.zero_grad()
            discriminator_loss(network(real[batch])[0], network(fake[batch])[0]).backward()
            optimizer.step()
        with torch.no_grad():
            loss = discriminator_loss(network(real[:HELD_OUT])[0], network(fake[:HELD_OUT])[0])
        print(f"emphasis {emphasis:g}: {float(loss):.2f} after {options.steps} steps", flush=True)


if __name__ == "__main__":
    main()
