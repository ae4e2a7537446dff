"""Rooms: impulse responses drawn or measured, their reverberation time, and their use."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

RT60_RANGE = (0.3, 1.3)

Signal = NDArray[np.float32]


def synthesise_response(rt60: float, sample_rate: int, random: np.random.Generator) -> Signal:
    """A room's impulse response `[T]`: direct sound, a few reflections, a tail of decaying noise.

    The energy falls by 60 dB in `rt60` seconds; walls swallow high frequencies first, which a
    first-order low-pass of a drawn strength stands for. The direct sound is at sample 0.
    """
    length = int(rt60 * sample_rate)
    time = np.arange(length) / sample_rate
    tail = random.standard_normal(length) * 10 ** (-3 * time / rt60)
    distance = random.uniform(0.002, 0.02)
    tail[: int(distance * sample_rate)] = 0
    darkness = random.uniform(0.0, 0.6)
    tail[1:] = (1 - darkness) * tail[1:] + darkness * tail[:-1]
    tail *= random.uniform(0.3, 1.0) / np.sqrt(np.square(tail).sum() + 1e-12)
    for _ in range(random.integers(3, 8)):
        place = int(random.uniform(distance, 0.08) * sample_rate)
        if place < length:
            tail[place] += random.uniform(-0.4, 0.4) * 10 ** (-3 * place / sample_rate / rt60)
    tail[0] = 1.0
    return tail.astype(np.float32)


def measured_rt60(response: Signal, sample_rate: int) -> float:
    """Reverberation time in seconds: the fall from −5 to −25 dB of the energy still to come, times 3."""
    onset = int(np.abs(response).argmax())
    energy = np.square(response[onset:].astype(np.float64))
    remaining = np.cumsum(energy[::-1])[::-1]
    level = 10 * np.log10(remaining / remaining[0] + 1e-12)
    start, stop = int(np.argmax(level <= -5)), int(np.argmax(level <= -25))
    if stop <= start:
        return 0.0
    slope = np.polyfit(np.arange(start, stop) / sample_rate, level[start:stop], 1)[0]
    return float(-60 / slope)


def reverberate(audio: Signal, response: Signal) -> Signal:
    """`[T, channels]` as heard in the room, as loud as before, not delayed, cut to its length."""
    direct = int(np.abs(response).argmax())
    response = response[direct:]
    size = 1 << (len(audio) + len(response) - 2).bit_length()
    spectrum = np.fft.rfft(audio, size, axis=0) * np.fft.rfft(response, size)[:, None]
    wet = np.fft.irfft(spectrum, size, axis=0)[: len(audio)]
    before, after = np.sqrt(np.mean(np.square(audio))), np.sqrt(np.mean(np.square(wet)))
    return (wet * (before / (after + 1e-12))).astype(np.float32)
