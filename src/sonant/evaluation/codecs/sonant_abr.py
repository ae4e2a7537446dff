"""Sonant's files of an average bitrate, after entropy coding (`sonant encode --abr`)."""

from __future__ import annotations

from sonant import code_choice as code_choices
from sonant import container, entropy, recording
from sonant.audio import Audio, mix_channels, resample
from sonant.code_choice import code_choice
from sonant.codes import join
from sonant.errors import WeightsError
from sonant.evaluation import files_in_memory
from sonant.evaluation.codecs.base import Payload
from sonant.evaluation.codecs.sonant import CODE, code_identity, loaded
from sonant.evaluation.files_in_memory import played, written
from sonant.language_models import language_model

ABR_CODE = (*CODE, entropy, container, code_choices, recording, files_in_memory)


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
        wav = resample(mix_channels(audio, codec.config.channels), sample_rate, codec.config.sample_rate)
        choice = code_choice(codec, self._lm, self.kbps, self.kbps, None, None)
        stream = choice.encoder(codec)
        codes = join([stream.push(wav), stream.finish()])
        file, index = written(codec, self._lm, codes, choice.search, choice.average)
        return Payload(file, 8 * sum(index.sizes))

    def decode(self, payload: Payload, sample_rate: int) -> Audio:
        """The audio of the file at `sample_rate`."""
        codec = loaded(self._model)
        return resample(played(codec, payload.data), codec.config.sample_rate, sample_rate)
