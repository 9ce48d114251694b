"""Accuracy of a graph, float or integer, with its standard error; agreement and differences of two graphs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from offramp.compress import rounding
from offramp.compress.calibrate import shaped_rows
from offramp.errors import UserError
from offramp.ir import DTYPES, Graph
from offramp.reference import run_all

Array = NDArray[Any]


@dataclass(frozen=True)
class Accuracy:
    """How many of some rows came out right."""

    right: Array  # bool [n]

    @property
    def samples(self) -> int:
        return len(self.right)

    @property
    def value(self) -> float:
        return float(self.right.mean())

    @property
    def stderr(self) -> float:
        return math.sqrt(self.value * (1 - self.value) / self.samples)

    def __str__(self) -> str:
        return f"{100 * self.value:.2f} ± {100 * self.stderr:.2f} % of {self.samples}"


@dataclass(frozen=True)
class Difference:
    """Of two accuracies on the same rows; the error is of the pairs, so far smaller than either's own."""

    value: float  # second less first
    stderr: float

    def __str__(self) -> str:
        return f"{100 * self.value:+.2f} ± {100 * self.stderr:.2f} points"


def difference(first: Accuracy, second: Accuracy) -> Difference:
    """UserError where they are not of the same number of rows."""
    if first.samples != second.samples:
        raise UserError(
            f"accuracies of {first.samples} and of {second.samples} rows", "compare graphs on the same rows"
        )
    pairs = second.right.astype(float) - first.right.astype(float)
    return Difference(float(pairs.mean()), float(pairs.std() / math.sqrt(len(pairs))))


def input_rows(graph: Graph, *x: Array) -> list[Array]:
    """Rows as the graph takes them: real numbers are quantized for an integer graph; its own type stays as it is."""
    if len(x) != len(graph.inputs):
        raise UserError(
            f"rows for {len(x)} inputs, {graph.name} has {len(graph.inputs)}", "one array an input"
        )
    if len(x[0]) == 0:
        raise UserError(f"no rows for {graph.name}", "at least one is needed")
    found = []
    for i, rows in zip(graph.inputs, x, strict=True):
        tensor, real = graph.tensors[i], shaped_rows(graph.tensors[i], rows)
        if tensor.dtype == "f32" or tensor.quantization is None:
            found.append(real.astype(DTYPES[tensor.dtype]))
        elif rows.dtype == DTYPES[tensor.dtype]:
            found.append(rows.reshape(real.shape))
        else:
            found.append(rounding.nearest(real, tensor.quantization, tensor.dtype))
    return found


def outputs(graph: Graph, *x: Array) -> list[Array]:
    """Outputs [n, ...] of rows in real numbers, in real numbers."""
    found = run_all(graph, *input_rows(graph, *x))
    return [rounding.real_values(v, graph.tensors[i]) for i, v in zip(graph.outputs, found, strict=True)]


def classes(graph: Graph, *x: Array) -> Array:
    """Top class of each row by the graph's first output, a tie to the lower: int64 [n]."""
    found = outputs(graph, *x)[0]
    return np.asarray(found.reshape(len(found), -1).argmax(axis=1))


def accuracy(graph: Graph, x: Array | Sequence[Array], y: Array) -> Accuracy:
    """Top-1 on rows x [n, ...] (one array an input) with labels y [n]; UserError where labels do not fit."""
    rows = (x,) if isinstance(x, np.ndarray) else tuple(x)
    y = checked_labels(graph, y, len(rows[0]))
    return Accuracy(classes(graph, *rows) == y)


def agreement(first: Graph, second: Graph, x: Array | Sequence[Array]) -> Accuracy:
    """Share of rows to which both graphs give the same top class."""
    rows = (x,) if isinstance(x, np.ndarray) else tuple(x)
    return Accuracy(classes(first, *rows) == classes(second, *rows))


def class_count(graph: Graph) -> int:
    return math.prod(graph.tensors[graph.outputs[0]].shape)


def checked_labels(graph: Graph, y: Array, rows: int) -> Array:
    """Labels as int64 [rows]; UserError where they are missing, no whole numbers, or no class of the graph."""
    y, count = np.asarray(y).reshape(-1), class_count(graph)
    if len(y) != rows:
        raise UserError(f"{len(y)} labels for {rows} rows", "one label a row is needed")
    if y.dtype.kind not in "iu" and not (y.dtype.kind == "f" and (y == np.rint(y)).all()):
        raise UserError(f"labels are {y.dtype}", f"whole numbers from 0 to {count - 1} are needed")
    outside = np.flatnonzero((y < 0) | (y >= count))
    if len(outside):
        raise UserError(
            f"label {y[outside[0]]} of row {outside[0]} is out of range: {graph.name} has {count} classes, "
            f"{len(outside)} of {rows} labels lie outside 0 to {count - 1}",
            "check the data set's labels; the first class is 0",
        )
    return y.astype(np.int64)
