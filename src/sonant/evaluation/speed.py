"""How many times faster than real time a codec runs, in this process; not cached, not deterministic."""

from __future__ import annotations

import time

from sonant.audio import Audio
from sonant.evaluation.codecs.base import CodecUnderTest

REPEATS = 3


def speed(codec: CodecUnderTest, audio: Audio, sample_rate: int) -> tuple[float, float]:
    """Seconds of audio per second of encoding and of decoding, the best of three after a warm-up."""
    seconds = audio.shape[1] / sample_rate
    payload = codec.encode(audio, sample_rate)
    codec.decode(payload, sample_rate)
    encoding, decoding = [], []
    for _ in range(REPEATS):
        start = time.perf_counter()
        codec.encode(audio, sample_rate)
        middle = time.perf_counter()
        codec.decode(payload, sample_rate)
        encoding.append(middle - start)
        decoding.append(time.perf_counter() - middle)
    return seconds / min(encoding), seconds / min(decoding)
