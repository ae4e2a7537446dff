"""Version 1 files that are written and played in memory, to measure what `sonant encode` makes."""

from __future__ import annotations

import io

import numpy as np

from sonant.audio import Audio
from sonant.codec import Codec
from sonant.codes import Codes
from sonant.container.average_rate import AverageRate
from sonant.container.index import Index, find_index
from sonant.container.writer import FileWriter
from sonant.entropy.integer_lm import IntegerLanguageModel
from sonant.entropy.rate_distortion import RateDistortionSearch
from sonant.origin import new_header
from sonant.recording import Recording


def written(
    codec: Codec,
    lm: IntegerLanguageModel,
    codes: Codes,
    search: RateDistortionSearch | None = None,
    average: AverageRate | None = None,
) -> tuple[bytes, Index]:
    """A file of a recording's codes, and its index; `search` and `average` as for `FileWriter`."""
    file = io.BytesIO()
    writer = FileWriter(file, codec.config, new_header(codec, lm), lm, search=search, average=average)
    writer.write(codes)
    writer.finish()
    index = find_index(file)
    assert index
    return file.getvalue(), index


def played(codec: Codec, file: bytes) -> Audio:
    """The audio of a file, at the codec's rate."""
    with Recording(io.BytesIO(file), codec) as recording:
        return np.concatenate(list(recording.blocks()), axis=1)
