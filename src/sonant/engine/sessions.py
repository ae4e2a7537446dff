"""Sessions of ONNX Runtime."""

from __future__ import annotations

import onnx
import onnxruntime as ort

from sonant.engine.backend import Backend


def session_of(graph: onnx.ModelProto, backend: Backend | None = None) -> ort.InferenceSession:
    """A session, on one thread of the processor by default, that neither spins nor speaks."""
    backend = backend or Backend()
    options = ort.SessionOptions()
    options.intra_op_num_threads = backend.threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return ort.InferenceSession(graph.SerializeToString(), options, providers=backend.providers)
