"""Transposes move down a graph until they meet their inverse, a reshape or weights that take them in."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from offramp.ir import Graph, Op
from offramp.ops.mean import Mean
from offramp.ops.transpose import Transpose
from offramp.passes.edit import Edit

UNARY = ("relu", "relu6", "leaky_relu", "hard_swish", "logistic", "tanh", "quantize")
BINARY = ("add", "sub", "mul")
Order = tuple[int, ...]


def transposed(graph: Graph, tensor: int) -> tuple[int, Order] | None:
    """(x, order) where `tensor` is a transposed x."""
    maker = graph.producers().get(tensor)
    if maker is None or graph.ops[maker].kind != "transpose":
        return None
    return graph.ops[maker].inputs[0], graph.ops[maker].attributes.order


def inverse(order: Order) -> Order:
    return tuple(order.index(i) for i in range(len(order)))


def moves_only_ones(shape: Order, order: Order) -> bool:
    """Whether a transpose of `shape` keeps the bytes in place."""
    moved = [axis for axis in order if shape[axis] > 1]
    return moved == sorted(moved)


def sink_unary(graph: Graph, at: int) -> Graph | None:
    op = graph.ops[at]
    source = transposed(graph, op.inputs[0]) if op.kind in (*UNARY, "softmax", "fully_connected") else None
    if source is None:
        return None
    x, order = source
    if op.kind not in UNARY and order[-1] != len(order) - 1:
        return None
    if op.kind == "fully_connected" and not op.attributes.keep_num_dims:
        return None
    e = Edit(graph, at)
    e.transposed(e.emit(op.kind, op.attributes, (x, *op.inputs[1:]), op.outputs[0]), order, op.outputs[0])
    return e.done()


def sink_binary(graph: Graph, at: int) -> Graph | None:
    """A sum or product of two tensors in one order, of one and a constant, or of one that a reshape brings there."""
    op = graph.ops[at]
    if op.kind not in BINARY:
        return None
    sources = [transposed(graph, i) for i in op.inputs]
    orders = {s[1] for s in sources if s is not None}
    if len(orders) != 1:
        return None
    order = orders.pop()
    e = Edit(graph, at)
    operands = [s[0] if s else untransposed(e, i, order) for s, i in zip(sources, op.inputs, strict=True)]
    if None in operands:
        return None
    inner = e.emit(op.kind, op.attributes, [i for i in operands if i is not None], op.outputs[0])
    if len(e.shape(inner)) != len(order):
        return None
    e.transposed(inner, order, op.outputs[0])
    return e.done()


def untransposed(e: Edit, i: int, order: Order) -> int | None:
    """Operand i of a broadcast as it stands before a transpose by `order`; None where that costs a copy."""
    shape, data = e.shape(i), e.tensors[i].data
    if len(shape) > len(order):
        return None
    full = (1,) * (len(order) - len(shape)) + shape
    if data is not None:
        back = data.reshape(full).transpose(inverse(order))
        return e.constant(np.ascontiguousarray(back.reshape(without_leading_ones(back.shape))), i)
    if not moves_only_ones(full, inverse(order)):
        return None
    return e.reshaped(i, [full[axis] for axis in inverse(order)])


def without_leading_ones(shape: Order) -> Order:
    while len(shape) > 1 and shape[0] == 1:
        shape = shape[1:]
    return shape


def sink_concatenation(graph: Graph, at: int) -> Graph | None:
    op = graph.ops[at]
    if op.kind != "concatenation":
        return None
    sources = [transposed(graph, i) for i in op.inputs]
    orders = {s[1] for s in sources if s is not None}
    if len(orders) != 1:
        return None
    order = orders.pop()
    e = Edit(graph, at)
    parts = [s[0] if s else untransposed(e, i, order) for s, i in zip(sources, op.inputs, strict=True)]
    full = [i for i in parts if i is not None and len(e.shape(i)) == len(order)]
    if len(full) != len(parts):
        return None
    a = replace(op.attributes, axis=order[op.attributes.axis])
    e.transposed(e.emit(op.kind, a, full, op.outputs[0]), order, op.outputs[0])
    return e.done()


def sink_move(graph: Graph, at: int) -> Graph | None:
    """Split, pad and slice name axes; before the transpose they have other numbers."""
    op = graph.ops[at]
    source = transposed(graph, op.inputs[0]) if op.kind in ("split", "pad", "strided_slice") else None
    if source is None:
        return None
    x, order = source
    a, back = op.attributes, inverse(order)

    def moved(values: Order) -> Order:
        return tuple(values[i] for i in back)

    if op.kind == "split":
        a = replace(a, axis=order[a.axis])
    elif op.kind == "pad":
        a = replace(a, before=moved(a.before), after=moved(a.after))
    elif a.shape != a.length:
        return None
    else:
        a = replace(
            a, begin=moved(a.begin), length=moved(a.length), stride=moved(a.stride), shape=moved(a.shape)
        )
    e = Edit(graph, at)
    first = len(e.tensors)
    e.emit(op.kind, a, [x], op.outputs[0])
    for i, out in enumerate(op.outputs):
        e.tensors[first + i] = replace(e.tensors[first + i], quantization=graph.tensors[out].quantization)
        e.transposed(first + i, order, out)
    return e.done()


def sink_mean(graph: Graph, at: int) -> Graph | None:
    op = graph.ops[at]
    source = transposed(graph, op.inputs[0]) if op.kind == "mean" else None
    if source is None:
        return None
    x, order = source
    a = op.attributes
    e = Edit(graph, at)
    axes = tuple(sorted(order[axis] for axis in a.axes))
    inner = e.emit("mean", Mean(axes, a.keep_dims), [x], op.outputs[0])
    rest = order if a.keep_dims else tuple(order[i] for i in range(len(order)) if i not in a.axes)
    e.transposed(inner, tuple(sorted(rest).index(axis) for axis in rest), op.outputs[0])
    return e.done()


def sink_reshape(graph: Graph, at: int) -> Graph | None:
    """Below a reshape that adds or drops axes of length 1, and merges or splits axes that stay together."""
    op = graph.ops[at]
    source = transposed(graph, op.inputs[0]) if op.kind == "reshape" else None
    if source is None:
        return None
    x, order = source
    shape, out = graph.tensors[x].shape, graph.tensors[op.outputs[0]].shape
    parts = segments([shape[axis] for axis in order], out)
    long = [axis for axis, n in enumerate(shape) if n > 1]
    if parts is None or not all(is_run([long.index(order[i]) for i in before]) for before, _ in parts):
        return None
    by_source = sorted(parts, key=lambda part: order[part[0][0]])
    after = with_ones([i for _, behind in by_source for i in behind], out)
    e = Edit(graph, at)
    e.transposed(e.reshaped(x, [out[i] for i in after]), inverse(after), op.outputs[0])
    return e.done()


def hoist_above_reshape(graph: Graph, at: int) -> Graph | None:
    """Of a transpose, a reshape and a transpose the second joins the first."""
    op = graph.ops[at]
    maker = graph.producers().get(op.inputs[0]) if op.kind == "transpose" else None
    reshape = None if maker is None else graph.ops[maker]
    if reshape is None or reshape.kind != "reshape" or transposed(graph, reshape.inputs[0]) is None:
        return None
    y, middle = graph.tensors[reshape.inputs[0]].shape, graph.tensors[op.inputs[0]].shape
    parts = segments(list(y), middle)
    places = [axis for axis in op.attributes.order if middle[axis] > 1]
    if parts is None or not all(is_run([places.index(i) for i in behind]) for _, behind in parts):
        return None
    by_place = sorted(parts, key=lambda part: places.index(part[1][0]))
    order = with_ones([i for before, _ in by_place for i in before], y)
    e = Edit(graph, at)
    e.reshaped(e.transposed(reshape.inputs[0], order), graph.tensors[op.outputs[0]].shape, op.outputs[0])
    return e.done()


def segments(before: list[int], after: Order) -> list[tuple[list[int], list[int]]] | None:
    """Axes longer than 1 that a reshape keeps, merges (several to one) or splits (one to several), in order."""
    left = [i for i, n in enumerate(before) if n > 1]
    right = [i for i, n in enumerate(after) if n > 1]
    found = []
    while left and right:
        a, b = [left.pop(0)], [right.pop(0)]
        while (n := math.prod(before[i] for i in a)) != (m := math.prod(after[i] for i in b)):
            side, rest = (a, left) if n < m else (b, right)
            if not rest:
                return None
            side.append(rest.pop(0))
        if len(a) > 1 and len(b) > 1:
            return None
        found.append((a, b))
    return found


def is_run(places: list[int]) -> bool:
    return places == list(range(places[0], places[0] + len(places)))


def with_ones(long: list[int], shape: Order) -> Order:
    """Axes longer than 1 in their new order, and those of length 1, which stay in place if that can be."""
    rank = len(shape)
    for order in (tuple(range(rank)), (0, *range(2, rank), 1), (0, rank - 1, *range(1, rank - 1))):
        if len(order) == rank and [i for i in order if shape[i] > 1] == long:
            return order
    return (*(i for i in range(rank) if shape[i] == 1), *long)


def absorb_in_weights(graph: Graph, at: int) -> Graph | None:
    """A flattened transposed image before a dense layer: its weights are put in the image's own order."""
    op = graph.ops[at]
    if op.kind != "fully_connected":
        return None
    maker = graph.producers().get(op.inputs[0])
    flatten = None if maker is None else graph.ops[maker]
    source = (
        transposed(graph, flatten.inputs[0]) if flatten is not None and flatten.kind == "reshape" else None
    )
    weights = graph.tensors[op.inputs[1]]
    if source is None or weights.data is None:
        return None
    x, order = source
    shape = graph.tensors[x].shape
    k = weights.shape[1]
    if order[0] != 0 or math.prod(shape[1:]) != k or graph.tensors[op.inputs[0]].shape[-1] != k:
        return None
    e = Edit(graph, at)
    by_axis = weights.data.reshape(-1, *[shape[axis] for axis in order[1:]])
    laid = np.ascontiguousarray(by_axis.transpose(inverse(order))).reshape(weights.shape)
    flat = e.reshaped(x, graph.tensors[op.inputs[0]].shape)
    operands = [flat, e.constant(laid, op.inputs[1]), *op.inputs[2:]]
    e.emit(op.kind, op.attributes, operands, outputs=op.outputs)
    return e.done()


