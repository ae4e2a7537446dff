"""One recording coded in every way there is: the bytes must be the same, and every way must read them.

    python benchmarks/entropy_exactness.py AUDIO [--model 24khz] [--seconds 20]

Each way runs in a process of its own: BLAS kernels by OPENBLAS_CORETYPE (a name that the processor does not
support falls back to one that it does), 1 and 2 threads, steps in blocks of several sizes, chunks one by
one and 16 side by side, matrix products by NumPy, by ONNX Runtime and in 32-bit integers.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import pickle
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto, helper

import sonant
from sonant.audio import read_audio
from sonant.entropy import integer_lm, range_coder
from sonant.entropy.integer_lm import IntegerLanguageModel
from sonant.entropy.integer_ops import Whole
from sonant.entropy.lm_coder import decode_chunks, encode_chunk
from sonant.language_models import language_model

KERNELS = ("Haswell", "SkylakeX", "Zen", "Nehalem", "Sandybridge", "Cooperlake")
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1"}
WAYS: dict[str, tuple[dict[str, str], list[str]]] = {
    "one thread": (ONE_THREAD, []),
    "two threads": ({"OPENBLAS_NUM_THREADS": "2"}, []),
    **{name: (ONE_THREAD | {"OPENBLAS_CORETYPE": name}, []) for name in KERNELS},
    "products by ONNX Runtime": ({}, ["--products", "onnxruntime"]),
    "products in integers": ({}, ["--products", "integers"]),
    **{f"blocks of {n}": (ONE_THREAD, ["--block", str(n)]) for n in (1, 7, 64)},
    "16 side by side": (ONE_THREAD, ["--lanes", "16"]),
}

Chunks = list[NDArray[np.int16]]


def in_blocks(lm: IntegerLanguageModel, values: NDArray[np.int16], block: int) -> bytes:
    """As `encode_chunk`, with the steps run in blocks of a size."""
    n_q, frames = values.shape
    before, rows = lm.before_steps(values, block), np.arange(frames)
    starts, widths = np.empty((frames, n_q), np.int64), np.empty((frames, n_q), np.int64)
    for k, codes in enumerate(values.astype(np.int64)):
        cumulative = lm.cumulative(before, k)
        starts[:, k] = cumulative[rows, codes]
        widths[:, k] = cumulative[rows, codes + 1] - starts[:, k]
        before = lm.with_code(before, k, codes)
    return range_coder.encode(starts.reshape(-1), widths.reshape(-1))


@cache
def matmul_session() -> ort.InferenceSession:
    """A graph of one MatMul."""
    names = ("x", "w", "y")
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, None]) for name in names]
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "g", values[:2], values[2:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def product_by(name: str) -> None:
    """Let the language model multiply by something else than NumPy's BLAS."""

    def by_onnxruntime(x: Whole, weight: Whole) -> Whole:
        y: Whole = matmul_session().run(None, {"x": np.ascontiguousarray(x), "w": weight})[0]
        return y

    def in_integers(x: Whole, weight: Whole) -> Whole:
        y: Whole = (x.astype(np.int32) @ weight.astype(np.int32)).astype(np.float32)
        return y

    integer_lm.product = {"onnxruntime": by_onnxruntime, "integers": in_integers}[name]  # type: ignore[attr-defined]


def work(options: argparse.Namespace) -> None:
    """One way: code the chunks, decode the given payloads, print what came of it."""
    if options.products:
        product_by(options.products)
    lm = language_model(sonant.load(options.model))
    assert lm
    chunks, payloads = pickle.loads(options.work.read_bytes())
    if options.block:
        coded = [in_blocks(lm, chunk, options.block) for chunk in chunks]
    else:
        coded = [encode_chunk(lm, chunk) for chunk in chunks]
    n_q, frames = chunks[0].shape
    wrong, lanes = 0, options.lanes
    together = (payloads or coded) * (-(-lanes // len(coded)))
    for first in range(0, len(together), lanes):
        decoded, intact = decode_chunks(lm, together[first : first + lanes], n_q, frames)
        for offset, values in enumerate(decoded):
            wrong += int((values != chunks[(first + offset) % len(chunks)]).sum())
        wrong += int((~intact).sum())
    sys.stdout.buffer.write(pickle.dumps((coded, wrong)))


def chunks_of(options: argparse.Namespace) -> Chunks:
    """Codes of a recording at 6 kbit/s, in chunks as long as the language model reaches."""
    codec = sonant.load(options.model)
    lm = language_model(codec)
    if lm is None:
        sys.exit(f"{options.model} has no language model")
    audio, _ = read_audio(options.audio, codec.config.sample_rate, codec.config.channels)
    values = codec.encode(audio[:, : round(options.seconds * codec.config.sample_rate)], bitrate=6.0).values
    return [
        values[:, t : t + lm.max_frames]
        for t in range(0, values.shape[1] - lm.max_frames + 1, lm.max_frames)
    ]


def main() -> None:
    """Run every way and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("audio", type=Path)
    parser.add_argument("--model", default="24khz")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--products", help=argparse.SUPPRESS)
    parser.add_argument("--block", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--lanes", type=int, default=1, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(options)
        return
    chunks, first = chunks_of(options), None
    with tempfile.TemporaryDirectory() as folder:
        job = Path(folder) / "job"
        for way, (environment, extra) in WAYS.items():
            job.write_bytes(pickle.dumps((chunks, first)))
            command = [
                sys.executable,
                __file__,
                str(options.audio),
                "--model",
                options.model,
                "--work",
                str(job),
            ]
            run = subprocess.run([*command, *extra], env=os.environ | environment, stdout=-1, check=True)
            coded, wrong = pickle.loads(run.stdout)
            first = first or coded
            digest = hashlib.sha256(b"".join(coded)).hexdigest()[:16]
            print(json.dumps({"way": way, "sha256": digest, "same": coded == first, "wrong_codes": wrong}))


if __name__ == "__main__":
    main()
