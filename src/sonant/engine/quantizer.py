"""The graph of the residual vector quantiser: latents to codes (paper, section 3.2)."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto

from sonant.config import CodecConfig
from sonant.engine.graph import GraphBuilder
from sonant.engine.weights import Weights


def quantizer_graph(config: CodecConfig, weights: Weights, n_q: int, beam: int = 1) -> onnx.ModelProto:
    """`latents [B, F, D]` to `codes [n_q, B · F]`.

    With a beam of 1 every stage takes the entry nearest to what the stages before it left over. The sum of
    such entries is not the nearest sum: a wider beam keeps the best beginnings from stage to stage.

    Of the cost of an entry e after a residual r, ‖r − e‖² = ‖r‖² − 2 (r·e − ‖e‖²/2), the part in brackets
    is one product, and ‖r‖² only tells beginnings apart.
    """
    graph, bins = GraphBuilder("quantizer"), config.bins
    latents = graph.input("latents", ["batch", "frames", config.dimension])
    residual = graph.reshape(latents, -1, config.dimension)
    numbers = _row_numbers(graph, residual)
    codes, kept = "", 1
    for stage, book in enumerate(weights["codebooks"][:n_q]):
        wanted = min(beam, kept * bins) if stage + 1 < n_q else 1
        entries = graph.constant(book, f"book{stage}")
        offset = graph.constant(-0.5 * np.square(book).sum(axis=1), f"offset{stage}")
        scores = graph.op("Gemm", residual, entries, offset, transB=1)
        if kept > 1:
            lengths = graph.op("ReduceSumSquare", residual, axes=[1])
            scores = graph.op("Sub", scores, graph.op("Mul", lengths, graph.number(0.5)))
            scores = graph.reshape(scores, -1, kept * bins)
        _, best = graph.op("TopK", scores, graph.integers(wanted), outputs=2, axis=1)
        if kept == wanted == 1:
            code = graph.reshape(best, -1)
        else:
            firsts = graph.op("Mul", numbers, graph.integer(kept * bins))
            places = graph.reshape(graph.op("Add", best, firsts), -1)
            beginnings = graph.op("Div", places, graph.integer(bins))
            code = graph.op("Mod", places, graph.integer(bins))
            residual = graph.op("Gather", residual, beginnings)
            codes = codes and graph.op("Gather", codes, beginnings)
        column = graph.reshape(code, -1, 1)
        codes = graph.op("Concat", codes, column, axis=1) if codes else column
        if stage + 1 < n_q:
            residual = graph.op("Sub", residual, graph.op("Gather", entries, code))
        kept = wanted
    graph.output(graph.op("Transpose", codes, perm=[1, 0]), "codes", [n_q, "vectors"], TensorProto.INT64)
    return graph.build({"codebooks": str(n_q), "beam": str(beam)})


def _row_numbers(graph: GraphBuilder, x: str) -> str:
    """0, 1, … for the rows of `x`, `[rows, 1]`."""
    rows = graph.op("Gather", graph.op("Shape", x), graph.integer(0))
    return graph.reshape(graph.op("Range", graph.integer(0), rows, graph.integer(1)), -1, 1)
