"""Recipes: one TOML file says everything about a training run."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from math import inf
from pathlib import Path
from typing import Any

from sonant.config import CodecConfig
from sonant.errors import ConfigError
from sonant.training.datasets import KINDS
from sonant.training.recipe_values import (
    AT_LEAST_TWO,
    DECAY,
    NOT_NEGATIVE,
    POSITIVE,
    PRECISIONS,
    SHARE,
    Ranges,
    Values,
    build,
    checked,
    parse_override,
    read_toml,
    shown,
)

QUANTIZERS = ("rvq", "diffq", "gumbel")
OPTIMIZERS = ("adam", "muon")
DISCRIMINATORS = ("ms-stft", "mpd", "msd", "mono-stft")
HEARING_LOSSES = ("noise_to_mask", "level", "structure", "fine_structure", "periodicity")
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

    @property
    def packs(self) -> tuple[str, ...]:
        """`pack` as a tuple."""
        return (self.pack,) if isinstance(self.pack, str) else self.pack


@dataclass(frozen=True)
class LossRecipe:
    """Weights of the losses; `commitment` stays outside the balancer (paper, section 3.4).

    Attributes:
        noise_to_mask, level: weights of the losses in the bands of hearing (`AuditoryLoss`).
        structure: weight of the loss on how levels rise and fall (`StructureLoss`).
        fine_structure: weight of the loss on partials and the valleys between them (`FineStructureLoss`).
        periodicity: weight of the loss against buzz at the frame rate (`PeriodicityLoss`).
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
    generator: float = 3.0
    feature: float = 3.0
    commitment: float = 1.0
    balancer: bool = True
    mel_l2: str = "log"
    mel_alpha: str = "one"
    mel_exponents: tuple[int, int] = (5, 11)
    relative_features: bool = True


@dataclass(frozen=True)
class DiscriminatorRecipe:
    """The discriminators; `start_step` < 0 trains without.

    Attributes:
        start: weights of theirs to begin from, as another run left them.
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


@dataclass(frozen=True)
class OptimizerRecipe:
    """How the codec learns; the rate falls by a cosine from `learning_rate` to `final_rate`.

    Attributes:
        kind: adam as in the paper, or muon for matrices and kernels, with Adam for the rest.
        betas: of Adam.
    """

    kind: str = "adam"
    learning_rate: float = 3e-4
    final_rate: float = 3e-4
    betas: tuple[float, float] = (0.5, 0.9)
    warmup_steps: int = 100
    gradient_clip: float = 1.0
    average_decay: float = 0.999


@dataclass(frozen=True)
class RunRecipe:
    """How long and on what.

    Attributes:
        steps: of the whole run.
        devices: processes on this machine, each with a device; several machines go by torchrun.
        precision: as Lightning Fabric names it.
        threads: of PyTorch on a CPU; 0 leaves it alone.
        compile: run the networks through torch.compile.
        warm_start_steps: steps without a quantiser, at the start of a run from nothing.
        transform_crops: crops from which a run from nothing takes a linear transform and codebooks
            to start with; 0 starts at random.
        checkpoint_minutes: between checkpoints.
        log_every: steps between lines of the log.
        listen_every: steps between spectrograms and audio in TensorBoard; 0 is never.
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


