"""Where the time of the networks goes: milliseconds of each kind of operator for a second of audio.

python benchmarks/operators.py [--model 24khz] [--precision float32] [--seconds 10]
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort

import sonant
from sonant.engine.precision import decoder_layers, encoder_layers
from sonant.engine.quantizer import quantizer_graph
from sonant.engine.runtime import START, STREAM
from sonant.engine.seanet import decoder_graph, encoder_graph
from sonant.streams import BLOCK_FRAMES


def profile(graph: onnx.ModelProto, feeds: dict[str, np.ndarray], runs: int) -> Counter[str]:
    """Microseconds by kind of operator in `runs` runs after one to warm up."""
    with tempfile.TemporaryDirectory() as folder:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "profile")
        session = ort.InferenceSession(
            graph.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        for _ in range(runs + 1):
            session.run(None, feeds)
        events = json.loads(Path(session.end_profiling()).read_text())
    runs_begin = [event["ts"] for event in events if event["name"] == "model_run"]
    spent: Counter[str] = Counter()
    for event in events:
        if (
            event["cat"] == "Node"
            and event["name"].endswith("_kernel_time")
            and event["ts"] >= runs_begin[1]
        ):
            spent[event["args"]["op_name"]] += event["dur"]
    return spent


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="24khz")
    parser.add_argument("--precision", choices=["float32", "int8"], default="float32")
    parser.add_argument("--seconds", type=float, default=10)
    options = parser.parse_args()
    codec = sonant.load(options.model, precision=options.precision)
    config, weights = codec.config, codec.weights
    random = np.random.default_rng(0)
    n_q = config.codebooks_for(6.0)
    ends = START if config.segment_length else STREAM
    frames = config.frames_for(config.segment_length) if config.segment_length else BLOCK_FRAMES
    audio = 0.1 * random.standard_normal((1, frames * config.hop_length, config.channels))
    entries = random.integers(0, config.bins, (1, n_q, frames))
    feeds: dict[str, dict[str, np.ndarray]] = {
        "encoder": {"audio": audio.astype(np.float32)},
        "quantizer": {"latents": random.standard_normal((1, frames, config.dimension)).astype(np.float32)},
        "decoder": {"entries": entries + np.arange(n_q)[:, None] * config.bins},
    }
    if ends.stream:
        for name, state in (
            ("encoder", codec.engine.encoder_start),
            ("decoder", codec.engine.decoder_start),
        ):
            feeds[name] |= {f"state_{number}": array for number, array in enumerate(state)}
    encoder = encoder_layers(config, weights, options.precision)
    decoder = decoder_layers(config, weights, options.precision)
    graphs = {
        "encoder": encoder_graph(config, weights, ends, layers=encoder),
        "quantizer": quantizer_graph(config, weights, n_q),
        "decoder": decoder_graph(config, weights, ends, layers=decoder),
    }
    block = frames * config.hop_length / config.sample_rate
    runs = max(1, round(options.seconds / block))
    for name, graph in graphs.items():
        spent = profile(graph, feeds[name], runs)
        total = sum(spent.values()) / 1000 / (runs * block)
        print(f"{name}: {total:.2f} ms for a second of audio, {1000 / total:.0f} × real time")
        for kind, duration in spent.most_common(7):
            milliseconds = duration / 1000 / (runs * block)
            print(f"    {kind:22} {milliseconds:6.2f} ms  {100 * milliseconds / total:4.1f} %")


if __name__ == "__main__":
    main()
