"""Layers that ask for their weights in planes of nibbles."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from offramp.frontends import tflite
from offramp.ir import Graph
from offramp.ops import compressed

from .case import Case, Grid
from .weighted import conv_2d, fully_connected


def limited(rng: np.random.Generator, values: np.ndarray) -> np.ndarray:
    """No larger than planes hold."""
    return np.minimum(values, compressed.MOST_IN_PLANES)


def new(op: str, seed: int) -> Grid:
    return Grid(op, seed, thin=limited)


def cases(seed: int) -> Iterator[Case]:
    yield from conv_2d(seed, new)
    yield from fully_connected(seed, new)


def in_planes(graph: Graph, upper_alone: bool = False) -> Graph:
    """The graph of one layer with its weights asked for in planes, or 16 times their upper plane."""
    tensors, w = list(graph.tensors), graph.ops[0].inputs[1]
    data = tensors[w].data
    assert data is not None
    if upper_alone:
        found = compressed.planes(data)
        assert found is not None
        data = (16 * found[0].astype(np.int64)).astype(np.int8)
    tensors[w] = dataclasses.replace(tensors[w], storage="planes", data=data)
    return dataclasses.replace(graph, tensors=tuple(tensors))


def planes(seed: int) -> Iterator[tuple[Case, Graph]]:
    """Each layer with both planes, and with the upper one."""
    for case in cases(seed):
        whole = in_planes(tflite.load(case.model, case.name))
        yield case, whole
        yield case, in_planes(whole, upper_alone=True)
