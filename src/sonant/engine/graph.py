"""A thin layer over `onnx.helper`: operators are method calls that return the name of their output."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
IR_VERSION = 9
MICROSOFT = "com.microsoft"

Shape = Sequence[int | str]


class GraphBuilder:
    """Collects nodes, constants, inputs and outputs of one graph."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, onnx.TensorProto] = {}
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []
        self._shapes: dict[tuple[int, int], str] = {}

    def input(self, name: str, shape: Shape, kind: int = TensorProto.FLOAT) -> str:
        """Declare an input; strings in the shape are free sizes."""
        self._inputs.append(helper.make_tensor_value_info(name, kind, list(shape)))
        return name

    def output(self, value: str, name: str, shape: Shape, kind: int = TensorProto.FLOAT) -> None:
        """Give a value out under a name."""
        self._nodes.append(helper.make_node("Identity", [value], [name]))
        self._outputs.append(helper.make_tensor_value_info(name, kind, list(shape)))

    def constant(self, value: NDArray[Any], name: str = "") -> str:
        """A constant; equal names are stored once."""
        name = name or f"c{len(self._constants)}"
        if name not in self._constants:
            self._constants[name] = numpy_helper.from_array(np.asarray(value, order="C"), name)
        return name

    def integers(self, *values: int) -> str:
        """A 1-D constant of integers."""
        return self.constant(np.array(values, np.int64), f"i{values}")

    def integer(self, value: int) -> str:
        """A scalar integer."""
        return self.constant(np.array(value, np.int64), f"s{value}")

    def number(self, value: float) -> str:
        """A scalar."""
        return self.constant(np.array(value, np.float32), f"f{value}")

    def zeros(self, rows: int, width: int) -> str:
        """Zeros `[B, rows, width]` with the batch size of the first input."""
        return self.op("Expand", self.constant(np.zeros(1, np.float32), "zero"), self._shape(rows, width))

    def gemm(self, x: str, matrix: str, bias: str, shape: tuple[int, int]) -> str:
        """x · matrix + bias on `[B, T, C]`, with a matrix of this shape; a bias is one row or all."""
        return self.rows(self.op("Gemm", self.reshape(x, -1, shape[0]), matrix, bias), shape[1])

    def rows(self, x: str, width: int) -> str:
        """Numbers in any shape as `[B, T, width]`."""
        return str(self.op("Reshape", x, self._shape(-1, width)))

    def _shape(self, rows: int, width: int) -> str:
        """The shape `[B, rows, width]`, where -1 is what is left."""
        if (rows, width) not in self._shapes:
            batch = self.sizes(self._inputs[0].name, 0, 1)
            self._shapes[rows, width] = self.op("Concat", batch, self.integers(rows, width), axis=0)
        return self._shapes[rows, width]

    def op(self, kind: str, *inputs: str, outputs: int = 0, **attributes: Any) -> Any:
        """Add a node; returns its output's name, or with `outputs` a list of that many."""
        names = [f"{kind}_{len(self._nodes)}_{k}" for k in range(max(1, outputs))]
        self._nodes.append(helper.make_node(kind, list(inputs), names, **attributes))
        return names if outputs else names[0]

    def slice(self, x: str, start: int, stop: int | None, axis: int = 1) -> str:
        """Rows `start` to `stop` along an axis, as in Python."""
        end = np.iinfo(np.int64).max if stop is None else stop
        return self.op("Slice", x, self.integers(start), self.integers(int(end)), self.integers(axis))

    def concat(self, *parts: str) -> str:
        """Parts one after the other in time."""
        return self.op("Concat", *parts, axis=1)

    def reshape(self, x: str, *shape: int) -> str:
        """Reshape with 0 for "as it is" and -1 for "what is left"."""
        return str(self.op("Reshape", x, self.integers(*shape)))

    def sizes(self, x: str, start: int, stop: int) -> str:
        """The sizes of some axes, a 1-D tensor."""
        return self.op("Slice", self.op("Shape", x), self.integers(start), self.integers(stop))

    def length(self, x: str) -> str:
        """The number of rows in time, a scalar."""
        return self.op("Gather", self.op("Shape", x), self.integer(1))

    def build(self, metadata: dict[str, str] | None = None) -> onnx.ModelProto:
        """The finished model."""
        graph = helper.make_graph(
            self._nodes, self.name, self._inputs, self._outputs, list(self._constants.values())
        )
        domains = {node.domain for node in self._nodes}
        opsets = [helper.make_opsetid(d, 1 if d else OPSET) for d in sorted(domains)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
        model.producer_name = "sonant"
        for key, value in (metadata or {}).items():
            model.metadata_props.add(key=key, value=value)
        return model
