"""Models of hearing that compare with the reference: ViSQOL, PESQ, STOI; mono `[samples]` arrays."""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any

import numpy as np
import soxr
from numpy.typing import NDArray

from sonant.errors import AudioError

Samples = NDArray[np.floating]

SPEECH_RATE = 16_000
VISQOL_AUDIO_RATE = 48_000


@cache
def _visqol(mode: str) -> Any:
    from visqol import VisqolApi

    api = VisqolApi()
    if mode == "speech":
        api.create(mode=mode, use_lattice_model=True)
    else:
        api.create(mode=mode)
    return api


def _at(rate: int, sample_rate: int, *signals: Samples) -> list[NDArray[np.float64]]:
    return [soxr.resample(np.asarray(s, np.float64), sample_rate, rate) for s in signals]


def _measure(mode: str, rate: int, reference: Samples, degraded: Samples, sample_rate: int) -> float:
    pair = _at(rate, sample_rate, reference, degraded)
    score = float(_visqol(mode).measure_from_arrays(*pair, sample_rate=rate).moslqo)
    if not np.isfinite(score):
        raise AudioError("ViSQOL has no score for it")
    return score


def visqol_audio(reference: Samples, degraded: Samples, sample_rate: int) -> float:
    """ViSQOL v3, audio mode at 48 kHz: MOS-LQO up to 4.73 (Chinen et al. 2020)."""
    return _measure("audio", VISQOL_AUDIO_RATE, reference, degraded, sample_rate)


def visqol_speech(reference: Samples, degraded: Samples, sample_rate: int) -> float:
    """ViSQOL v3, speech mode at 16 kHz with the lattice model; for speech only."""
    return _measure("speech", SPEECH_RATE, reference, degraded, sample_rate)


def pesq_wideband(reference: Samples, degraded: Samples, sample_rate: int) -> float:
    """Wide-band PESQ (ITU-T P.862.2) at 16 kHz: MOS-LQO up to 4.64."""
    from pesq import PesqError, pesq

    pair = _at(SPEECH_RATE, sample_rate, reference, degraded)
    try:
        return float(pesq(SPEECH_RATE, *(np.asarray(s, np.float32) for s in pair), "wb"))
    except PesqError as error:
        raise AudioError(f"PESQ has no score for it ({error})") from None


def stoi(reference: Samples, degraded: Samples, sample_rate: int) -> float:
    """Short-time objective intelligibility, 0 to 1 (Taal et al. 2011)."""
    from pystoi import stoi as measure

    pair = _at(SPEECH_RATE, sample_rate, reference, degraded)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "Not enough STFT frames", RuntimeWarning)
        try:
            return float(measure(*pair, SPEECH_RATE))
        except RuntimeWarning:
            raise AudioError("STOI has no score for it (less than 0.4 s without its silence)") from None
