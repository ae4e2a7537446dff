from __future__ import annotations

import importlib.util
import json
import signal
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import settings
from safetensors.numpy import load_file

import sonant
from sonant.audio import Audio, read_audio
from sonant.codec import Codec
from sonant.config import CodecConfig
from sonant.models.layouts import Weights, from_official

settings.register_profile("busy machine", deadline=None)
settings.load_profile("busy machine")

DATA = Path(__file__).parent / "data"
EXAMPLES = Path(__file__).parent.parent / "examples"
AUDIO = EXAMPLES / "audio"


def example_module(name: str) -> ModuleType:
    """A program of the examples, as a module."""
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@dataclass(frozen=True)
class Golden:
    """A small model with random weights, and what the official implementation gave for it."""

    name: str
    folder: Path
    config: CodecConfig
    weights: Weights
    expected: dict[str, np.ndarray]

    @property
    def wav(self) -> Audio:
        return self.expected["wav"].reshape(self.config.channels, -1)

    def codes(self, bitrate: float) -> np.ndarray:
        """All segments' codes at a bitrate, end to end."""
        keys = sorted(key for key in self.expected if key.startswith(f"codes.{bitrate:g}."))
        return np.concatenate([self.expected[key] for key in keys], axis=1)


def hear_ctrl_c() -> None:
    """To be called in a child: what a shell starts in the background, tests too, ignores it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def load_golden(name: str) -> Golden:
    folder = DATA / name
    values = json.loads((folder / "config.json").read_text())
    del values["lm"]
    config = CodecConfig.from_dict(
        {"name": f"encodec_{name}", "bandwidths": values.pop("target_bandwidths"), **values}
    )
    weights = from_official(load_file(folder / "model.safetensors"), config)
    return Golden(name, folder, config, weights, load_file(folder / "expected.safetensors"))


@pytest.fixture(scope="session", params=["24khz", "48khz"])
def golden(request: pytest.FixtureRequest) -> Golden:
    return load_golden(request.param)


@pytest.fixture(scope="session")
def golden_codec(golden: Golden) -> Codec:
    return Codec(golden.config, golden.weights)


@pytest.fixture(scope="session")
def codec() -> Codec:
    """The bundled 24 kHz model."""
    return sonant.load()


@pytest.fixture(scope="session")
def speech() -> Audio:
    """Two seconds of real speech, `[1, samples]` at 24 kHz."""
    return read_audio(AUDIO / "speech_de.flac", 24_000, 1)[0][:, :48_000]


@pytest.fixture(scope="session")
def speech_file() -> Path:
    return AUDIO / "speech_en.flac"


@pytest.fixture(scope="session")
def music_file() -> Path:
    return AUDIO / "music_sunrise.flac"
