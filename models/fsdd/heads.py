"""The heads of the network for streams: they see when in the window there is sound, the first almost for nothing."""

from __future__ import annotations

import itertools

import numpy as np

from offramp.compress.exits.heads import (
    Draft,
    Form,
    answer_shape,
    attached,
    classifying,
    drawn,
    head,
    joined,
)
from offramp.compress.exits.points import Point, choose
from offramp.ir import Graph
from offramp.ops.op import elements
from offramp.ops.pool_2d import Pool

EXITS = ("conv_2d_0", "conv_2d_2", "add_5")
POOL = (
    2,
    8,
)  # rows and columns of which the first head takes the largest: when there is sound, not at which pitch
HIDDEN = 12  # values between the dense layers of the first two heads
POOLED = Form(("mean", "max"), 16)  # of the third


def with_stream_heads(graph: Graph, seed: int = 0) -> Graph:
    """The float graph with three exits of random weights that never fire."""
    rng, at = np.random.default_rng(seed), choose(graph, EXITS)
    heads = [
        placed(graph, at[0], POOL, "exit1", rng),
        placed(graph, at[1], (1, 1), "exit2", rng),
        head(graph, at[2], POOLED, "exit3", rng),
    ]
    return attached(graph, at, heads)


def placed(graph: Graph, point: Point, pool: tuple[int, int], name: str, rng: np.random.Generator) -> Graph:
    """Two dense layers over all places of a map, of the largest of so many rows and columns."""
    draft, x = Draft(name, graph.tensors[point.tensor]), 0
    if pool != (1, 1):
        x = draft.op("max", "max_pool_2d", (x,), Pool(*pool, *pool))
    k = elements(draft.tensors[x].shape)
    first = draft.done(draft.reshaped("flat", x, (1, k)))
    sizes = itertools.pairwise((k, HIDDEN, elements(answer_shape(graph))))
    layers = [(drawn(rng, (outs, ins)), np.zeros(outs, np.float32)) for ins, outs in sizes]
    return joined(first, classifying(graph, first.tensors[first.outputs[0]], layers, name))
