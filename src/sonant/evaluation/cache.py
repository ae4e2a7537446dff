"""Results on disk under the hash of all that they depend on, so that no run computes one twice."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from sonant.audio import Audio

FORMAT = "1"


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
    """Scores as JSON and decoded audio as float32, each written whole or not at all."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def _path(self, key: str, suffix: str) -> Path:
        return self._root / key[:2] / (key + suffix)

    def _write(self, path: Path, data: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(f".{os.getpid()}")
        temporary.write_bytes(data)
        os.replace(temporary, path)

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

    def decoded(self, key: str) -> tuple[Audio, int] | None:
        """Decoded audio `[channels, samples]` and its payload bits, if stored."""
        try:
            data = self._path(key, ".f32").read_bytes()
        except OSError:
            return None
        channels, bits = np.frombuffer(data[:16], "<i8").tolist()
        return np.frombuffer(data[16:], "<f4").reshape(channels, -1), bits

    def add_decoded(self, key: str, audio: Audio, bits: int) -> None:
        """Store decoded audio and the payload bits that it took."""
        head = np.array([audio.shape[0], bits], "<i8").tobytes()
        self._write(self._path(key, ".f32"), head + np.ascontiguousarray(audio, "<f4").tobytes())
