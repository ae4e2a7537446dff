"""How the codes of a file are chosen: how many codebooks, how widely searched, and what bits weigh."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real

from sonant.codec import Codec, check_beam
from sonant.config import CodecConfig
from sonant.container.average_rate import AverageRate
from sonant.entropy.integer_lm import IntegerLanguageModel
from sonant.entropy.rate_distortion import BEAM, STRENGTH, RateDistortionSearch
from sonant.errors import ConfigError
from sonant.streams import EncoderStream


@dataclass(frozen=True)
class CodeChoice:
    """What one file is coded with.

    Attributes:
        bitrate: kbit/s of the encoder's codes.
        beam: of the encoder's own search; None for the codec's.
        search: chooses the codes of a chunk from its latents; None for the encoder's.
        average: chooses how many codebooks a chunk has; None for all.
    """

    bitrate: float
    beam: int | None
    search: RateDistortionSearch | None
    average: AverageRate | None

    def encoder(self, codec: Codec) -> EncoderStream:
        """The stream of codes that these choices start from."""
        if self.search:
            return codec.encoder(self.bitrate, latents=True, beam=1)
        return codec.encoder(self.bitrate, beam=self.beam)


def code_choice(
    codec: Codec,
    lm: IntegerLanguageModel | None,
    bitrate: float | None,
    abr: float | None,
    rdo: float | None,
    beam: int | None,
) -> CodeChoice:
    """The choice that `sonant.compress` describes, for the language model that codes the file, if any.

    Raises:
        ConfigError: on a bitrate or a number that there is not, or where a language model is missing.
    """
    if rdo is not None and not (isinstance(rdo, Real) and 0 <= rdo <= 1):
        raise ConfigError(f"rdo is a number from 0 to 1, not {rdo!r}")
    beam = None if beam is None else check_beam(beam)
    lm = lm if lm is not None and _codes_segments(lm, codec.config) else None
    average = None
    if abr is not None:
        bitrate, average = _average(codec, lm, abr)
    bitrate = codec.config.chosen_bitrate(bitrate)
    if lm is None:
        if rdo:
            raise ConfigError("rdo needs a language model, and none codes this file; leave it out")
        return CodeChoice(bitrate, beam, None, None)
    strength = STRENGTH if rdo is None else rdo
    if not strength and average is None:
        return CodeChoice(bitrate, beam, None, None)
    search = RateDistortionSearch(lm, codec.weights["codebooks"], strength, beam or BEAM)
    return CodeChoice(bitrate, None, search, average)


def _codes_segments(lm: IntegerLanguageModel, config: CodecConfig) -> bool:
    """Whether the language model reaches over a segment, if there are any: a chunk holds whole ones."""
    return config.segment_length is None or config.frames_for(config.segment_length) <= lm.max_frames


def _average(codec: Codec, lm: IntegerLanguageModel | None, abr: float) -> tuple[float, AverageRate]:
    """The bitrate of the codes to choose from, and what keeps to the average.

    The codes are of all books that the language model predicts, and of as many as take twice the average
    when packed: it hardly ever saves more than half.
    """
    config = codec.config
    if lm is None:
        raise ConfigError("an average bitrate needs a language model; use --bitrate instead of --abr")
    highest = max(config.bandwidths, default=0.0)
    if not isinstance(abr, Real) or not 0 < abr <= highest:
        raise ConfigError(f"an average bitrate lies between 0 and {highest:g} kbit/s here, not at {abr!r}")
    least = max(2 * abr, config.bitrate_of(lm.n_q))
    enough = min((b for b in config.bandwidths if b >= least), default=highest)
    return enough, AverageRate(abr, config.sample_rate, lm)
