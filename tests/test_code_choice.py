"""Which codes files get."""

from __future__ import annotations

from typing import cast

import numpy as np
import pytest

import sonant
from sonant.code_choice import CodeChoice, code_choice
from sonant.codec import Codec
from sonant.entropy.integer_lm import IntegerLanguageModel
from sonant.errors import ConfigError


class Model:
    """As much of a language model as a choice looks at."""

    def __init__(self, n_q: int, max_frames: int = 375) -> None:
        self.n_q, self.max_frames = n_q, max_frames


def strength(codec: Codec, choice: CodeChoice) -> float:
    assert choice.search is not None
    return float(choice.search._strength) * np.log(codec.config.bins)


def test_how_codes_are_chosen(codec: Codec) -> None:
    lm = cast(IntegerLanguageModel, Model(4))
    plain = code_choice(codec, lm, 3.0, None, None, None)
    assert plain.search is not None and strength(codec, plain) == pytest.approx(0.1)
    assert (plain.search._beam, plain.average, plain.beam) == (3, None, None)
    assert plain.encoder(codec)._beam == 1  # type: ignore[attr-defined]
    wide = code_choice(codec, lm, 3.0, None, 0.5, 5)
    assert wide.search is not None and wide.search._beam == 5
    wide = code_choice(codec, lm, 3.0, None, 0.5, 5.0)  # type: ignore[arg-type]
    assert wide.search is not None and type(wide.search._beam) is int
    average = code_choice(codec, lm, 1.5, 3.0, None, None)
    assert average.average is not None and average.bitrate == 6.0
    for abr, enough in ((0.5, 3.0), (3.1, 12.0), (20.0, 24.0)):
        assert code_choice(codec, lm, None, abr, None, None).bitrate == enough
    assert strength(codec, average) == pytest.approx(0.1)
    assert strength(codec, code_choice(codec, lm, 1.5, 2.0, 0.0, None)) == 0
    for model, rdo in ((lm, 0.0), (None, 0.0), (None, None)):
        none = code_choice(codec, model, 6.0, None, rdo, 2)
        assert (none.search, none.average, none.bitrate) == (None, None, 6.0)
        assert none.encoder(codec)._beam == 2  # type: ignore[attr-defined]
    with pytest.raises(ConfigError, match="rdo needs a language model"):
        code_choice(codec, None, 6.0, None, 0.1, None)
    with pytest.raises(ConfigError, match=r"between 0 and 24 kbit/s here, not at 24\.1"):
        code_choice(codec, lm, 1.5, 24.1, None, None)
    with pytest.raises(ConfigError, match="not at '6'"):
        code_choice(codec, lm, None, "6", None, None)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="from 0 to 1"):
        code_choice(codec, lm, 3.0, None, 1.1, None)


def test_a_language_model_of_less_than_a_segment_codes_none() -> None:
    codec = sonant.load("48khz")
    enough, short = (cast(IntegerLanguageModel, Model(4, frames)) for frames in (150, 149))
    assert code_choice(codec, enough, 6.0, None, None, None).search is not None
    assert code_choice(codec, short, 6.0, None, None, None).search is None
    assert code_choice(codec, enough, None, 6.0, None, None).average is not None
    with pytest.raises(ConfigError, match="an average bitrate needs a language model"):
        code_choice(codec, short, None, 6.0, None, None)
