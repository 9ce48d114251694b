"""Edits of a graph that the passes share: other tensors, other readers, what nothing reads dropped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from offramp.ir import Graph, Op, Tensor
from offramp.ops import OPS


def macs(graph: Graph) -> int:
    """Of one inference."""
    total = 0
    for op in graph.ops:
        inputs = [graph.tensors[i] if i >= 0 else None for i in op.inputs]
        total += OPS[op.kind].macs(op.attributes, inputs, [graph.tensors[i] for i in op.outputs])
    return total


def with_tensors(graph: Graph, changed: Mapping[int, Tensor]) -> Graph:
    return replace(graph, tensors=tuple(changed.get(i, t) for i, t in enumerate(graph.tensors)))


def with_op(graph: Graph, at: int, op: Op) -> Graph:
    return graph.with_ops((*graph.ops[:at], op, *graph.ops[at + 1 :]))


def without(graph: Graph, at: int) -> Graph | None:
    """The graph less op `at`, whose output equals its first input in value, shape, type and quantization.

    None where a copy has to stay: both are ports or constants, or the input is state that may change.
    """
    op = graph.ops[at]
    source, result = op.inputs[0], op.outputs[0]
    maker = graph.producers().get(source)
    if maker is not None and graph.ops[maker].kind == "read_variable":
        return None
    if result not in graph.outputs:
        kept, gone = source, result
    elif maker is not None and source not in graph.outputs:
        kept, gone = result, source
    else:
        return None
    return graph.with_ops(tuple(renamed(o, gone, kept) for i, o in enumerate(graph.ops) if i != at))


def renamed(op: Op, old: int, new: int) -> Op:
    """The op with tensor `new` in place of `old`."""
    return replace(
        op,
        inputs=tuple(new if t == old else t for t in op.inputs),
        outputs=tuple(new if t == old else t for t in op.outputs),
    )


def without_unused(graph: Graph) -> Graph:
    """Drops ops whose results nothing reads, and tensors that no op, port or variable names."""
    needed = set(graph.outputs)
    ops: list[Op] = []
    for op in reversed(graph.ops):
        if op.kind == "assign_variable" or needed.intersection(op.outputs):
            needed.update(op.inputs)
            ops.insert(0, op)
    used = {t for op in ops for t in (*op.inputs, *op.outputs)}
    used.update(graph.inputs, graph.outputs, (v.initial for v in graph.variables))
    index = {old: new for new, old in enumerate(sorted(used - {-1}))} | {-1: -1}

    def moved(tensors: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(index[t] for t in tensors)

    return replace(
        graph,
        tensors=tuple(t for i, t in enumerate(graph.tensors) if i in index),
        ops=tuple(replace(op, inputs=moved(op.inputs), outputs=moved(op.outputs)) for op in ops),
        inputs=moved(graph.inputs),
        outputs=moved(graph.outputs),
        variables=tuple(replace(v, initial=index[v.initial]) for v in graph.variables),
    )
