"""Lyra-v2 from Google's three model files (v1.3.2, Apache-2.0), run by LiteRT.

16 kHz mono, 20 ms frames of 320 samples. An encoder makes 64 features of a frame, a residual quantiser
turns them into 16, 30 or 46 indices of 4 bits, and a generator makes sound of what is left of them.
"""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sonant.audio import Audio, mix_channels, resample
from sonant.errors import ConfigError, MissingDependencyError
from sonant.evaluation.cache import content_hash
from sonant.evaluation.codecs.base import Payload

FILES = ("soundstream_encoder.tflite", "quantizer.tflite", "lyragan.tflite")
RATES = {3.2: 16, 6.0: 30, 9.2: 46}
_SAMPLE_RATE, _HOP, _MAX_QUANTIZERS, _BITS = 16_000, 320, 46, 4
_SCALE = 32768.0


class LyraCodec:
    """Lyra-v2 at 3.2, 6 or 9.2 kbps.

    Raises:
        ConfigError: on another rate.
        MissingDependencyError: without LiteRT, or where the folder lacks a file.
    """

    def __init__(self, folder: Path | None, kbps: float) -> None:
        if kbps not in RATES:
            raise ConfigError(f"Lyra-v2 has no {kbps:g} kbps; choose one of 3.2, 6, 9.2")
        if folder is None:
            raise MissingDependencyError("Lyra-v2 needs its three model files: --lyra FOLDER")
        for name in FILES:
            if not (folder / name).is_file():
                raise MissingDependencyError(f"Lyra-v2: {folder} has no {name}")
        try:
            import ai_edge_litert  # noqa: F401
        except ImportError:
            raise MissingDependencyError("Lyra-v2 needs LiteRT: pip install ai-edge-litert") from None
        self.family = "Lyra-v2"
        self.name = f"{self.family} {kbps:g}"
        self.kbps = kbps
        self._folder = folder
        models = content_hash(*((folder / name).read_bytes() for name in FILES))
        self.identity = f"lyra {models} {kbps} litert-{version('ai-edge-litert')}"

    def _interpreter(self, file: str, delegate: bool = True) -> Any:
        """A fresh one per recording: the streaming state of an old one cannot be cleared."""
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        kind = OpResolverType.AUTO if delegate else OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        interpreter = Interpreter(
            str(self._folder / file), experimental_op_resolver_type=kind, num_threads=1
        )
        if delegate:
            interpreter.allocate_tensors()
        return interpreter

    def encode(self, audio: Audio, sample_rate: int) -> Payload:
        """One byte per 4-bit index; only the 4 bits count."""
        samples = resample(mix_channels(audio, 1), sample_rate, _SAMPLE_RATE)[0]
        frames = np.pad(samples, (0, -len(samples) % _HOP)).reshape(-1, 1, _HOP)
        frames = np.clip(np.rint(frames * _SCALE), -_SCALE, _SCALE - 1).astype(np.float32) / _SCALE
        network = self._interpreter(FILES[0])
        quantize = self._interpreter(FILES[1], delegate=False).get_signature_runner("encode")
        used = np.int32(RATES[self.kbps])
        indices: list[NDArray[np.integer]] = []
        for frame in frames:
            features = _call(network, frame)
            found = quantize(input_frames=features, num_quantizers=used)["output_0"]
            indices.append(found.reshape(-1)[:used])
        codes = np.stack(indices).astype(np.uint8)
        head = np.array([len(samples)], "<i8").tobytes()
        return Payload(head + codes.tobytes(), codes.size * _BITS)

    def decode(self, payload: Payload, sample_rate: int) -> Audio:
        """Generate and return to the rate of the original."""
        (length,) = np.frombuffer(payload.data[:8], "<i8").tolist()
        codes = np.frombuffer(payload.data[8:], np.uint8).reshape(-1, RATES[self.kbps])
        dequantize = self._interpreter(FILES[1], delegate=False).get_signature_runner("decode")
        network = self._interpreter(FILES[2])
        frames = []
        for code in codes:
            indices = np.full((_MAX_QUANTIZERS, 1, 1), -1, np.int32)
            indices[: len(code), 0, 0] = code
            features = dequantize(encoding_indices=indices)["output_0"].reshape(1, 1, 64)
            frames.append(_call(network, features).reshape(-1))
        samples = np.clip(np.rint(np.concatenate(frames) * _SCALE), -_SCALE, _SCALE - 1) / _SCALE
        return resample(samples[None, :length].astype(np.float32), _SAMPLE_RATE, sample_rate)


def _call(network: Any, value: NDArray[np.floating]) -> NDArray[np.float32]:
    place = network.get_input_details()[0]
    network.set_tensor(place["index"], np.ascontiguousarray(value, np.float32).reshape(place["shape"]))
    network.invoke()
    out: NDArray[np.float32] = network.get_tensor(network.get_output_details()[0]["index"])
    return out
