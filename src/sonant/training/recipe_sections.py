"""The sections of a recipe, each with what its values have to do with each other."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Any

from sonant.errors import ConfigError
from sonant.training.datasets import KINDS
from sonant.training.recipe_values import (
    NOT_NEGATIVE,
    OPTIMIZERS,
    PRECISIONS,
    Values,
    check_choice,
    checked,
    shown,
)

DISCRIMINATORS = ("ms-stft", "mpd", "msd", "mono-stft")
NOT_MUSIC = "speech|general|effects|noise|instrument"
ANYTHING = f"music|{NOT_MUSIC}"


@dataclass(frozen=True)
class DataRecipe:
    """What a batch is made of (paper, section 4.1).

    Attributes:
        pack: folder or manifest with the recordings, or several of them.
        batch_size: crops per step, over all processes together.
        seconds: length of a crop.
        gain_db: range of the gain of every source.
        speed: range of the speed of every source, pitch and all; 1 plays it as it is.
        full_band_share: how often speech is taken from recordings of at least 40 kHz only.
        reverberation: probability of a room, never for single music.
        strategies: `{weight, kinds}`; a kind `a|b` is drawn evenly from those that there are.
        workers: processes that prepare batches.
    """

    pack: str | tuple[str, ...]
    batch_size: int = 8
    seconds: float = 1.0
    gain_db: tuple[float, float] = (-10.0, 6.0)
    speed: tuple[float, float] = (1.0, 1.0)
    full_band_share: float = 0.0
    reverberation: float = 0.2
    strategies: tuple[dict[str, Any], ...] = (
        {"weight": 0.32, "kinds": ["music"]},
        {"weight": 0.32, "kinds": [NOT_MUSIC]},
        {"weight": 0.24, "kinds": [ANYTHING, ANYTHING]},
        {"weight": 0.12, "kinds": [NOT_MUSIC, NOT_MUSIC, NOT_MUSIC]},
    )
    workers: int = 1

    def __post_init__(self) -> None:
        if not self.packs:
            raise ConfigError("data.pack is empty; name a folder or a manifest at least")
        if not 0 < self.speed[0] <= self.speed[1] < inf:
            raise ConfigError(f"data.speed is {self.speed}; it is a range of positive factors")
        if not -inf < self.gain_db[0] <= self.gain_db[1] < inf:
            raise ConfigError(f"data.gain_db is {self.gain_db}; it is a range, the lower end first")
        for strategy in self.strategies:
            _check_strategy(strategy)
        if not any(strategy["weight"] for strategy in self.strategies):
            raise ConfigError("data.strategies has none with a weight")

    @property
    def packs(self) -> tuple[str, ...]:
        """`pack` as a tuple."""
        return (self.pack,) if isinstance(self.pack, str) else self.pack


@dataclass(frozen=True)
class LossRecipe:
    """Weights of the losses; `commitment` and `forgetting` stay outside the balancer (paper, section 3.4).

    Attributes:
        time, mel: weights of the reconstruction losses (equation 1).
        generator, feature: weights of the adversarial and the feature loss of the codec (equation 2).
        commitment: weight of the loss that draws latents to their codes (equation 3).
        balancer: weights are shares of the gradient at the audio (equation 5) and not factors.
        noise_to_mask, level: weights of the losses in the bands of hearing (`AuditoryLoss`).
        structure: weight of the loss on how levels rise and fall (`StructureLoss`).
        fine_structure: weight of the loss on partials and the valleys between them (`FineStructureLoss`).
        periodicity: weight of the loss on what repeats after whole frames (`PeriodicityLoss`).
        pulses: weight of the loss on the treble's pulses at the rate of the pitch (`PulseLoss`).
        cyclostationarity: weight of the loss on treble that depends on the place in the frame
            (`CyclostationarityLoss`).
        forgetting: weight of the loss on what the decoder remembers for long (`forgetting_loss`).
        mel_l2: the L2 term of the mel loss on the spectrogram as it is ("linear", equation 1) or on
            its logarithm.
        mel_alpha: weight of the L2 term, 1 or SoundStream's √(window / 2).
        mel_exponents: first and last power of two of the windows.
        relative_features: feature matching relative to the size of the features (equation 2).
    """

    time: float = 0.1
    mel: float = 1.0
    noise_to_mask: float = 0.0
    level: float = 0.0
    structure: float = 0.0
    fine_structure: float = 0.0
    periodicity: float = 0.0
    pulses: float = 0.0
    cyclostationarity: float = 0.0
    generator: float = 3.0
    feature: float = 3.0
    commitment: float = 1.0
    forgetting: float = 0.0
    balancer: bool = True
    mel_l2: str = "log"
    mel_alpha: str = "one"
    mel_exponents: tuple[int, int] = (5, 11)
    relative_features: bool = True

    def __post_init__(self) -> None:
        check_choice("loss.mel_l2", self.mel_l2, ("log", "linear"))
        check_choice("loss.mel_alpha", self.mel_alpha, ("one", "sqrt"))
        first, last = self.mel_exponents
        if not 2 <= first <= last <= 20:
            raise ConfigError(f"loss.mel_exponents is {self.mel_exponents}; it is a range within 2 to 20")


@dataclass(frozen=True)
class DiscriminatorRecipe:
    """The discriminators; `start_step` < 0 trains without.

    Attributes:
        start: weights of theirs to begin from, as another run left them.
        start_step: step from which on they learn.
        windows: of the STFTs, in samples.
        learning_rate: of theirs, which does not fall.
        kinds: ms-stft, mpd, msd and mono-stft, in any number.
        per_bandwidth: a set of its own for every bandwidth, of which only the one in use learns.
        update_probability: how often they learn.
        filters: of all kinds but mpd.
        period_filters: of mpd, whose last layers have 32 times as many.
        emphasis: of the audio that they judge, from 0 to 1. In audio as it is the lowest band outweighs all
            others, and discriminators are slow to find more.
        band: share of the audio's band that they judge, from 0 Hz on.
        warmup_steps: steps that they learn before the codec hears of them.
        bfloat16: they compute in it where the codec trains in float32, if the processor is fast in it.
    """

    start: str | None = None
    start_step: int = -1
    kinds: tuple[str, ...] = ("ms-stft",)
    per_bandwidth: bool = False
    filters: int = 32
    period_filters: int = 32
    windows: tuple[int, ...] = (2048, 1024, 512, 256, 128)
    emphasis: float = 0.0
    band: float = 1.0
    update_probability: float = 2 / 3
    learning_rate: float = 3e-4
    warmup_steps: int = 500
    bfloat16: bool = False

    def __post_init__(self) -> None:
        for kind in self.kinds:
            check_choice("discriminator.kinds", kind, DISCRIMINATORS)
        if self.start_step < 0:
            if self.start:
                raise ConfigError(
                    "discriminator.start is of no use without discriminator.start_step, 0 or more"
                )
            return
        if not self.kinds:
            raise ConfigError(f"discriminator.kinds is empty; choose some of {', '.join(DISCRIMINATORS)}")
        width = self.filters // 2
        if "msd" in self.kinds and width % max(1, width // 4):
            raise ConfigError(
                f"discriminator.filters is {self.filters}; of an msd they are a multiple of 8"
            )
        if "ms-stft" in self.kinds and (not self.windows or any(size % 4 for size in self.windows)):
            raise ConfigError(
                f"discriminator.windows is {self.windows}; they are multiples of 4, one at least"
            )


@dataclass(frozen=True)
class OptimizerRecipe:
    """How the codec learns; the rate falls by a cosine from `learning_rate` to `final_rate`.

    Attributes:
        kind: adam as in the paper, or muon for matrices and kernels, with Adam for the rest.
        learning_rate, final_rate: at the start, after the warm-up, and at the end.
        betas: of Adam.
        warmup_steps: steps over which the rate rises from 0.
        gradient_clip: the largest norm of a gradient.
        average_decay: of the average of the weights, which is what a run gives.
    """

    kind: str = "adam"
    learning_rate: float = 3e-4
    final_rate: float = 3e-4
    betas: tuple[float, float] = (0.5, 0.9)
    warmup_steps: int = 100
    gradient_clip: float = 1.0
    average_decay: float = 0.999

    def __post_init__(self) -> None:
        check_choice("optimizer.kind", self.kind, OPTIMIZERS)


@dataclass(frozen=True)
class RunRecipe:
    """How long and on what.

    Attributes:
        steps: of the whole run.
        devices: processes on this machine, each with a device; several machines go by torchrun.
        precision: as Lightning Fabric names it.
        threads: of PyTorch on a CPU, up to 256; 0 leaves it alone.
        compile: run encoder and decoder through torch.compile.
        warm_start_steps: steps without a quantiser, at the start of a run from nothing.
        transform_crops: crops from which a run from nothing takes a linear transform and codebooks
            to start with; 0 starts at random.
        checkpoint_minutes: between checkpoints.
        log_every: steps between lines of the log.
        listen_every: steps between spectrograms and audio in TensorBoard; 0 is never.
        seed: of the crops and of all else that is drawn.
    """

    steps: int = 100_000
    devices: int = 1
    precision: str = "32-true"
    threads: int = 0
    compile: bool = False
    warm_start_steps: int = 150
    transform_crops: int = 0
    checkpoint_minutes: float = 5.0
    log_every: int = 50
    listen_every: int = 2000
    seed: int = 0

    def __post_init__(self) -> None:
        check_choice("run.precision", self.precision, PRECISIONS)


def _check_strategy(strategy: Values) -> None:
    name, weight = "data.strategies", "data.strategies.weight"
    if set(strategy) != {"weight", "kinds"}:
        raise ConfigError(f"{name} have weight and kinds each, not {shown(strategy)}")
    checked(float, strategy["weight"], {weight: NOT_NEGATIVE}, weight)
    kinds = checked(tuple[str, ...], strategy["kinds"], {}, f"{name}.kinds")
    if not kinds:
        raise ConfigError(f"{name}.kinds is empty; choose some of {', '.join(KINDS)}")
    for kind in "|".join(kinds).split("|"):
        check_choice(f"{name}.kinds", kind, KINDS)
