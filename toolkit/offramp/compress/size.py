"""Bytes of an integer graph's weights, as a blob that stores int4 weights two a byte holds them."""

from __future__ import annotations

from offramp.compress.options import BINARY, LAYERS, STORED_AT_4
from offramp.compress.weights import GROUP, fits, rows_of
from offramp.ir import Graph, Op
from offramp.ops.op import constant


def weight_bytes(graph: Graph) -> int:
    """Weights and biases of all layers. What a kernel pads or stores beside them is the plan's to say."""
    return sum(layer_bytes(graph, op) for op in graph.ops if op.kind in LAYERS)


def layer_bytes(graph: Graph, op: Op) -> int:
    """int4 weights take half a byte, with factors a byte for each run of 32 taps; signs a bit; others a byte."""
    weights = graph.tensors[op.inputs[1]]
    q = rows_of(constant(weights), 0)
    bias = graph.tensors[op.inputs[2]].bytes if len(op.inputs) > 2 and op.inputs[2] >= 0 else 0
    if op.kind == BINARY:
        return -(-q.size // 8) + bias
    if op.kind not in STORED_AT_4 or not fits(q, 4, True):
        return weights.bytes + bias
    factors = 0 if fits(q, 4, False) else len(q) * -(-q.shape[1] // GROUP)
    return -(-q.size // 2) + factors + bias
