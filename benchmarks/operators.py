"""Where the time of the networks goes: milliseconds of each kind of operator for a second of audio.

python benchmarks/operators.py [--model 24khz] [--precision float32] [--seconds 10]
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import onnxruntime as ort

import sonant
from sonant.codec import Codec
from sonant.engine.halves import Halves
from sonant.engine.precision import decoder_layers, encoder_layers
from sonant.engine.quantizer import quantizer_graph
from sonant.engine.seanet import decoder_graph, encoder_graph
from sonant.engine.states import START, STREAM
from sonant.stepping import SEGMENTS_AT_ONCE
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


class Part(NamedTuple):
    """A graph, what it is fed, and the seconds of audio that this is."""

    graph: onnx.ModelProto
    feeds: dict[str, np.ndarray]
    seconds: float


def parts_of(codec: Codec) -> dict[str, Part]:
    """The graphs that an engine runs, of segments or of the middle of a stream, on noise."""
    config, weights, precision = codec.config, codec.weights, codec.engine.backend.precision
    random = np.random.default_rng(0)
    n_q = config.codebooks_for(6.0)
    segmented = config.segment_length is not None
    frames = config.frames_for(config.segment_length) if config.segment_length else BLOCK_FRAMES
    samples = frames * config.hop_length
    seconds, many = samples / config.sample_rate, SEGMENTS_AT_ONCE if segmented else 1
    layers = [make(config, weights, precision) for make in (encoder_layers, decoder_layers)]

    def normal(batch: int, rows: int, width: int) -> np.ndarray:
        return random.standard_normal((batch, rows, width)).astype(np.float32)

    audio = 0.1 * normal(1, samples, config.channels)
    codes = random.integers(0, config.bins, (many, n_q, frames))
    entries = codes + np.arange(n_q)[:, None] * config.bins
    latents = normal(1, frames, config.dimension)
    quantizer = Part(quantizer_graph(config, weights, n_q), {"latents": latents}, seconds)
    if segmented:
        halves = Halves(config, weights, *layers)
        rows = normal(many, frames, config.bottleneck_channels)
        return {
            "encoder to frames": Part(halves.audio_to_rows(START), {"audio": audio}, seconds),
            "encoder from frames": Part(halves.rows_to_latents(), {"rows": rows}, many * seconds),
            "quantizer": quantizer,
            "decoder to frames": Part(halves.entries_to_rows(), {"entries": entries}, many * seconds),
            "decoder from frames": Part(halves.rows_to_audio(), {"rows": rows[:1]}, seconds),
        }
    starts = [
        {f"state_{number}": array for number, array in enumerate(state)}
        for state in (codec.engine.encoder_start, codec.engine.decoder_start)
    ]
    encoder, decoder = (
        make(config, weights, STREAM, layers=own)
        for make, own in zip((encoder_graph, decoder_graph), layers, strict=True)
    )
    return {
        "encoder": Part(encoder, {"audio": audio} | starts[0], seconds),
        "quantizer": quantizer,
        "decoder": Part(decoder, {"entries": entries} | starts[1], seconds),
    }


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="24khz")
    parser.add_argument("--precision", choices=["float32", "int8"], default="float32")
    parser.add_argument("--seconds", type=float, default=10)
    options = parser.parse_args()
    codec = sonant.load(options.model, precision=options.precision)
    for name, part in parts_of(codec).items():
        runs = max(1, round(options.seconds / part.seconds))
        spent = profile(part.graph, part.feeds, runs)
        total = sum(spent.values()) / 1000 / (runs * part.seconds)
        print(f"{name}: {total:.2f} ms for a second of audio, {1000 / total:.0f} × real time")
        for kind, duration in spent.most_common(7):
            milliseconds = duration / 1000 / (runs * part.seconds)
            print(f"    {kind:22} {milliseconds:6.2f} ms  {100 * milliseconds / total:4.1f} %")


if __name__ == "__main__":
    main()