@dataclass(frozen=True)
class Recipe:
    """A whole training run.

    Attributes:
        start: weights to begin from, under any name that `sonant.load` takes.
        codebooks: the n_q drawn.
        beam: how many beginnings the search for codes keeps, 1 for the nearest entries as in the paper.
        codebook_decay: of the moving averages that are the codebooks. An entry is then the mean of about
            frames in a batch / (bins · (1 − decay)) vectors: the fewer, the noisier.
        decoder_only: encoder and codebooks stay as they are, and so do the codes of any audio.
    """

    model: CodecConfig
    data: DataRecipe
    start: str | None = None
    codebooks: tuple[int, ...] = ()
    quantizer: str = "rvq"
    beam: int = 1
    codebook_decay: float = 0.99
    decoder_only: bool = False
    loss: LossRecipe = field(default_factory=LossRecipe)
    discriminator: DiscriminatorRecipe = field(default_factory=DiscriminatorRecipe)
    optimizer: OptimizerRecipe = field(default_factory=OptimizerRecipe)
    run: RunRecipe = field(default_factory=RunRecipe)

    def __post_init__(self) -> None:
        _check("quantizer", self.quantizer, QUANTIZERS)
        _check("optimizer.kind", self.optimizer.kind, OPTIMIZERS)
        _check("loss.mel_l2", self.loss.mel_l2, ("log", "linear"))
        _check("loss.mel_alpha", self.loss.mel_alpha, ("one", "sqrt"))
        _check("run.precision", self.run.precision, PRECISIONS)
        if any(not 0 < n <= self.model.n_q for n in self.codebook_choices):
            raise ConfigError(f"codebooks must be between 1 and {self.model.n_q}")
        _check_combinations(self)
        _check_data(self.data)
        _check_discriminator(self.discriminator)
        _check_losses(self)
        _check_crops(self)

    @property
    def codebook_choices(self) -> tuple[int, ...]:
        """Numbers of codebooks that a batch may be trained with: those of the bandwidths by default."""
        return self.codebooks or tuple(map(self.model.codebooks_for, self.model.bandwidths))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as checkpoints and cards keep them."""
        return asdict(self)


def _check(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ConfigError(f"{name} is {value!r}; choose one of {', '.join(known)}")


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


def _check_data(data: DataRecipe) -> None:
    if not 0 < data.speed[0] <= data.speed[1] < inf:
        raise ConfigError(f"data.speed is {data.speed}; it is a range of positive factors")
    if not -inf < data.gain_db[0] <= data.gain_db[1] < inf:
        raise ConfigError(f"data.gain_db is {data.gain_db}; it is a range, the lower end first")
    for strategy in data.strategies:
        _check_strategy(strategy)
    if not any(strategy["weight"] for strategy in data.strategies):
        raise ConfigError("data.strategies has none with a weight")


def _check_strategy(strategy: Values) -> None:
    name = "data.strategies"
    if set(strategy) != {"weight", "kinds"}:
        raise ConfigError(f"{name} have weight and kinds each, not {shown(strategy)}")
    checked(float, strategy["weight"], RANGES, f"{name}.weight")
    kinds = checked(tuple[str, ...], strategy["kinds"], RANGES, f"{name}.kinds")
    if not kinds:
        raise ConfigError(f"{name}.kinds is empty; choose some of {', '.join(KINDS)}")
    for kind in "|".join(kinds).split("|"):
        _check(f"{name}.kinds", kind, KINDS)


def _check_discriminator(part: DiscriminatorRecipe) -> None:
    for kind in part.kinds:
        _check("discriminator.kinds", kind, DISCRIMINATORS)
    if part.start_step < 0:
        if part.start:
            raise ConfigError(
                "discriminator.start is of no use without discriminator.start_step, 0 or more"
            )
        return
    if not part.kinds:
        raise ConfigError(f"discriminator.kinds is empty; choose some of {', '.join(DISCRIMINATORS)}")
    width = part.filters // 2
    if "msd" in part.kinds and width % max(1, width // 4):
        raise ConfigError(f"discriminator.filters is {part.filters}; of an msd they are a multiple of 8")
    if "ms-stft" in part.kinds and (not part.windows or any(size % 4 for size in part.windows)):
        raise ConfigError(f"discriminator.windows is {part.windows}; they are multiples of 4, one at least")


def _check_losses(recipe: Recipe) -> None:
    loss, part = recipe.loss, recipe.discriminator
    first, last = loss.mel_exponents
    if not 2 <= first <= last <= 20:
        raise ConfigError(f"loss.mel_exponents is {loss.mel_exponents}; it is a range within 2 to 20")
    heard: tuple[str, ...] = ("time", "mel", *HEARING_LOSSES)
    if part.start_step == part.warmup_steps == 0:
        heard = (*heard, "generator", "feature")
    if loss.balancer and not any(getattr(loss, name) for name in heard):
        raise ConfigError(f"loss.balancer needs a loss with a weight: one of {', '.join(heard)}")


def _check_crops(recipe: Recipe) -> None:
    """Every window has to fit into a crop."""
    loss, part, rate = recipe.loss, recipe.discriminator, recipe.model.sample_rate
    windows = {"loss.mel_exponents": 2 ** loss.mel_exponents[1]}
    for name in HEARING_LOSSES:
        if getattr(loss, name):
            windows[f"loss.{name}"] = 2048 * max(1, round(rate / 24_000))
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


RANGES: Ranges = {
    "beam": POSITIVE,
    "codebook_decay": DECAY,
    "model.sample_rate": POSITIVE,
    "model.channels": POSITIVE,
    "model.dimension": POSITIVE,
    "model.n_filters": POSITIVE,
    "model.ratios": POSITIVE,
    "model.kernel_size": POSITIVE,
    "model.last_kernel_size": POSITIVE,
    "model.residual_kernel_size": POSITIVE,
    "model.n_residual_layers": NOT_NEGATIVE,
    "model.dilation_base": POSITIVE,
    "model.compress": POSITIVE,
    "model.lstm_layers": NOT_NEGATIVE,
    "model.n_q": POSITIVE,
    "model.bins": AT_LEAST_TWO,
    "model.bandwidths": POSITIVE,
    "model.segment": POSITIVE,
    "model.overlap": DECAY,
    "data.batch_size": POSITIVE,
    "data.seconds": POSITIVE,
    "data.full_band_share": SHARE,
    "data.reverberation": SHARE,
    "data.strategies.weight": NOT_NEGATIVE,
    "data.workers": NOT_NEGATIVE,
    **{f"loss.{part.name}": NOT_NEGATIVE for part in fields(LossRecipe) if part.type == "float"},
    "discriminator.filters": POSITIVE,
    "discriminator.period_filters": POSITIVE,
    "discriminator.emphasis": SHARE,
    "discriminator.band": POSITIVE,
    "discriminator.windows": POSITIVE,
    "discriminator.update_probability": SHARE,
    "discriminator.learning_rate": NOT_NEGATIVE,
    "discriminator.warmup_steps": NOT_NEGATIVE,
    "optimizer.learning_rate": NOT_NEGATIVE,
    "optimizer.final_rate": NOT_NEGATIVE,
    "optimizer.betas": DECAY,
    "optimizer.warmup_steps": NOT_NEGATIVE,
    "optimizer.gradient_clip": ("more than 0", lambda x: x > 0),
    "optimizer.average_decay": DECAY,
    "run.steps": POSITIVE,
    "run.devices": POSITIVE,
    "run.threads": NOT_NEGATIVE,
    "run.warm_start_steps": NOT_NEGATIVE,
    "run.transform_crops": NOT_NEGATIVE,
    "run.checkpoint_minutes": NOT_NEGATIVE,
    "run.log_every": POSITIVE,
    "run.listen_every": NOT_NEGATIVE,
    "run.seed": ("0 or more and below 2**32", lambda x: 0 <= x < 2**32),
}


def recipe_from_dict(values: Values) -> Recipe:
    """Build a recipe from plain values.

    Raises:
        ConfigError: on unknown keys, missing sections or values that cannot be.
    """
    return build(Recipe, values, RANGES)


def _merged(base: Values, changes: Values) -> Values:
    """`changes` over `base`, table by table."""
    result = dict(base)
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = _merged(result[key], value) if both else value
    return result


def _resolved(name: str, changed_by: tuple[str, ...] = ()) -> Values:
    """The values of `FILE.toml` or `FILE.toml:VARIANT`, over those of the base."""
    if name in changed_by:
        raise ConfigError(f"{name}: is a base of itself")
    stem, _, variant = name.partition(".toml:")
    path = Path(f"{stem}.toml" if variant else name)
    values = read_toml(path)
    variants = values.pop("variants", {})
    if variant not in variants and (variant or variants):
        known = ", ".join(variants) or "none"
        asked = f"has no variant {variant!r}" if variant else "needs a variant"
        raise ConfigError(f"{path}: {asked}; it has {known}, to be named as RECIPE:VARIANT")
    values = _merged(values, variants.get(variant, {}))
    base = values.pop("base", None)
    if base is None:
        return values
    return _merged(_resolved(str(path.parent / base), (*changed_by, name)), values)


def recipe_variants(path: Path) -> list[str]:
    """The names of a recipe file's variants."""
    return list(read_toml(path).get("variants", {}))


def load_recipe(path: Path | str, overrides: list[str] | None = None) -> Recipe:
    """Read `recipe.toml` or `recipe.toml:variant`.

    A recipe may name a `base` (another recipe, or one of its variants, beside it) whose values it
    changes, and hold `[variants.NAME]` tables that change its own. Overrides are
    `section.key=value` with TOML values, and come last.

    Raises:
        ConfigError: if the file, a variant or an override cannot be understood.
    """
    values = _resolved(str(path))
    for override in overrides or []:
        names, value = parse_override(override)
        for name in reversed(names):
            value = {name: value}
        values = _merged(values, value)
    return recipe_from_dict(values)
