"""The mean of the weights of several runs from one start, which keeps much of what each is good at.

    python recipes/mean_of_runs.py A.safetensors B.safetensors -o mean.safetensors

The fourth part of the bundled `24khz` began with that of two runs, without an adversary and with it.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sonant.errors import ConfigError
from sonant.models.store import load_weights, save_weights


def mean_of_runs(runs: Sequence[Path], target: Path) -> None:
    """Write the mean of codecs of one config.

    Raises:
        ConfigError: if their configs differ.
        WeightsError: if one cannot be read.
    """
    weights, configs = zip(*map(load_weights, runs), strict=True)
    if any(config != configs[0] for config in configs):
        raise ConfigError("only runs of one config have a mean")
    means = {name: np.mean([part[name] for part in weights], axis=0) for name in weights[0]}
    save_weights(target, means, configs[0])


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    mean_of_runs(options.runs, options.output)


if __name__ == "__main__":
    main()
