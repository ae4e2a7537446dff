"""Sessions of ONNX Runtime."""

from __future__ import annotations

import onnx
import onnxruntime as ort


def session_of(graph: onnx.ModelProto, threads: int = 1) -> ort.InferenceSession:
    """A session on the processor that neither spins nor speaks."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return ort.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])
