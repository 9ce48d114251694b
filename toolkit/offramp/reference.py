"""Runs a graph with the operators' integer references, bit-exact to TensorFlow Lite Micro's reference kernels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from offramp.errors import UserError
from offramp.ir import DTYPES, Graph
from offramp.ops import OPS

Array = NDArray[Any]


class Reference:
    """One instance of a graph: state is kept from run to run."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.reset_state()

    def reset_state(self) -> None:
        """Variables take their initial values."""
        self.state = {v.name: self.graph.tensors[v.initial].data for v in self.graph.variables}

    def run(self, inputs: Sequence[Array]) -> list[Array]:
        """One inference: arrays shaped and typed as the graph's inputs -> its outputs."""
        values = self.values(inputs)
        return [values[i] for i in self.graph.outputs]

    def values(self, inputs: Sequence[Array]) -> dict[int, Array]:
        """As run, but every tensor's value by its index."""
        g = self.graph
        values: dict[int, Array] = {i: t.data for i, t in enumerate(g.tensors) if t.data is not None}
        for index, value in zip(g.inputs, inputs, strict=True):
            check_input(g, index, value)
            values[index] = value
        for op in g.ops:
            if op.kind == "read_variable":
                values[op.outputs[0]] = np.array(self.state[op.attributes.variable])
                continue
            if op.kind == "assign_variable":
                self.state[op.attributes.variable] = values[op.inputs[0]]
                continue
            tensors = [g.tensors[i] if i >= 0 else None for i in op.inputs]
            outputs = [g.tensors[i] for i in op.outputs]
            given = [values[i] if i >= 0 else None for i in op.inputs]
            values.update(
                zip(op.outputs, OPS[op.kind].reference(op.attributes, tensors, outputs, given), strict=True)
            )
        return values


def check_input(graph: Graph, index: int, value: Array) -> None:
    tensor = graph.tensors[index]
    if value.shape != tensor.shape or value.dtype != DTYPES[tensor.dtype]:
        raise UserError(
            f"input {tensor.name}: got {value.dtype} {list(value.shape)}, "
            f"the model takes {np.dtype(DTYPES[tensor.dtype])} {list(tensor.shape)}",
            "one row an inference; quantize with the scale and zero point that `offramp inspect` prints",
        )
