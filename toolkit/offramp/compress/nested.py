"""Nested precision: weights as a high and a low plane of nibbles; a run at four bits reads the high plane alone.

w = 16 * high + low with high and low in [-8, 7]. The four-bit graph has the weights 16 * high, the eight-bit graph
all of them; both are ordinary int8 graphs, which the blob holds as two plans over one high plane.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from offramp.compress.cascade import Cascade, cascaded
from offramp.compress.correction import corrected
from offramp.compress.data import Rows
from offramp.compress.options import STORED_AT_4
from offramp.ir import IN_PLANES, Graph
from offramp.ops.compressed import LEAST_IN_PLANES, MOST_IN_PLANES, planes

Array = NDArray[Any]


def nested(graph: Graph, calibration: Array, validation: Rows, lost_points: float) -> tuple[Graph, Cascade]:
    """The eight-bit graph with the four-bit one as its member, and what asking again is worth on validation rows.

    The four-bit plan's biases make up for what its weights lose on the calibration rows.
    UserError where no margin keeps the loss within `lost_points` of accuracy.
    """
    whole = in_planes(graph)
    short = corrected(whole, replace(high_only(whole), name=f"{graph.name}_4"), [calibration])
    return cascaded(replace(whole, members=(short,)), validation, lost_points)


def in_planes(graph: Graph) -> Graph:
    """The graph with the weights of its layers held in planes, those whose high nibble would not fit clipped."""
    chosen = {op.inputs[1] for op in graph.ops if op.kind in STORED_AT_4}
    tensors = list(graph.tensors)
    for i in chosen:
        data = tensors[i].data
        assert data is not None
        tensors[i] = replace(
            tensors[i], data=np.clip(data, LEAST_IN_PLANES, MOST_IN_PLANES).astype(np.int8), storage=IN_PLANES
        )
    return replace(graph, tensors=tuple(tensors))


def high_only(graph: Graph) -> Graph:
    """The four-bit graph: of each weight in planes the part that the high plane holds."""
    tensors = tuple(
        replace(t, data=high_part(t.data)) if t.storage == IN_PLANES and t.data is not None else t
        for t in graph.tensors
    )
    return replace(graph, tensors=tensors)


def high_part(weights: Array) -> Array:
    """16 * high."""
    found = planes(weights)
    assert found is not None  # in_planes has clipped
    return np.asarray(16 * found[0].astype(np.int16), np.int8)
