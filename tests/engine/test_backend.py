"""What the networks run on."""

import onnx
import onnxruntime
import pytest

from sonant.engine.backend import Backend
from sonant.engine.sessions import session_of
from sonant.errors import ConfigError


def test_a_device_that_is_not_there_is_refused_with_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    assert Backend().providers == ["CPUExecutionProvider"]
    with pytest.raises(ConfigError, match="onnxruntime-gpu"):
        Backend(device="cuda")


@pytest.mark.parametrize(
    "given",
    [{"precision": "float16"}, {"device": "gpu"}, {"threads": 0}, {"threads": -1}, {"threads": 100_000}],
)
def test_what_there_is_not_is_a_sentence(given: dict) -> None:
    (name,) = given
    with pytest.raises(ConfigError, match=f"{name} is "):
        Backend(**given)


def test_a_device_comes_before_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    there = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: there)
    assert Backend(device="cuda").providers == there


def test_a_device_that_does_not_start_is_not_replaced_by_the_processor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Session:
        def __init__(self, *_: object, **__: object) -> None: ...

        def get_providers(self) -> list[str]:
            return ["CPUExecutionProvider"]

    there = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: there)
    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    assert session_of(onnx.ModelProto())
    with pytest.raises(ConfigError, match="device cuda: CUDAExecutionProvider does not start; install"):
        session_of(onnx.ModelProto(), Backend(device="cuda"))
