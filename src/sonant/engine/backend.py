"""What the networks run on, and how exactly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import onnxruntime as ort

from sonant.errors import ConfigError

Precision = Literal["float32", "int8"]
Device = Literal["cpu", "cuda"]

MOST_THREADS = 256

PROVIDERS = {"cpu": ["CPUExecutionProvider"], "cuda": ["CUDAExecutionProvider", "CPUExecutionProvider"]}


@dataclass(frozen=True)
class Backend:
    """How an engine computes.

    Attributes:
        threads: used by each call, 1 to 256.
        precision: float32, the reference, or int8, faster, for the LSTMs and the large products.
        device: the processor, or the first CUDA device of ONNX Runtime's build for it.

    Raises:
        ConfigError: if there is no such precision, device or number of threads, or this ONNX Runtime has
            not the device.
    """

    threads: int = 1
    precision: Precision = "float32"
    device: Device = "cpu"

    def __post_init__(self) -> None:
        for name, value, known in (
            ("precision", self.precision, get_args(Precision)),
            ("device", self.device, get_args(Device)),
        ):
            if value not in known:
                raise ConfigError(f"{name} is one of {', '.join(known)}, not {value!r}")
        if not 1 <= self.threads <= MOST_THREADS:
            raise ConfigError(f"threads is 1 to {MOST_THREADS}, not {self.threads}")
        if not set(self.providers) <= set(ort.get_available_providers()):
            raise ConfigError(
                f"device {self.device}: this ONNX Runtime has no {self.providers[0]}; install "
                "onnxruntime-gpu in place of onnxruntime"
            )

    @property
    def providers(self) -> list[str]:
        """ONNX Runtime's names of what computes, in order of preference."""
        return PROVIDERS[self.device]
