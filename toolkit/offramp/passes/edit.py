"""One op of a graph replaced by others, with the tensors between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from offramp.ir import Graph, Op, Quantization, Tensor
from offramp.ops import OPS
from offramp.ops.op import Array
from offramp.ops.reshape import Reshape
from offramp.ops.transpose import Transpose


class Edit:
    """Collects what stands in place of op `at`; `done` gives the new graph."""

    def __init__(self, graph: Graph, at: int) -> None:
        self.graph, self.at, self.op = graph, at, graph.ops[at]
        self.tensors = list(graph.tensors)
        self.ops: list[Op] = []

    def done(self) -> Graph:
        ops = (*self.graph.ops[: self.at], *self.ops, *self.graph.ops[self.at + 1 :])
        return replace(self.graph, ops=ops, tensors=tuple(self.tensors))

    def shape(self, i: int) -> tuple[int, ...]:
        return self.tensors[i].shape

    def new(self, tensor: Tensor) -> int:
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def constant(self, data: Array, like: int) -> int:
        """A constant with the type and quantization of tensor `like`."""
        name, was = f"{self.tensors[like].name}", self.tensors[like]
        return self.new(Tensor(name, data.shape, was.dtype, was.quantization, data))

    def real(self, data: Array, name: str) -> int:
        """A constant of real numbers; kept in float64 until the canonical form is reached."""
        return self.new(Tensor(name, np.shape(data), "f32", None, np.asarray(data, np.float64)))

    def emit(
        self,
        kind: str,
        attributes: Any,
        inputs: Sequence[int],
        like: int | None = None,
        outputs: Sequence[int] | None = None,
    ) -> int:
        """Appends an op and gives its first output: one of `outputs`, or new with the type of tensor `like`."""
        if outputs is None:
            outputs = [
                self.like(s, inputs[0] if like is None else like)
                for s in self.shapes(kind, attributes, inputs)
            ]
        self.ops.append(Op(kind, self.op.name, tuple(inputs), tuple(outputs), attributes))
        return outputs[0]

    def shapes(self, kind: str, attributes: Any, inputs: Sequence[int]) -> list[tuple[int, ...]]:
        return OPS[kind].shapes(attributes, [self.tensors[i] if i >= 0 else None for i in inputs])

    def like(self, shape: tuple[int, ...], i: int) -> int:
        """A new activation with the type and quantization of tensor i."""
        was = self.tensors[i]
        return self.new(Tensor(was.name, shape, was.dtype, was.quantization))

    def transposed(self, x: int, order: Sequence[int], out: int | None = None) -> int:
        return self.emit("transpose", Transpose(tuple(order)), [x], outputs=None if out is None else [out])

    def reshaped(self, x: int, shape: Sequence[int], out: int | None = None) -> int:
        return self.emit("reshape", Reshape(tuple(shape)), [x], outputs=None if out is None else [out])


def quantization_at(q: Quantization | None, axis: int) -> Quantization | None:
    """A per-channel quantization whose channels now lie along another axis."""
    return None if q is None or q.axis is None else replace(q, axis=axis)
