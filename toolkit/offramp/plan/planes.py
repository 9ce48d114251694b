"""Weights that are to be stored as planes of nibbles become constant tensors, which plans of one blob share."""

from __future__ import annotations

from dataclasses import replace

from offramp.errors import UserError
from offramp.ir import IN_PLANES, Graph, Op, Tensor
from offramp.ops import ShapeError
from offramp.ops.conv_2d_tile import BEHIND_BIAS, GEMMS, plane_bytes


def with_planes(graph: Graph) -> Graph:
    """The graph with the planes of such weights behind its tensors, and as further inputs of the ops that read them.

    UserError where a weight is too large, or an op of another kind reads the weights.
    """
    tensors, ops = list(graph.tensors), []
    for op in graph.ops:
        w = graph.tensors[op.inputs[1]] if len(op.inputs) > 1 and op.inputs[1] >= 0 else None
        if w is None or w.storage != IN_PLANES:
            ops.append(op)
            continue
        stored = planes_of(graph, op, w)
        inputs = (*op.inputs, -1)[:BEHIND_BIAS]
        ops.append(replace(op, inputs=(*inputs, *range(len(tensors), len(tensors) + len(stored)))))
        tensors += stored
    return replace(graph, tensors=tuple(tensors), ops=tuple(ops))


def planes_of(graph: Graph, op: Op, weights: Tensor) -> list[Tensor]:
    if op.kind not in GEMMS or weights.data is None:
        raise UserError(
            f"{graph.name}: weights {weights.name} of {op.kind} ({op.name}) cannot be stored as planes",
            f"planes serve {', '.join(GEMMS)}",
        )
    groups = graph.tensors[op.inputs[0]].shape[-1] // weights.shape[-1] if op.kind == "conv_2d" else 1
    try:
        stored = plane_bytes(weights.data.reshape(len(weights.data), -1), groups)
    except ShapeError as error:
        raise UserError(
            f"{graph.name}: weights {weights.name}: {error}", "quantize them to a range that planes hold"
        ) from error
    names = (f"{weights.name}/high", f"{weights.name}/low")
    return [Tensor(name, data.shape, "u8", None, data) for name, data in zip(names, stored, strict=False)]
