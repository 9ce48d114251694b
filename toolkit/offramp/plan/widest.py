"""Weights of a family that are parts of its widest layers' become one constant tensor, which all plans share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from offramp.errors import UserError
from offramp.ir import OF_WIDEST, Graph, Op, Tensor
from offramp.kernels import slice_way, wide_tensors
from offramp.ops.conv_2d_tile import BEHIND_BIAS, GEMMS
from offramp.ops.slices import is_part


def with_widest(graph: Graph, sets: tuple[str, ...]) -> Graph:
    """The family with the wide weights behind its graphs' tensors, and as inputs of the ops that read parts of them.

    `sets`: kernel sets to ask, in order; the first that serves a layer at every width stores it. Layers that none
    serves, depthwise ones for one, keep weights of their own. UserError where weights are no part of the widest's.
    """
    family = [graph, *graph.members]
    for weights in shared(graph):
        found = [reader(g, weights.name) for g in family]
        readers = [(i, op) for i, op in enumerate(found) if op is not None]
        wide = stored(family, readers, sets)
        if wide is not None:
            for i, op in readers:
                family[i] = with_input(family[i], op, wide)
    return replace(family[0], members=tuple(family[1:]))


def shared(graph: Graph) -> Iterator[Tensor]:
    for op in graph.ops:
        w = graph.tensors[op.inputs[1]] if op.kind in GEMMS else None
        if w is not None and w.storage == OF_WIDEST:
            yield w


def reader(graph: Graph, weights: str) -> Op | None:
    """The op with weights of this name, marked as the widest's."""
    for op in graph.ops:
        if op.kind in GEMMS and graph.tensors[op.inputs[1]].name == weights:
            return op if graph.tensors[op.inputs[1]].storage == OF_WIDEST else None
    return None


def stored(family: list[Graph], readers: list[tuple[int, Op]], sets: tuple[str, ...]) -> Tensor | None:
    """The tensor that serves all these layers, the first of them the widest."""
    layers = [(family[i], op) for i, op in readers]
    (widest, first), parts = layers[0], [g.tensors[op.inputs[1]] for g, op in layers]
    for g, part in zip((g for g, _ in layers), parts, strict=True):
        check_part(g, part, widest, parts[0])
    depths = {part.shape[-1] for part in parts}
    for wide in wide_tensors(first, *operands(widest, first), depths, sets):
        if all(served(with_input(g, op, wide), op) for g, op in layers):
            return wide
    return None


def check_part(graph: Graph, part: Tensor, widest: Graph, whole: Tensor) -> None:
    assert part.data is not None and whole.data is not None
    if not is_part(part.data, whole.data):
        raise UserError(
            f"{graph.name}: weights {part.name} {list(part.shape)} are not the first ones of those of {widest.name} "
            f"{list(whole.shape)}",
            "train the widths together and quantize them alike: a recipe's step `slim`",
        )


def operands(graph: Graph, op: Op) -> tuple[list[Tensor | None], list[Tensor]]:
    return [graph.tensors[i] if i >= 0 else None for i in op.inputs], [graph.tensors[i] for i in op.outputs]


def with_input(graph: Graph, op: Op, wide: Tensor) -> Graph:
    inputs = (*(*op.inputs, -1)[:BEHIND_BIAS], len(graph.tensors))
    ops = tuple(replace(o, inputs=inputs) if o is op else o for o in graph.ops)
    return replace(graph, tensors=(*graph.tensors, wide), ops=ops)


def served(graph: Graph, op: Op) -> bool:
    [changed] = [o for o in graph.ops if o.outputs == op.outputs]
    return slice_way(changed, *operands(graph, changed)) is not None
