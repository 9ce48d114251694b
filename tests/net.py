"""Chains of operators with drawn weights, as .tflite files."""

from __future__ import annotations

import dataclasses

from tests.oracle import tflite_writer
from tests.oracle.case import Grid, NewGrid
from tests.oracle.tflite_writer import Operator, Subgraph, Tensor
from tests.oracle.weighted import layer


class Net:
    """A chain of operators, each fed by the one before."""

    def __init__(self, seed: int, shape: tuple[int, ...], new: NewGrid = Grid) -> None:
        self.grid = new("NET", seed)
        self.source = self.grid.tensor("input", shape)
        self.last = self.source
        self.tensors = [self.source]
        self.operators: list[Operator] = []

    def add(
        self, op: str, constants: list[Tensor], output: Tensor, options: str, **attributes: object
    ) -> None:
        n = len(self.operators)
        named = [dataclasses.replace(t, name=f"{t.name}{n}") for t in (*constants, output)]
        inputs = [self.last.name, *(t.name for t in named[:-1])]
        self.operators.append(Operator(op, inputs, [named[-1].name], options, dict(attributes)))
        self.tensors += named
        self.last = named[-1]

    def weighted(
        self, op: str, weights: tuple[int, ...], out: tuple[int, ...], options: str, **attributes: object
    ) -> None:
        axis = 3 if op == "DEPTHWISE_CONV_2D" else 0
        drawn = layer(self.grid, self.last, weights, axis, out, "usual", len(weights) == 4, bias=True)
        assert drawn.bias is not None
        self.add(op, [drawn.weights, drawn.bias], drawn.output, options, **attributes)

    def model(self) -> bytes:
        graph = Subgraph(self.tensors, self.operators, [self.source.name], [self.last.name])
        return tflite_writer.write(graph)
