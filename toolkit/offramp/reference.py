"""Runs a graph with the operators' references: integers bit-exact to TensorFlow Lite Micro's, floats in numpy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from offramp.errors import UserError
from offramp.ir import DTYPES, Graph, Op
from offramp.ops import OPS
from offramp.ops.real import REAL

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
            values.update(zip(op.outputs, computed(g, op, values), strict=True))
        return values


def computed(graph: Graph, op: Op, values: dict[int, Array]) -> list[Array]:
    """An op's outputs from the values of its inputs."""
    tensors = [graph.tensors[i] if i >= 0 else None for i in op.inputs]
    outputs = [graph.tensors[i] for i in op.outputs]
    given = [values[i] if i >= 0 else None for i in op.inputs]
    if outputs[0].dtype == "f32":
        return REAL[op.kind](op.attributes, outputs, given)
    return OPS[op.kind].reference(op.attributes, tensors, outputs, given)


BATCH = 64  # rows computed at once: what one layer's windows take stays in some 100 MB


def run_rows(graph: Graph, *inputs: Array, every: bool = False) -> Iterator[dict[int, Array]]:
    """Many rows, some at a time: arrays [n, ...] for the graph's inputs -> values [some, ...] of its outputs by index.

    Every tensor's where `every` is set. Graphs with state, or whose first axis is no batch, run row by row.
    """
    wide = None if graph.variables else batched(graph, BATCH)
    rows = 1 if wide is None else BATCH
    for first in range(0, len(inputs[0]), rows):
        parts = [x[first : first + rows] for x in inputs]
        n = len(parts[0])
        part = graph if wide is None else wide if n == BATCH else batched(graph, n)
        assert part is not None
        shapes = [part.tensors[i].shape for i in part.inputs]
        found = Reference(part).values([x.reshape(s) for x, s in zip(parts, shapes, strict=True)])
        wanted = found if every else part.outputs
        values = {i: found[i] for i in wanted if part.tensors[i].data is None}
        yield {i: v if len(v) == n else v[None] for i, v in values.items()}


def run_all(graph: Graph, *inputs: Array) -> list[Array]:
    """Outputs [n, ...] of n rows."""
    parts = list(run_rows(graph, *inputs))
    return [np.concatenate([part[i] for part in parts]) for i in graph.outputs]


def batched(graph: Graph, n: int) -> Graph | None:
    """The graph for n rows at once; None where an activation's first axis is not a batch of one."""
    changing = {i for op in graph.ops for i in op.outputs} | set(graph.inputs)
    if any(graph.tensors[i].shape[:1] != (1,) for i in changing):
        return None
    ops = [batched_op(op, n) for op in graph.ops]
    if any(op is None for op in ops):
        return None
    tensors = tuple(
        replace(t, shape=(n, *t.shape[1:])) if i in changing else t for i, t in enumerate(graph.tensors)
    )
    return replace(graph, tensors=tensors, ops=tuple(op for op in ops if op is not None))


def batched_op(op: Op, n: int) -> Op | None:
    a = op.attributes
    if op.kind == "reshape":
        return replace(op, attributes=replace(a, shape=(n, *a.shape[1:])))
    if op.kind == "strided_slice":
        wide = replace(a, length=(n, *a.length[1:]), stride=(1, *a.stride[1:]), shape=(n, *a.shape[1:]))
        return replace(op, attributes=wide)
    keeps = {
        "transpose": op.kind == "transpose" and a.order[0] == 0,
        "mean": op.kind == "mean" and 0 not in a.axes,
        "concatenation": op.kind == "concatenation" and a.axis != 0,
        "split": op.kind == "split" and a.axis != 0,
        "pad": op.kind == "pad" and a.before[0] == a.after[0] == 0,
    }
    return op if keeps.get(op.kind, True) else None


def check_input(graph: Graph, index: int, value: Array) -> None:
    tensor = graph.tensors[index]
    if value.shape != tensor.shape or value.dtype != DTYPES[tensor.dtype]:
        raise UserError(
            f"input {tensor.name}: got {value.dtype} {list(value.shape)}, "
            f"the model takes {np.dtype(DTYPES[tensor.dtype])} {list(tensor.shape)}",
            "one row an inference; quantize with the scale and zero point that `offramp inspect` prints",
        )
