"""Opus, MP3 and AAC through PyAV's FFmpeg."""

from __future__ import annotations

import io
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
import soxr

from sonant.audio import Audio, resampled
from sonant.audio.sources import PyAVSource
from sonant.errors import MissingDependencyError
from sonant.evaluation.codecs.base import Payload


@dataclass(frozen=True)
class _Kind:
    title: str
    encoder: str
    container: str
    rates: tuple[int, ...]
    options: tuple[tuple[str, str], ...] = ()


_REVISION = 2
_MPEG_RATES = (16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
_KINDS = {
    "opus": _Kind(
        "Opus",
        "libopus",
        "ogg",
        (16_000, 24_000, 48_000),
        (("application", "audio"), ("vbr", "constrained"), ("frame_duration", "20")),
    ),
    "mp3": _Kind("MP3", "libmp3lame", "mp3", _MPEG_RATES),
    "aac": _Kind("AAC", "aac", "mp4", _MPEG_RATES),
}


class AvCodec:
    """One of `opus`, `mp3`, `aac` at a rate; Opus in constrained variable rate, 20 ms frames.

    Raises:
        MissingDependencyError: without PyAV.
    """

    def __init__(self, kind: str, kbps: float) -> None:
        try:
            import av
        except ImportError:
            raise MissingDependencyError(f"{kind} needs PyAV: pip install av") from None
        self._kind = _KINDS[kind]
        self.family = self._kind.title
        self.name = f"{self.family} {kbps:g}"
        self.kbps = kbps
        libraries = ".".join(str(part) for part in av.library_versions.get("libavcodec", ()))
        self.identity = f"{self._kind} {kbps} av-{version('av')} libavcodec-{libraries} {_REVISION}"

    def encode(self, audio: Audio, sample_rate: int) -> Payload:
        """Code in memory; the bits are those of the packets, without the container's."""
        import av

        rate = sample_rate if sample_rate in self._kind.rates else 48_000
        samples = soxr.resample(audio.T, sample_rate, rate).T if rate != sample_rate else audio
        layout = "mono" if audio.shape[0] == 1 else "stereo"
        buffer = io.BytesIO()
        bits = 0
        with av.open(buffer, "w", format=self._kind.container) as container:
            stream: Any = container.add_stream(
                self._kind.encoder, rate=rate, options=dict(self._kind.options), layout=layout
            )
            stream.bit_rate = round(self.kbps * 1000)
            frame = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(samples, np.float32), format="fltp", layout=layout
            )
            frame.sample_rate, frame.pts = rate, 0
            for packet in [*stream.encode(frame), *stream.encode(None)]:
                bits += 8 * packet.size
                container.mux(packet)
        return Payload(buffer.getvalue(), bits)

    def decode(self, payload: Payload, sample_rate: int) -> Audio:
        """Decode and return to the rate of the original."""
        source = PyAVSource(io.BytesIO(payload.data))
        try:
            blocks = resampled(source.blocks(), source.sample_rate, sample_rate, source.channels)
            return np.concatenate(list(blocks), axis=1)
        finally:
            source.close()
