"""Predictors of listeners' opinion of speech that need no reference; mono `[samples]` arrays, MOS 1 to 5.

They stand in where no listeners can be had: trained on noise suppression (DNSMOS), packet loss (PLCMOS)
and codecs (DistillMOS), they judge how natural speech sounds, not how near it is to its original.
The reference is not used.
"""

from __future__ import annotations

import contextlib
import io
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import soxr
from numpy.typing import NDArray

from sonant.errors import MissingDependencyError

Samples = NDArray[np.floating]

_RATE = 16_000
_DNSMOS_SECONDS = 9.01
_DNSMOS_SAMPLES = 144_160
_DNSMOS_OVERALL = (-0.06766283, 1.11546468, 0.04602535)
_PLCMOS_RATERS = 15


def _folder(package: str) -> Path:
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise MissingDependencyError(f"{package} is not installed: pip install {package}")
    return Path(spec.origin).parent


@cache
def _session(model: str) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(
        str(_folder("speechmos") / model), options, providers=["CPUExecutionProvider"]
    )


def _speech(audio: Samples, sample_rate: int) -> NDArray[np.float32]:
    return np.clip(soxr.resample(np.asarray(audio, np.float32), sample_rate, _RATE), -1, 1)


def dnsmos(reference: Samples, degraded: Samples, sample_rate: int) -> float:
    """Overall quality of DNSMOS P.835 (Reddy et al. 2022), as its `dnsmos_local.py` takes its windows.

    They last 9.01 s and begin at whole seconds; clips that are shorter are doubled until they are not.
    """
    session = _session("dnsmos_models/sig_bak_ovr.onnx")
    audio = _speech(degraded, sample_rate)
    while len(audio) < _DNSMOS_SAMPLES:
        audio = np.concatenate([audio, audio])
    starts = range(0, (int(len(audio) // _RATE - _DNSMOS_SECONDS) + 1) * _RATE, _RATE)
    windows = np.stack([audio[start : start + _DNSMOS_SAMPLES] for start in starts])
    overall = session.run(None, {"input_1": windows})[0][:, 2]
    return float(np.polyval(_DNSMOS_OVERALL, overall).mean())


def plcmos(reference: Samples, degraded: Samples, sample_rate: int) -> float:
    """PLCMOS v2 (Diener et al. 2023), the mean over 15 simulated raters drawn with a fixed seed."""
    session = _session("plcmos_models/plcmos_v2.onnx")
    features = _log_power(_speech(degraded, sample_rate))[None, None]
    raters = np.random.default_rng(0).standard_normal((_PLCMOS_RATERS, 1, 64)).astype(np.float32)
    scores = [session.run(None, {"degraded_audio": features, "rater_embed": rater})[0] for rater in raters]
    return float(np.mean(scores))


def _log_power(audio: NDArray[np.float32]) -> NDArray[np.float32]:
    """`[frames, 257]`: natural log power over 20 of 32 ms Hamming windows, hop half, as PLCMOS takes it."""
    size, hop = 512, 256
    frames = -(-(len(audio) + size - hop) // hop)
    padded = np.pad(audio, (size - hop, (frames - 1) * hop + size - (size - hop) - len(audio)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, size)[::hop] * np.hamming(size + 1)[:-1]
    power = np.square(np.abs(np.fft.rfft(windows, axis=1)))
    quietest = power[power > 0].min(initial=1.0)
    logs = np.where(power > 0, np.log(np.maximum(power, 1e-300)), np.log(quietest) - 12 * np.log(10))
    return (logs / 20).astype(np.float32)


@cache
def _distillmos() -> Any:
    """The network. Its package imports torchaudio, but only its own command line uses it."""
    unused = {} if "torchaudio" in sys.modules else {"torchaudio": ModuleType("torchaudio")}
    sys.modules |= unused
    try:
        import distillmos
    except ImportError as error:
        raise MissingDependencyError(
            f"DistillMOS runs on PyTorch and is not part of the extra: pip install distillmos ({error})"
        ) from None
    finally:
        for name in unused:
            del sys.modules[name]
    with contextlib.redirect_stdout(io.StringIO()):
        return distillmos.ConvTransformerSQAModel().eval()


def distillmos(reference: Samples, degraded: Samples, sample_rate: int) -> float:
    """DistillMOS (Stahl and Gamper 2025), a small network distilled from XLS-R speech quality models."""
    model = _distillmos()
    import torch

    with torch.inference_mode():
        return float(model(torch.from_numpy(_speech(degraded, sample_rate))[None]))
