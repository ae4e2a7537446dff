"""Sessions of ONNX Runtime."""

from __future__ import annotations

import onnx
import onnxruntime as ort

from sonant.engine.backend import Backend
from sonant.errors import ConfigError


def session_of(graph: onnx.ModelProto, backend: Backend | None = None) -> ort.InferenceSession:
    """A session, on one thread of the processor by default, that neither spins nor speaks.

    Raises:
        ConfigError: if the device of `backend` does not start; ONNX Runtime would take the processor.
    """
    backend = backend or Backend()
    options = ort.SessionOptions()
    options.intra_op_num_threads = backend.threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = ort.InferenceSession(graph.SerializeToString(), options, providers=backend.providers)
    if session.get_providers()[0] != backend.providers[0]:
        raise ConfigError(
            f"device {backend.device}: {backend.providers[0]} does not start; install the driver, and the "
            "CUDA and cuDNN that this onnxruntime-gpu is built for"
        )
    return session
