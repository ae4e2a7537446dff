"""All metrics under one signature: `measure(reference, degraded, sample_rate) -> float`.

Audio is float32 `[channels, samples]`. Waveform metrics first undo a delay of at most ±10 ms; SI-SNR
takes all channels as one signal, spectral distances average over channels, models of hearing get
the mean of the channels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

import numpy as np

from sonant.audio import Audio
from sonant.evaluation.metrics import opinion, perceptual, signal
from sonant.evaluation.metrics.loudness import loudness
from sonant.evaluation.statistics import ANY_VALUE, NOT_NEGATIVE, Scale

Measure = Callable[[Audio, Audio, int], float]

OPINION: Scale = (1.0, 5.0)
"""Mean opinion scores."""


@dataclass(frozen=True)
class Metric:
    """A way to score decoded audio.

    `better` is 1 where more is better, −1 where less is, 0 where the value only describes.
    `package` is the distribution that it needs beyond Sonant's own, `speech` that it suits speech only.
    `scale` is what values lie between.
    """

    key: str
    title: str
    measure: Measure
    better: int
    unit: str = ""
    speech: bool = False
    package: str | None = None
    revision: int = 1
    scale: Scale = ANY_VALUE

    @property
    def identity(self) -> str:
        """Name under which a score is cached: changes with the package that computes it."""
        try:
            package = f"{self.package}-{version(self.package)}" if self.package else "sonant"
        except PackageNotFoundError:
            package = "missing"
        return f"{self.key}/{package}/{self.revision}"


def _aligned(reference: Audio, degraded: Audio, sample_rate: int) -> tuple[Audio, Audio]:
    return signal.shifted(reference, degraded, signal.best_lag(reference, degraded, sample_rate))


def _si_snr(reference: Audio, degraded: Audio, sample_rate: int) -> float:
    wanted, got = _aligned(reference, degraded, sample_rate)
    return signal.si_snr(wanted.ravel(), got.ravel())


def _spectral(distance: Callable[[Audio, Audio, int], float]) -> Measure:
    def measure(reference: Audio, degraded: Audio, sample_rate: int) -> float:
        pairs = zip(*_aligned(reference, degraded, sample_rate), strict=True)
        return float(np.mean([distance(wanted, got, sample_rate) for wanted, got in pairs]))

    return measure


def _mono(model: Callable[[Audio, Audio, int], float]) -> Measure:
    def measure(reference: Audio, degraded: Audio, sample_rate: int) -> float:
        return model(reference.mean(axis=0), degraded.mean(axis=0), sample_rate)

    return measure


def _loudness_difference(reference: Audio, degraded: Audio, sample_rate: int) -> float:
    return loudness(degraded, sample_rate) - loudness(reference, sample_rate)


def _bandwidth(reference: Audio, degraded: Audio, sample_rate: int) -> float:
    return max(signal.bandwidth(channel, sample_rate) for channel in degraded)


METRICS = {
    metric.key: metric
    for metric in (
        Metric("si_snr", "SI-SNR", _si_snr, 1, "dB", revision=2),
        Metric(
            "visqol_audio",
            "ViSQOL audio",
            _mono(perceptual.visqol_audio),
            better=1,
            package="visqol-python",
            scale=(1.0, 4.733),
        ),
        Metric(
            "visqol_speech",
            "ViSQOL speech",
            _mono(perceptual.visqol_speech),
            better=1,
            speech=True,
            package="visqol-python",
            scale=OPINION,
        ),
        Metric("pesq", "PESQ", _mono(perceptual.pesq_wideband), 1, "", True, "pesq", scale=(1.0, 4.644)),
        Metric("stoi", "STOI", _mono(perceptual.stoi), 1, "", True, "pystoi", 2, (0.0, 1.0)),
        Metric(
            "mel", "mel distance", _spectral(signal.mel_distance), -1, "dB", revision=2, scale=NOT_NEGATIVE
        ),
        Metric(
            "stft", "STFT distance", _spectral(signal.stft_distance), -1, revision=2, scale=NOT_NEGATIVE
        ),
        Metric(
            "lsd",
            "log-spectral distance",
            _spectral(signal.log_spectral_distance),
            better=-1,
            unit="dB",
            revision=2,
            scale=NOT_NEGATIVE,
        ),
        Metric("bandwidth", "bandwidth", _bandwidth, 0, "kHz", scale=NOT_NEGATIVE),
        Metric("loudness", "loudness difference", _loudness_difference, 0, "LU"),
        Metric("dnsmos", "DNSMOS", _mono(opinion.dnsmos), 1, "", True, "speechmos", scale=OPINION),
        Metric("plcmos", "PLCMOS", _mono(opinion.plcmos), 1, "", True, "speechmos", scale=OPINION),
        Metric(
            "distillmos", "DistillMOS", _mono(opinion.distillmos), 1, "", True, "distillmos", scale=OPINION
        ),
    )
}
