"""What a file says of the codec that made it, and whether that is the one at hand."""

from __future__ import annotations

from sonant.codec import Codec
from sonant.container import version0, version1
from sonant.container.probe import AnyHeader
from sonant.container.version1 import HASH_DIGITS
from sonant.entropy.integer_lm import IntegerLanguageModel
from sonant.errors import FormatError, WeightsError
from sonant.models.registry import BUNDLED, is_bundled, is_known, known_config


def new_header(
    codec: Codec,
    lm: IntegerLanguageModel | None,
    source_rate: int | None = None,
    tags: dict[str, str] | None = None,
) -> version1.Header:
    """The header of a version 1 file that a codec makes."""
    config = codec.config
    return version1.Header(
        config.name,
        codec.weights_hash[:HASH_DIGITS],
        config.sample_rate,
        config.channels,
        config.hop_length,
        lm.digest[:HASH_DIGITS] if lm else None,
        source_rate,
        tags or {},
    )


def check_model(header: AnyHeader, codec: Codec) -> None:
    """Raise unless a codec is the one that made a file.

    By its weights where the file tells them, else by its name, as far as that says what it is.

    Raises:
        WeightsError: if it has other weights.
        FormatError: if it is another model.
    """
    named = codec.name == header.model
    if isinstance(header, version1.Header) and header.weights:
        if codec.weights_hash.startswith(header.weights):
            return
        if named:
            raise WeightsError(
                f"was made with other weights of {header.model} ({header.weights}); give those with -m"
            )
    elif named or (isinstance(header, version0.Header) and _may_be(codec, header.model)):
        return
    raise FormatError(f"was made with {header.model}, not with {codec.name}; give that with -m")


def _may_be(codec: Codec, name: str) -> bool:
    """Whether weights may be what a version 0 file calls so: official ones have many names."""
    bundled = codec.location is not None and codec.location.parent == BUNDLED
    if bundled or is_bundled(name):
        return False
    config = known_config(name) if is_known(name) else codec.config
    return (config.sample_rate, config.channels) == (codec.config.sample_rate, codec.config.channels)
