"""Other ways to run the same EnCodec weights, as calls that benchmarks/speed.py takes turns with.

All run the official architecture with one set of random weights, so that what they give can be compared
with what Sonant gives.
"""

from __future__ import annotations

import importlib
import io
import sys
import tempfile
import types
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sonant.codec import Codec
from sonant.engine.backend import Backend, Precision
from sonant.models.export import export_transformers
from sonant.models.layouts import from_official
from sonant.models.official import ENCODEC_24KHZ, ENCODEC_48KHZ

CONFIGS = {"24khz": ENCODEC_24KHZ, "48khz": ENCODEC_48KHZ}


@dataclass
class Peer:
    """A program to compare with: `encode(wav [channels, samples])` and `decode` of what that gave."""

    name: str
    encode: Callable[[np.ndarray], Any]
    decode: Callable[[Any], np.ndarray]
    codes: Callable[[Any], np.ndarray]


def import_official() -> tuple[Any, Any]:
    """`encodec.model` and `encodec.compress`; torchaudio, which only training needs, is replaced."""
    names = ("torchaudio", "torchaudio.transforms")
    kept = {name: sys.modules.pop(name, None) for name in names}
    audio, transforms = (types.ModuleType(name) for name in names)
    transforms.Spectrogram = torch.nn.Identity  # type: ignore[attr-defined]
    audio.transforms = transforms  # type: ignore[attr-defined]
    sys.modules.update(zip(names, (audio, transforms), strict=True))
    try:
        return importlib.import_module("encodec.model"), importlib.import_module("encodec.compress")
    finally:
        for name, module in kept.items():
            del sys.modules[name]
            if module is not None:
                sys.modules[name] = module


def official_model(kind: str, bitrate: float) -> Any:
    """The official 24 kHz or 48 kHz network with random weights."""
    warnings.filterwarnings("ignore")
    network, _ = import_official()
    torch.manual_seed(0)
    model = getattr(network.EncodecModel, f"encodec_model_{kind}")(pretrained=False)
    model.name = f"encodec_{kind}"
    for layer in model.quantizer.vq.layers:
        layer._codebook.inited.fill_(1.0)
        layer._codebook.embed.normal_(std=0.1)
    model.set_target_bandwidth(bitrate)
    return model.eval()


def sonant_of(model: Any, kind: str, precision: Precision = "float32") -> Codec:
    """Our codec with the weights of an official model."""
    tensors = {key: value.detach().numpy() for key, value in model.state_dict().items()}
    weights = from_official(tensors, CONFIGS[kind])
    return Codec(CONFIGS[kind], weights, backend=Backend(precision=precision))


def official_peer(model: Any) -> Peer:
    """The official network, without its file format."""

    @torch.no_grad()
    def encode(wav: np.ndarray) -> Any:
        return model.encode(torch.from_numpy(wav)[None])

    @torch.no_grad()
    def decode(frames: Any) -> np.ndarray:
        return model.decode(frames)[0].numpy()

    return Peer("official", encode, decode, lambda frames: torch.cat([f[0][0] for f in frames], 1).numpy())


def official_files(model: Any) -> Peer:
    """The official network and file format, in memory, without a language model."""
    _, tool = import_official()
    tool.MODELS[model.name] = lambda *_, **__: model

    def encode(wav: np.ndarray) -> bytes:
        return tool.compress(model, torch.from_numpy(wav), use_lm=False)

    return Peer(
        "official, file", encode, lambda data: tool.decompress(data)[0].numpy(), lambda _: np.zeros(0)
    )


def transformers_peer(codec: Codec, bitrate: float) -> Peer:
    """🤗 Transformers, from the folder that Sonant exports."""
    from transformers import EncodecModel

    with tempfile.TemporaryDirectory() as folder:
        export_transformers(codec.config, dict(codec.weights), Path(folder))
        model = EncodecModel.from_pretrained(folder).eval()

    @torch.no_grad()
    def encode(wav: np.ndarray) -> Any:
        return model.encode(torch.from_numpy(wav)[None], bandwidth=bitrate)

    @torch.no_grad()
    def decode(coded: Any) -> np.ndarray:
        padding = coded.last_frame_pad_length if hasattr(coded, "last_frame_pad_length") else None
        extra = {} if padding is None else {"last_frame_pad_length": padding}
        return model.decode(coded.audio_codes, coded.audio_scales, **extra)[0][0].numpy()

    return Peer("Transformers", encode, decode, lambda c: torch.cat(list(c.audio_codes[:, 0]), 1).numpy())


class _Encode(torch.nn.Module):
    def __init__(self, model: Any) -> None:
        super().__init__()
        self.encoder, self.quantizer = model.encoder, model.quantizer
        self._rate, self._bandwidth = model.frame_rate, model.bandwidth

    def forward(self, wav: torch.Tensor) -> torch.Tensor:
        return self.quantizer.encode(self.encoder(wav), self._rate, self._bandwidth).transpose(0, 1)


class _Decode(torch.nn.Module):
    def __init__(self, model: Any) -> None:
        super().__init__()
        self.decoder, self.quantizer = model.decoder, model.quantizer

    def forward(self, codes: torch.Tensor) -> torch.Tensor:
        return self.decoder(self.quantizer.decode(codes.transpose(0, 1)))


def onnx_peer(model: Any, seconds: float, threads: int) -> Peer:
    """The official network exported by `torch.onnx` as it is, for one length, in ONNX Runtime."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3

    def session(module: torch.nn.Module, example: torch.Tensor) -> ort.InferenceSession:
        file = io.BytesIO()
        torch.onnx.export(module, (example,), file, opset_version=17, dynamo=False)
        return ort.InferenceSession(file.getvalue(), options, providers=["CPUExecutionProvider"])

    wav = torch.randn(1, model.channels, round(seconds * model.sample_rate)) * 0.1
    with torch.no_grad():
        encoder = session(_Encode(model), wav)
        decoder = session(_Decode(model), _Encode(model)(wav))

    def run(network: ort.InferenceSession, value: np.ndarray) -> np.ndarray:
        return network.run(None, {network.get_inputs()[0].name: value})[0]

    return Peer(
        "plain ONNX export",
        lambda audio: run(encoder, audio[None]),
        lambda codes: run(decoder, codes)[0],
        lambda codes: codes[0],
    )
