"""The canonical form computes what the graph did, is its own canonical form, and loses no layer."""

from __future__ import annotations

import numpy as np
import pytest

from offramp import ofg
from offramp.compress.dequantize import dequantize
from offramp.ir import Graph
from offramp.passes.canonical import canonical
from offramp.passes.canonical_layout import channels_last
from offramp.reference import Reference
from tests.random_nets import random_net


def channels_first(graph: Graph) -> Graph:
    """The same graph as a channels-first format would write it: images at its edges are NCHW."""
    ports = [i for i in (*graph.inputs, *graph.outputs) if len(graph.tensors[i].shape) == 4]
    for _ in range(2):  # twice NHWC to HWC's next turn is NCHW
        before = graph
        graph = channels_last(graph, frozenset(ports))
        places = (*graph.inputs, *graph.outputs)
        ports = [places[(*before.inputs, *before.outputs).index(i)] for i in ports]
    return graph


@pytest.mark.parametrize("first", [False, True], ids=["last", "first"])
@pytest.mark.parametrize("seed", range(40))
def test_random_nets(seed: int, first: bool) -> None:
    plain = dequantize(random_net(seed))
    graph = channels_first(plain) if first else plain
    found = canonical(graph, channels_first=first)
    random = np.random.default_rng(seed)
    x = [random.normal(size=plain.tensors[i].shape).astype(np.float32) for i in plain.inputs]
    wanted = Reference(plain).run(x)
    moved = found.metadata.get("channels_last", "").split(",")
    for value, port, expected in zip(Reference(found).run(x), found.outputs, wanted, strict=True):
        name = found.tensors[port].name
        assert not first or value.ndim != 4 or name in moved
        np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-4 * max(1, np.abs(expected).max()))
    bare = Graph(**{**vars(found), "metadata": {}})
    assert ofg.dump(Graph(**{**vars(canonical(bare)), "metadata": {}})) == ofg.dump(bare)
    if first:  # the transposes of the edges are gone: what is left, the graph had itself
        own = canonical(plain)
        assert [op.kind for op in found.ops] == [op.kind for op in own.ops]
