from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from sonant.audio import Audio, read_audio
from sonant.evaluation.codecs.base import Payload

AUDIO = Path(__file__).parents[2] / "examples" / "audio"
RATE = 24_000


@pytest.fixture(scope="session")
def speech_24() -> Audio:
    """Three seconds of speech, `[1, samples]` at 24 kHz."""
    return read_audio(AUDIO / "speech_en.flac", RATE, 1)[0][:, : 3 * RATE]


@pytest.fixture(scope="session")
def music_24() -> Audio:
    """Three seconds of music, `[1, samples]` at 24 kHz."""
    return read_audio(AUDIO / "music_sunrise.flac", RATE, 1)[0][:, RATE : 4 * RATE]


@pytest.fixture
def folder(tmp_path: Path, speech_24: Audio, music_24: Audio) -> Path:
    """A folder to evaluate: one good file in each of two categories."""
    root = tmp_path / "audio"
    for category, audio in (("speech", speech_24), ("music", music_24)):
        (root / category).mkdir(parents=True)
        soundfile.write(root / category / "good.wav", audio.T, RATE, subtype="PCM_16")
    return root


class Halving:
    """A codec for tests: 16-bit samples, decoded at `gain`; counts its calls."""

    def __init__(self, name: str = "halving", gain: float = 0.5, cut: int = 0, crash: bool = False) -> None:
        self.name = self.family = self.identity = name
        self.kbps = 384.0
        self.gain, self.cut, self.crash = gain, cut, crash
        self.calls = 0

    def encode(self, audio: Audio, sample_rate: int) -> Payload:
        self.calls += 1
        data = np.rint(audio * 32767).astype("<i2").tobytes()
        return Payload(data, 8 * len(data))

    def decode(self, payload: Payload, sample_rate: int) -> Audio:
        if self.crash:
            raise RuntimeError("the decoder fell over")
        samples = np.frombuffer(payload.data, "<i2").astype(np.float32) / 32767 * np.float32(self.gain)
        return samples[None, self.cut :]
