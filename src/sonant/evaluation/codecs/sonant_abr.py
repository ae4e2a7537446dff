"""Sonant's files of an average bitrate, after entropy coding (`sonant encode --abr`)."""

from __future__ import annotations

import io

import numpy as np

from sonant import code_choice as code_choices
from sonant import container, entropy, recording
from sonant.audio import Audio, mix_channels, resample
from sonant.code_choice import code_choice
from sonant.container.index import find_index
from sonant.container.writer import FileWriter
from sonant.errors import WeightsError
from sonant.evaluation.codecs.base import Payload
from sonant.evaluation.codecs.sonant import CODE, code_identity, loaded
from sonant.language_models import language_model
from sonant.recording import Recording, new_header

ABR_CODE = (*CODE, entropy, container, code_choices, recording)


class SonantAbrCodec:
    """A model with its language model, at an average bitrate.

    Raises:
        WeightsError: if the model cannot be found, or has no language model.
        ConfigError: if it cannot keep to such an average.
    """

    def __init__(self, model: str, kbps: float, family: str = "Sonant") -> None:
        codec = loaded(model)
        lm = language_model(codec)
        if lm is None:
            raise WeightsError(f"{codec.name} has no language model, which an average bitrate needs")
        code_choice(codec, lm, kbps, kbps, None, None)
        self._model, self._lm = model, lm
        self.family = f"{family} abr"
        self.name = f"{self.family} {kbps:g}"
        self.kbps = kbps
        self.identity = f"sonant abr {codec.weights_hash} {lm.digest} {kbps} {code_identity(*ABR_CODE)}"

    def encode(self, audio: Audio, sample_rate: int) -> Payload:
        """An .ecdc file; the bits are those of its chunks with their heads and checksums."""
        codec = loaded(self._model)
        rate = codec.config.sample_rate
        wav = mix_channels(audio, codec.config.channels)
        wav = wav if rate == sample_rate else resample(wav, sample_rate, rate)
        choice = code_choice(codec, self._lm, self.kbps, self.kbps, None, None)
        file, stream = io.BytesIO(), choice.encoder(codec)
        file_writer = FileWriter(
            *(file, codec.config, new_header(codec, self._lm), self._lm),
            search=choice.search,
            average=choice.average,
        )
        file_writer.write(stream.push(wav))
        file_writer.write(stream.finish())
        file_writer.finish()
        index = find_index(file)
        assert index
        return Payload(file.getvalue(), 8 * sum(index.sizes))

    def decode(self, payload: Payload, sample_rate: int) -> Audio:
        """The audio of the file at `sample_rate`."""
        codec = loaded(self._model)
        with Recording(io.BytesIO(payload.data), codec) as file:
            audio = np.concatenate(list(file.blocks()), axis=1)
        rate = codec.config.sample_rate
        return audio if rate == sample_rate else resample(audio, rate, sample_rate)
