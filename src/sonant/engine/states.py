"""How a graph begins and ends, and what it hands from one block of a stream to the next."""

from __future__ import annotations

from dataclasses import dataclass

from sonant.engine.graph import GraphBuilder


@dataclass(frozen=True)
class Ends:
    """What a graph does where its input begins and ends.

    Attributes:
        stream: begin from a state given as input and give the state at the end out; else begin
            at the first sample, with padding.
        tail: the input ends anywhere, and every strided layer completes its last window.
    """

    stream: bool
    tail: bool


STREAM = Ends(stream=True, tail=False)
START = Ends(stream=False, tail=False)


class States:
    """The states of a graph under construction.

    Attributes:
        shapes: of the inputs, without the batch.
        following: the values that follow the inputs, in their order.
    """

    def __init__(self, graph: GraphBuilder, ends: Ends) -> None:
        self._graph, self._stream = graph, ends.stream
        self.shapes: list[tuple[int, int]] = []
        self.following: list[str] = []

    def input(self, shape: tuple[int, int]) -> str:
        """The next state, an input `[B, *shape]`; what follows it goes to `following`."""
        name = f"state_{len(self.shapes)}"
        self.shapes.append(shape)
        return self._graph.input(name, ["batch", *shape])

    def input_or_zeros(self, rows: int, width: int) -> str:
        """The next state in a stream, else zeros."""
        return self.input((rows, width)) if self._stream else self._graph.zeros(rows, width)