RULES = (
    *(sink_unary, sink_binary, sink_concatenation, sink_move, sink_mean, sink_reshape),
    *(hoist_above_reshape, absorb_in_weights),
)


def channels_last(graph: Graph, ports: frozenset[int]) -> Graph:
    """The graph with these inputs and outputs, channels-first so far, in the order N...C."""
    for port in sorted(ports):
        was = graph.tensors[port]
        rank = len(was.shape)
        first, last = (0, rank - 1, *range(1, rank - 1)), (0, *range(2, rank), 1)
        tensors = (*graph.tensors, replace(was, shape=tuple(was.shape[i] for i in last)))
        new = len(tensors) - 1
        graph = replace(graph, tensors=tensors)
        if port in graph.inputs:
            graph = moved_port(graph, port, new, first)
        else:
            graph = moved_result(graph, port, new, last)
    return graph


def moved_port(graph: Graph, old: int, new: int, order: Order) -> Graph:
    move = Op("transpose", "port", (new,), (old,), Transpose(order))
    inputs = tuple(new if i == old else i for i in graph.inputs)
    return replace(graph, ops=(move, *graph.ops), inputs=inputs)


def moved_result(graph: Graph, old: int, new: int, order: Order) -> Graph:
    move = Op("transpose", "port", (old,), (new,), Transpose(order))
    outputs = tuple(new if i == old else i for i in graph.outputs)
    return replace(graph, ops=(*graph.ops, move), outputs=outputs)
