"""What every codec under test offers: encode to bytes, decode, and an honest count of payload bits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from sonant.audio import Audio, mix_channels
from sonant.errors import AudioError

LENGTH_TOLERANCE_SECONDS = 0.1


@dataclass(frozen=True)
class Payload:
    """What a codec made of some audio. `bits` counts the coded audio, without a container's framing."""

    data: bytes
    bits: int


class Original:
    """No codec at all: what the metrics say of the reference itself."""

    name = family = identity = "reference"
    kbps = 0.0

    def encode(self, audio: Audio, sample_rate: int) -> Payload:
        """The samples as they are; no bits are counted."""
        head = np.array(audio.shape, "<i8").tobytes()
        return Payload(head + np.ascontiguousarray(audio, "<f4").tobytes(), 0)

    def decode(self, payload: Payload, sample_rate: int) -> Audio:
        """The samples as they were."""
        shape = np.frombuffer(payload.data[:16], "<i8").tolist()
        return np.frombuffer(payload.data[16:], "<f4").reshape(shape)


class CodecUnderTest(Protocol):
    """A codec at one setting.

    `name` is the row's name, `family` joins the settings of one codec into a curve, `kbps` is the
    nominal rate, and `identity` names everything that its output depends on, for the cache.
    """

    name: str
    family: str
    kbps: float
    identity: str

    def encode(self, audio: Audio, sample_rate: int) -> Payload:
        """Code `[channels, samples]`."""

    def decode(self, payload: Payload, sample_rate: int) -> Audio:
        """Audio `[channels, samples]` at `sample_rate`, of about the length that went in."""


def round_trip(codec: CodecUnderTest, audio: Audio, sample_rate: int) -> tuple[Audio, Payload]:
    """Audio through a codec, of the same shape as before, and what was sent.

    Raises:
        AudioError: if the codec returned another length (more than 0.1 s off), or no finite numbers.
    """
    payload = codec.encode(audio, sample_rate)
    decoded = mix_channels(codec.decode(payload, sample_rate), audio.shape[0])
    surplus = decoded.shape[1] - audio.shape[1]
    if abs(surplus) > LENGTH_TOLERANCE_SECONDS * sample_rate:
        seconds, wanted = decoded.shape[1] / sample_rate, audio.shape[1] / sample_rate
        raise AudioError(f"{codec.name} gave {seconds:.2f} s for {wanted:.2f} s of audio")
    if not np.isfinite(decoded).all():
        raise AudioError(f"{codec.name} gave audio with values that are no numbers")
    decoded = np.pad(decoded[:, : audio.shape[1]], ((0, 0), (0, max(0, -surplus))))
    return np.ascontiguousarray(decoded, np.float32), payload
