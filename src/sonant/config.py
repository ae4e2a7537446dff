"""Every size of every model, in frozen dataclasses that travel inside the weights file as JSON."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, fields
from numbers import Real
from typing import Any, Literal, TypeVar

from sonant.errors import ConfigError

PadMode = Literal["constant", "reflect"]
Norm = Literal["none", "weight_norm", "time_group_norm"]

ConfigType = TypeVar("ConfigType", bound="JsonConfig")

SIZES = (
    *("sample_rate", "channels", "dimension", "n_filters", "compress", "n_q", "bins"),
    *("kernel_size", "last_kernel_size", "residual_kernel_size", "dilation_base"),
)
LAYERS = ("n_residual_layers", "lstm_layers")
MOST_BINS = 1 << 15
"""Codes are int16."""
MOST = 1 << 24
"""Of any size, of a frame's and of a segment's samples: memory is needed for some that no weights show."""
MOST_DILATION = 1 << 16
MOST_KBPS = 1e9
USUAL_BITRATE = 6.0


def _is_size(value: Any, least: int = 1) -> bool:
    return isinstance(value, int) and least <= value <= MOST


@dataclass(frozen=True)
class JsonConfig:
    """A dataclass that reads and writes JSON and refuses keys it does not know."""

    @classmethod
    def from_dict(cls: type[ConfigType], values: dict[str, Any]) -> ConfigType:
        """Build a config from plain values; lists become tuples.

        Raises:
            ConfigError: if a key is unknown or a required one is missing.
        """
        known = {field.name for field in fields(cls)}
        if unknown := sorted(set(values) - known):
            raise ConfigError(f"unknown key in {cls.__name__}: {', '.join(unknown)}")
        plain = {key: tuple(v) if isinstance(v, list) else v for key, v in values.items()}
        try:
            return cls(**plain)
        except TypeError as error:
            raise ConfigError(f"{cls.__name__}: {error}") from None

    @classmethod
    def from_json(cls: type[ConfigType], text: str) -> ConfigType:
        """Read what `to_json` wrote.

        Raises:
            ConfigError: if it is no JSON, or as for `from_dict`.
        """
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"{cls.__name__}: {error}") from None
        if not isinstance(values, dict):
            raise ConfigError(f"{cls.__name__} is a table, not {values!r:.40}")
        return cls.from_dict(values)

    def to_json(self) -> str:
        """The config as one line of JSON, keys in the order of declaration."""
        return json.dumps(asdict(self))


@dataclass(frozen=True)
class CodecConfig(JsonConfig):
    """Sizes of a codec: SEANet encoder and decoder (paper, section 3.1) and RVQ (section 3.2).

    A model that is neither causal nor has segments codes a recording as a whole. Numbers are whole, 1 to
    2^24 unless it says otherwise.

    Attributes:
        name: of the model.
        sample_rate: in Hz.
        channels: of the audio.
        causal: convolutions see no sample to come.
        pad_mode: what convolutions see beyond the ends: constant, which is zeros, or reflect.
        norm: weight_norm or none, or time_group_norm over the time of a segment, which needs `segment`.
        dimension: channels of a latent.
        n_filters: channels at the rate of the audio; every stage of the encoder doubles them.
        ratios: strides of the stages in decoder order, one at least, their product up to 2^24; the encoder
            uses them reversed.
        kernel_size, last_kernel_size: of the first and of the last convolution of either side.
        residual_kernel_size: of the first convolution of a residual unit.
        n_residual_layers: residual units of a stage, 0 or more.
        dilation_base: unit k of a stage is dilated by this to the power of k, from 0, up to 2^16.
        compress: what divides the channels within a residual unit, at most `n_filters`.
        true_skip: residual units add their input as it is, not through a convolution.
        lstm_layers: 0 or more.
        n_q: codebooks.
        bins: entries of a codebook, a power of two from 2 to 2^15.
        bandwidths: bitrates in kbit/s, above 0, each of 1 to `n_q` codebooks.
        normalize: divide each segment by its volume, which needs `segment`.
        segment: seconds, of 1 to 2^24 samples, that are coded on their own; None is no segments.
        overlap: share of a segment that the next one has, too, from 0 to below 1.

    Raises:
        ConfigError: if a value is outside its range, or some do not go together.
    """

    name: str
    sample_rate: int
    channels: int = 1
    causal: bool = True
    pad_mode: PadMode = "constant"
    norm: Norm = "weight_norm"
    dimension: int = 128
    n_filters: int = 32
    ratios: tuple[int, ...] = (8, 5, 4, 2)
    kernel_size: int = 7
    last_kernel_size: int = 7
    residual_kernel_size: int = 3
    n_residual_layers: int = 1
    dilation_base: int = 2
    compress: int = 2
    true_skip: bool = False
    lstm_layers: int = 2
    n_q: int = 32
    bins: int = 1024
    bandwidths: tuple[float, ...] = (1.5, 3.0, 6.0, 12.0, 24.0)
    normalize: bool = False
    segment: float | None = None
    overlap: float = 0.01

    def __post_init__(self) -> None:
        self._check_sizes()
        if self.pad_mode not in ("constant", "reflect"):
            raise ConfigError(f"pad_mode must be constant or reflect, not {self.pad_mode!r}")
        if self.norm not in ("none", "weight_norm", "time_group_norm"):
            raise ConfigError(f"unknown norm {self.norm!r}")
        if self.segment is None and self.norm == "time_group_norm":
            raise ConfigError("a model with time_group_norm needs segments")
        if self.normalize and self.segment is None:
            raise ConfigError("a model that normalises needs segments")
        if min(map(self.codebooks_for, self.bandwidths), default=1) < 1:
            raise ConfigError(f"{min(self.bandwidths)} kbit/s are less than one codebook")
        if max(map(self.codebooks_for, self.bandwidths), default=0) > self.n_q:
            raise ConfigError(f"{max(self.bandwidths)} kbit/s need more than {self.n_q} codebooks")

    def _check_sizes(self) -> None:
        for name in (*SIZES, *LAYERS):
            if not _is_size(getattr(self, name), least=name in SIZES):
                raise ConfigError(f"{name} is a whole number up to {MOST}, not {getattr(self, name)!r:.40}")
        if not isinstance(self.name, str):
            raise ConfigError(f"name is a string, not {self.name!r:.40}")
        if not self.ratios or not all(map(_is_size, self.ratios)) or self.hop_length > MOST:
            raise ConfigError(
                f"ratios are whole numbers, their product up to {MOST}, not {self.ratios!r:.40}"
            )
        if self.dilation_base > 1 and self.n_residual_layers > 1 + math.log(
            MOST_DILATION, self.dilation_base
        ):
            raise ConfigError(f"{self.n_residual_layers} units dilate by more than {MOST_DILATION} at last")
        if self.compress > self.n_filters:
            raise ConfigError(f"compress is {self.compress}, more than the {self.n_filters} of n_filters")
        if self.bins & (self.bins - 1) or not 2 <= self.bins <= MOST_BINS:
            raise ConfigError(f"bins must be a power of two from 2 to {MOST_BINS}, not {self.bins}")
        if not 0 <= self.overlap < 1:
            raise ConfigError(f"overlap is a share from 0 to below 1, not {self.overlap!r}")
        if not all(isinstance(one, int | float) and 0 < one <= MOST_KBPS for one in self.bandwidths):
            raise ConfigError(
                f"bandwidths are kbit/s above 0, at most {MOST_KBPS:g}, not {self.bandwidths!r:.40}"
            )
        if self.segment is not None and not 1 <= self.segment * self.sample_rate <= MOST:
            raise ConfigError(f"segment is seconds, 1 to {MOST} samples long, not {self.segment!r:.40}")

    @property
    def hop_length(self) -> int:
        """Samples per frame."""
        return math.prod(self.ratios)

    @property
    def streams(self) -> bool:
        """Whether frames are coded and decoded as they come."""
        return self.causal and self.segment is None

    @property
    def frame_rate(self) -> float:
        """Frames per second, as a real number."""
        return self.sample_rate / self.hop_length

    @property
    def bits_per_code(self) -> int:
        """Bits of one code without entropy coding."""
        return self.bins.bit_length() - 1

    @property
    def bottleneck_channels(self) -> int:
        """Channels at the lowest rate, the width of the LSTM."""
        return self.n_filters * 2 ** len(self.ratios)

    @property
    def segment_length(self) -> int | None:
        """Samples per segment, or None for a model without segments."""
        return None if self.segment is None else int(self.segment * self.sample_rate)

    @property
    def segment_stride(self) -> int | None:
        """Samples from the start of one segment to that of the next."""
        if self.segment_length is None:
            return None
        return max(1, int((1 - self.overlap) * self.segment_length))

    def segments(self, length: int) -> list[tuple[int, int]]:
        """Start and number of samples of every segment of `length` samples.

        One for a model without segments; none for no samples. The last ones may be short.
        """
        if self.segment_length is None or self.segment_stride is None:
            return [(0, length)] if length else []
        return [
            (start, min(self.segment_length, length - start))
            for start in range(0, length, self.segment_stride)
        ]

    def frames_for(self, samples: int) -> int:
        """Frames that code `samples` samples of one segment: the ceiling, exact in integers."""
        return -(-samples // self.hop_length)

    def codebooks_for(self, bitrate: float) -> int:
        """Codebooks used at `bitrate` kbit/s: floor of the rate over that of one codebook."""
        return int(bitrate * 1000 * self.hop_length / (self.bits_per_code * self.sample_rate) + 1e-9)

    def bitrate_of(self, codebooks: int) -> float:
        """Rate in kbit/s of `codebooks` codebooks without entropy coding."""
        return codebooks * self.bits_per_code * self.frame_rate / 1000

    @property
    def default_bitrate(self) -> float:
        """6 kbit/s, or the nearest that the model offers."""
        return min(self.bandwidths, key=lambda offered: abs(offered - USUAL_BITRATE), default=USUAL_BITRATE)

    def chosen_bitrate(self, bitrate: float | None) -> float:
        """`bitrate` in kbit/s, or for None the default.

        Raises:
            ConfigError: if the model was not made for `bitrate`.
        """
        if bitrate is None:
            bitrate = self.default_bitrate
        if bitrate not in self.bandwidths:
            offered = ", ".join(f"{b:g}" for b in self.bandwidths)
            wanted = f"{bitrate:g}" if isinstance(bitrate, Real) else repr(bitrate)
            raise ConfigError(f"{self.name} has no {wanted} kbit/s; choose one of {offered}")
        return bitrate

    def check_bitrate(self, bitrate: float | None) -> int:
        """Codebooks for a bitrate this model offers; for None of its default.

        Raises:
            ConfigError: if the model was not made for `bitrate`.
        """
        return self.codebooks_for(self.chosen_bitrate(bitrate))


@dataclass(frozen=True)
class LanguageModelConfig(JsonConfig):
    """Sizes of the small Transformer over codes (paper, section 3.3), whole numbers.

    What reads or trains a model checks them.

    Attributes:
        name: of the model.
        n_q: codebooks that it can predict.
        bins: entries of a codebook.
        dim: channels, an even multiple of `num_heads`.
        num_layers: layers of attention and feed-forward.
        num_heads: of the attention of each layer.
        feed_forward: channels inside the feed-forward networks.
        past_context: frames before its own that a step sees.
        conditioned: codebook k of a step sees the codes of the books before it in the same step; without
            it all books of a step are predicted in parallel, as in the paper.
        step_feed_forward: channels inside a feed-forward network of each codebook's own, between what the
            codebook is predicted from and its output layer, of a conditioned model; 0 for none.
    """

    name: str
    n_q: int
    bins: int = 1024
    dim: int = 200
    num_layers: int = 5
    num_heads: int = 8
    feed_forward: int = 800
    past_context: int = 262
    conditioned: bool = False
    step_feed_forward: int = 0

    @property
    def bits_per_code(self) -> int:
        """Bits of one code without entropy coding."""
        return self.bins.bit_length() - 1
