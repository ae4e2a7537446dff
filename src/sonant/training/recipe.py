"""A recipe says everything about a training run."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from sonant.config import CodecConfig
from sonant.errors import ConfigError
from sonant.training.recipe_sections import (
    DataRecipe,
    DiscriminatorRecipe,
    LossRecipe,
    OptimizerRecipe,
    RunRecipe,
)
from sonant.training.recipe_values import check_choice

QUANTIZERS = ("rvq", "diffq", "gumbel")
HEARING_LOSSES = {
    "noise_to_mask": 2048,
    "level": 2048,
    "structure": 2048,
    "fine_structure": 2048,
    "periodicity": 2048,
    "pulses": 2304,
    "cyclostationarity": 2048,
}
"""The shortest crop each of them takes, in samples at 24 kHz."""

RECONSTRUCTION_LOSSES = ("time", "mel", *HEARING_LOSSES)
ADVERSARIAL_LOSSES = ("generator", "feature")
"""Those that the codec has from its discriminators."""

FORGETTING_SECONDS = 0.6
"""The shortest crop for that loss: two times its 0.25 s, in whole frames, and one frame."""


@dataclass(frozen=True)
class Recipe:
    """A whole training run.

    Attributes:
        model: sizes of the codec.
        data, loss, discriminator, optimizer, run: the sections of the recipe.
        start: weights to begin from, under any name that `sonant.load` takes.
        codebooks: the n_q drawn.
        quantizer: rvq, or those of the paper's appendix, diffq and gumbel.
        beam: how many beginnings the search for codes keeps, 1 for the nearest entries as in the paper.
        codebook_decay: of the moving averages that are the codebooks. An entry is then the mean of about
            frames in a batch / (bins · (1 − decay)) vectors: the fewer, the noisier.
        run_up: how many others of the batch the decoder has heard before an item, at the most; the number
            is drawn for every batch. At 0 its state is that of a beginning, always.
        decoder_only: encoder and codebooks stay as they are, and so do the codes of any audio.
    """

    model: CodecConfig
    data: DataRecipe
    start: str | None = None
    codebooks: tuple[int, ...] = ()
    quantizer: str = "rvq"
    beam: int = 1
    codebook_decay: float = 0.99
    run_up: int = 0
    decoder_only: bool = False
    loss: LossRecipe = field(default_factory=LossRecipe)
    discriminator: DiscriminatorRecipe = field(default_factory=DiscriminatorRecipe)
    optimizer: OptimizerRecipe = field(default_factory=OptimizerRecipe)
    run: RunRecipe = field(default_factory=RunRecipe)

    def __post_init__(self) -> None:
        check_choice("quantizer", self.quantizer, QUANTIZERS)
        if any(not 0 < n <= self.model.n_q for n in self.codebook_choices):
            raise ConfigError(f"codebooks must be between 1 and {self.model.n_q}")
        _check_combinations(self)
        _check_losses(self)
        _check_memory(self)
        _check_crops(self)

    @property
    def codebook_choices(self) -> tuple[int, ...]:
        """Numbers of codebooks that a batch may be trained with: those of the bandwidths by default."""
        return self.codebooks or tuple(map(self.model.codebooks_for, self.model.bandwidths))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as checkpoints and cards keep them."""
        return asdict(self)


def _check_combinations(recipe: Recipe) -> None:
    if recipe.decoder_only and not recipe.start:
        raise ConfigError("decoder_only needs the weights of an encoder: set start")
    if not recipe.codebook_choices:
        raise ConfigError("codebooks is empty, and so is model.bandwidths: set one of them")
    if recipe.quantizer == "rvq":
        return
    if recipe.start:
        raise ConfigError(f"a run with the quantizer {recipe.quantizer!r} cannot start from weights")
    if recipe.beam > 1:
        raise ConfigError(f"the quantizer {recipe.quantizer!r} does not search for codes: leave out beam")
    if recipe.run.transform_crops:
        raise ConfigError(
            f"a run with the quantizer {recipe.quantizer!r} cannot start as a transform: "
            "leave out run.transform_crops"
        )


def _check_losses(recipe: Recipe) -> None:
    loss, part = recipe.loss, recipe.discriminator
    heard: tuple[str, ...] = RECONSTRUCTION_LOSSES
    if part.start_step == part.warmup_steps == 0:
        heard = (*heard, *ADVERSARIAL_LOSSES)
    if loss.balancer and not any(getattr(loss, name) for name in heard):
        raise ConfigError(f"loss.balancer needs a loss with a weight: one of {', '.join(heard)}")


def _check_memory(recipe: Recipe) -> None:
    """Where every segment begins anew, nothing is remembered."""
    for name, value in (("run_up", recipe.run_up), ("loss.forgetting", recipe.loss.forgetting)):
        if value and not recipe.model.streams:
            raise ConfigError(f"{name} is of use only for a model that streams")


def _check_crops(recipe: Recipe) -> None:
    """Every window has to fit into a crop."""
    loss, part, rate = recipe.loss, recipe.discriminator, recipe.model.sample_rate
    windows = {"loss.mel_exponents": 2 ** loss.mel_exponents[1]}
    for name, samples in HEARING_LOSSES.items():
        if getattr(loss, name):
            windows[f"loss.{name}"] = samples * max(1, round(rate / 24_000))
    if loss.forgetting:
        windows["loss.forgetting"] = int(FORGETTING_SECONDS * rate)
    if part.start_step >= 0 and "ms-stft" in part.kinds:
        windows["discriminator.windows"] = max(part.windows)
    if part.start_step >= 0 and "mono-stft" in part.kinds:
        windows["discriminator.kinds"] = 1024 + 7 * 256
    longest = max(windows, key=windows.__getitem__)
    length = int(recipe.data.seconds * rate)
    if length < windows[longest]:
        raise ConfigError(
            f"data.seconds gives crops of {length} samples; {longest} needs {windows[longest]}"
        )
