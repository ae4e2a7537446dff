"""Sonant itself, and any other model that `sonant.load` takes, such as EnCodec's official weights."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from types import ModuleType

import numpy as np
import onnxruntime
import soxr

from sonant import codec as coding
from sonant import codes as codes_between
from sonant import engine, segments, stepping, streams
from sonant.audio import Audio, convert, resample
from sonant.codec import Codec
from sonant.codes import Codes
from sonant.container.writer import CHUNK_SECONDS
from sonant.entropy.lm_coder import encode_chunk
from sonant.evaluation.cache import content_hash
from sonant.evaluation.codecs.base import Payload
from sonant.language_models import language_model
from sonant.loading import load

CODE = (engine, coding, codes_between, segments, stepping, streams, convert)


@cache
def loaded(model: str) -> Codec:
    """A model, loaded once for all of its settings."""
    return load(model)


@cache
def code_identity(*modules: ModuleType) -> str:
    """ONNX Runtime, soxr and modules of ours, so that results of other code are not taken for theirs."""
    sources = [path.read_bytes() for module in modules for path in _sources(module)]
    packages = f"onnxruntime-{onnxruntime.__version__} soxr-{soxr.__version__}"
    return f"{packages} {content_hash(*sources)}"


def _sources(module: ModuleType) -> list[Path]:
    """The files of a module, or of a whole package."""
    path = Path(module.__file__ or "")
    return sorted(path.parent.glob("*.py")) if path.name == "__init__.py" else [path]


class SonantCodec:
    """A model at one of its bitrates.

    Raises:
        WeightsError: if the model cannot be found.
        ConfigError: if it has no such bitrate.
    """

    def __init__(self, model: str, kbps: float, family: str = "Sonant") -> None:
        codec = loaded(model)
        codec.config.check_bitrate(kbps)
        self._model = model
        self.family = family
        self.name = f"{family} {kbps:g}"
        self.kbps = kbps
        self.bins = codec.config.bins
        self.identity = f"sonant {codec.weights_hash} {kbps} beam {codec.beam} {code_identity(*CODE)}"

    def encode(self, audio: Audio, sample_rate: int) -> Payload:
        """Codes as int16, after their length and scales; the bits are those of the codes packed."""
        codes = loaded(self._model).encode(audio, sample_rate, self.kbps)
        scales = np.zeros(0, np.float32) if codes.scales is None else codes.scales
        head = np.array([codes.length, codes.n_q, len(scales)], "<i8").tobytes()
        data = head + scales.astype("<f4").tobytes() + codes.values.astype("<i2").tobytes()
        bits = codes.values.size * loaded(self._model).config.bits_per_code + 32 * len(scales)
        return Payload(data, bits)

    @property
    def language_model_hash(self) -> str | None:
        """Hash of the model's language model, if it has one."""
        lm = language_model(loaded(self._model))
        return None if lm is None else lm.digest

    def entropy_coded_bits(self, payload: Payload) -> int | None:
        """Bits with the language model, chunk by chunk as in a file; None without one."""
        codec = loaded(self._model)
        lm, codes = language_model(codec), read_codes(payload)
        if lm is None:
            return None
        bits = 0 if codes.scales is None else 32 * len(codes.scales)
        step = min(lm.max_frames, round(CHUNK_SECONDS * codec.config.frame_rate))
        for start in range(0, codes.frames, step):
            chunk = codes.values[:, start : start + step]
            packed = -(-chunk.size * codec.config.bits_per_code // 8)
            bits += 8 * min(len(encode_chunk(lm, chunk)), packed)
        return bits

    def decode(self, payload: Payload, sample_rate: int) -> Audio:
        """Audio of the codes at `sample_rate`."""
        codec = loaded(self._model)
        return resample(codec.decode(read_codes(payload)), codec.config.sample_rate, sample_rate)


def read_codes(payload: Payload) -> Codes:
    """The codes of a payload of `SonantCodec`."""
    length, n_q, segments = np.frombuffer(payload.data[:24], "<i8").tolist()
    scales = np.frombuffer(payload.data[24 : 24 + 4 * segments], "<f4")
    values = np.frombuffer(payload.data[24 + 4 * segments :], "<i2").reshape(n_q, -1)
    return Codes(values, length, scales if segments else None)
