"""Results on disk under the hash of all that they depend on, so that no run computes one twice."""

from __future__ import annotations

import hashlib
import json
import os
import struct
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from sonant.audio import Audio
from sonant.evaluation.codecs.base import Payload
from sonant.whole_files import replacing

FORMAT = "3"
HEAD = struct.Struct("<4q")
"""Of decoded audio: channels, samples, bits and bytes of the payload."""


def content_hash(*parts: bytes | str) -> str:
    """SHA-256 over parts, each with its length, in hexadecimal."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()


def audio_hash(audio: Audio, sample_rate: int) -> str:
    """Hash of samples, shape and rate."""
    return content_hash(
        FORMAT, f"{audio.shape} {sample_rate}", np.ascontiguousarray(audio, np.float32).tobytes()
    )


def default_cache() -> Path:
    """`sonant/evaluation` in the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "sonant" / "evaluation"


class Cache:
    """Scores as JSON and decoded audio as float32, each written whole or not at all.

    What cannot be kept, on a full disk say, is computed again another time.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def _path(self, key: str, suffix: str) -> Path:
        return self._root / key[:2] / (key + suffix)

    def _write(self, path: Path, data: bytes) -> None:
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path) as temporary:
                temporary.write_bytes(data)

    def scores(self, key: str) -> dict[str, Any]:
        """What `add_scores` has stored under `key`; empty where there is nothing."""
        try:
            found: dict[str, Any] = json.loads(self._path(key, ".json").read_text())
        except (OSError, ValueError):
            return {}
        return found

    def add_scores(self, key: str, scores: dict[str, Any]) -> None:
        """Add scores to those under `key`."""
        self._write(self._path(key, ".json"), json.dumps(self.scores(key) | scores).encode())

    def decoded(self, key: str) -> tuple[Audio, Payload] | None:
        """Decoded audio `[channels, samples]` and the payload it came from; None unless both are whole."""
        try:
            data = self._path(key, ".bin").read_bytes()
            channels, samples, bits, size = HEAD.unpack_from(data)
        except (OSError, struct.error):
            return None
        begin = HEAD.size + size
        if len(data) != begin + 4 * channels * samples:
            return None
        audio = np.frombuffer(data[begin:], "<f4").reshape(channels, samples)
        return audio, Payload(data[HEAD.size : begin], bits)

    def add_decoded(self, key: str, audio: Audio, payload: Payload) -> None:
        """Store decoded audio and the payload it came from."""
        head = HEAD.pack(*audio.shape, payload.bits, len(payload.data))
        samples = np.ascontiguousarray(audio, "<f4").tobytes()
        self._write(self._path(key, ".bin"), head + payload.data + samples)
