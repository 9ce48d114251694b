"""Heads that see where things are: a convolution, then a dense layer over all places, for joint training."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from offramp.compress.exits.heads import (
    CHANNEL_BYTES,
    MACS_SHARE,
    POOLED,
    STEP_BYTES,
    Draft,
    answer_shape,
    attached,
    bytes_for_heads,
    classifying,
    forms_of,
    head,
    is_detector,
    joined,
)
from offramp.compress.exits.points import Point
from offramp.ir import Graph
from offramp.ops.gemm import Window
from offramp.ops.op import elements
from offramp.ops.pool_2d import Pool
from offramp.passes.rewrite import macs

CHANNELS = (16, 12, 8)  # of the convolution, from the most able to the cheapest
KERNEL, STRIDE = 3, 2
LEAST = 5  # rows and columns of a map
LARGE = 10  # from here on the largest of 2x2 values is taken first


def with_map_heads(graph: Graph, points: Sequence[Point], seed: int = 0) -> Graph:
    """The float graph with a head of random weights at each point, as `with_heads`, with a convolution where it can.

    A head has the most channels that its part of the budgets of MACs and bytes allows.
    """
    rng = np.random.default_rng(seed)
    most_macs, most_bytes = MACS_SHARE * macs(graph), bytes_for_heads(graph) / max(1, len(points))
    found = []
    for i, (p, form) in enumerate(zip(points, forms_of(graph, points, None), strict=True)):
        channels, name = channels_within(graph, p, most_macs, most_bytes), f"exit{i + 1}"
        found.append(map_head(graph, p, channels, name, rng) if channels else head(graph, p, form, name, rng))
    return attached(graph, points, found)


def channels_within(graph: Graph, point: Point, most_macs: float, most_bytes: float) -> int:
    """The most channels that a head here may have; 0 where there is no map, or it would cost too much."""
    shape = graph.tensors[point.tensor].shape
    if is_detector(graph) or len(shape) != 4 or min(shape[1:3]) < LEAST:
        return 0
    costs = ((channels, *map_cost(graph, point, channels)) for channels in CHANNELS)
    return next((c for c, count, size in costs if count <= most_macs and size <= most_bytes), 0)


def map_cost(graph: Graph, point: Point, channels: int) -> tuple[int, int]:
    """(MACs, bytes) of a head, pooled values counted as POOLED MACs."""
    shape, out = graph.tensors[point.tensor].shape, elements(answer_shape(graph))
    shrinks = min(shape[1:3]) >= LARGE
    rows, columns = (-(-(side // 2 if shrinks else side) // STRIDE) for side in shape[1:3])
    kernel, dense = KERNEL**2 * shape[3] * channels, rows * columns * channels * out
    pooled = elements(shape) * POOLED if shrinks else 0
    return rows * columns * kernel + dense + pooled, kernel + dense + CHANNEL_BYTES * (
        channels + out
    ) + STEP_BYTES


def map_head(graph: Graph, point: Point, channels: int, name: str, rng: np.random.Generator) -> Graph:
    """A float graph from the point's map [1, h, w, c] to an answer like the graph's own, with random weights."""
    draft, x = Draft(name, graph.tensors[point.tensor]), 0
    _, h, w, c = draft.tensors[x].shape
    if min(h, w) >= LARGE:
        x = draft.op("max", "max_pool_2d", (x,), Pool(2, 2, 2, 2))
    data = rng.normal(0, (2 / (KERNEL**2 * c)) ** 0.5, (channels, KERNEL, KERNEL, c)).astype(np.float32)
    weights = draft.constant("conv/weights", data)
    bias = draft.constant("conv/bias", np.zeros(channels, np.float32))
    window = Window(STRIDE, STRIDE, padding="same", activation="relu")
    x = draft.op("conv", "conv_2d", (x, weights, bias), window)
    k, out = elements(draft.tensors[x].shape), elements(answer_shape(graph))
    first = draft.done(draft.reshaped("flat", x, (1, k)))
    dense = rng.normal(0, (2 / k) ** 0.5, (out, k)).astype(np.float32), np.zeros(out, np.float32)
    return joined(first, classifying(graph, first.tensors[first.outputs[0]], [dense], name))
