"""Ops that another can take over, and ops that do nothing; each rewrite keeps every bit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from offramp.ir import Graph, Op
from offramp.ops.fixed_point import activation_range
from offramp.ops.gemm import Window
from offramp.ops.pad import Pad
from offramp.ops.reshape import Reshape
from offramp.ops.table import Table
from offramp.ops.transpose import Transpose
from offramp.passes.bounds import EIGHT_BITS, TABLES, bounds, table_of
from offramp.passes.rewrite import with_op, with_tensors, without

CLAMPING = (
    *("conv_2d", "depthwise_conv_2d", "fully_connected", "average_pool_2d", "max_pool_2d"),
    *("add", "sub", "mul"),
)
ACTIVATIONS = ("none", "relu", "relu6", "relu_n1_to_1")

# One rewrite around op `at`: the new graph, or None where the op is not of that kind.
Rewrite = Callable[[Graph, int], Graph | None]


def everywhere(graph: Graph, rewrite: Rewrite) -> tuple[Graph, int]:
    """Applies a rewrite until none is left to do; how many were done."""
    n, at = 0, 0
    while at < len(graph.ops):
        changed = rewrite(graph, at)
        if changed is None:
            at += 1
        else:
            graph, n, at = changed, n + 1, max(at - 1, 0)
    return graph, n


def only_reader_of(graph: Graph, at: int) -> Op | None:
    """The op that makes input 0 of op `at`, if nothing else reads that tensor."""
    tensor = graph.ops[at].inputs[0]
    maker = graph.producers().get(tensor)
    if maker is None or tensor in graph.outputs or graph.consumers()[tensor] != [at]:
        return None
    return graph.ops[maker]


def absorbed(graph: Graph, at: int, op: Op) -> Graph:
    """Op `at` and the maker of its input 0 replaced by `op`."""
    maker = graph.producers()[graph.ops[at].inputs[0]]
    graph = with_op(graph, at, op)
    return graph.with_ops((*graph.ops[:maker], *graph.ops[maker + 1 :]))


# ---- ops that do nothing ----


def drop_identity(graph: Graph, at: int) -> Graph | None:
    """A reshape, transpose, pad or table that changes nothing."""
    op = graph.ops[at]
    if op.kind not in ("reshape", "transpose", "pad", *TABLES):
        return None
    x, out = graph.tensors[op.inputs[0]], graph.tensors[op.outputs[0]]
    if (x.shape, x.dtype, x.quantization) != (out.shape, out.dtype, out.quantization):
        return None
    a = op.attributes
    if op.kind == "transpose" and a.order != tuple(range(len(a.order))):
        return None
    if op.kind in TABLES and (x.dtype not in EIGHT_BITS or not keeps_values(graph, op)):
        return None
    return without(graph, at)


def keeps_values(graph: Graph, op: Op) -> bool:
    """Whether a table maps every value that can reach it to itself."""
    x, out = graph.tensors[op.inputs[0]], graph.tensors[op.outputs[0]]
    low, high = bounds(graph)[op.inputs[0]]
    base = 0 if x.dtype == "u8" else -128
    reached = slice(int(low.min()) - base, int(high.max()) - base + 1)
    same = table_of(op, x, out) == np.arange(base, base + 256)
    return bool(same[reached].all())


# ---- moves ----


def reshape_for_transpose(graph: Graph, at: int) -> Graph | None:
    """A transpose that only moves axes of length 1 costs nothing as a reshape."""
    op = graph.ops[at]
    if op.kind != "transpose":
        return None
    x, out = graph.tensors[op.inputs[0]], graph.tensors[op.outputs[0]]
    moved = [axis for axis in op.attributes.order if x.shape[axis] > 1]
    if moved != sorted(moved):
        return None
    return with_op(graph, at, replace(op, kind="reshape", attributes=Reshape(out.shape)))


def merge_moves(graph: Graph, at: int) -> Graph | None:
    """Two reshapes, or two transposes, one after the other."""
    op = graph.ops[at]
    if op.kind not in ("reshape", "transpose"):
        return None
    maker = graph.producers().get(op.inputs[0])
    before = None if maker is None else graph.ops[maker]
    if before is None or before.kind != op.kind:
        return None
    a = op.attributes
    if op.kind == "transpose":
        a = Transpose(tuple(before.attributes.order[axis] for axis in a.order))
    return with_op(graph, at, replace(op, inputs=before.inputs, attributes=a))


# ---- fusions ----


def fuse_pad(graph: Graph, at: int) -> Graph | None:
    """A pad with the zero point, into the window of the convolution that reads it."""
    op = graph.ops[at]
    if op.kind not in ("conv_2d", "depthwise_conv_2d") or op.attributes.padding == "same":
        return None
    pad = only_reader_of(graph, at)
    if pad is None or pad.kind != "pad":
        return None
    window, amounts = op.attributes, pad.attributes
    x, weights = graph.tensors[op.inputs[0]], graph.tensors[op.inputs[1]]
    same = graph.tensors[pad.inputs[0]].quantization == x.quantization
    if not same or not pads_only_image(amounts) or amounts.value != x.quant.zero_point:
        return None
    old = window.pads or (0, 0, 0, 0)
    sides = (*amounts.before[1:3], *amounts.after[1:3])
    pads = tuple(a + b for a, b in zip(old, sides, strict=True))
    if not within_reach(window, pads, weights.shape[1:3]):
        return None
    window = replace(window, padding="explicit", pads=pads)
    return absorbed(graph, at, replace(op, inputs=(pad.inputs[0], *op.inputs[1:]), attributes=window))


def pads_only_image(a: Pad) -> bool:
    return len(a.before) == 4 and {a.before[0], a.before[3], a.after[0], a.after[3]} == {0}


def within_reach(a: Window, pads: tuple[int, ...], kernel: tuple[int, ...]) -> bool:
    """Every window touches the image: the kernels rely on it."""
    reach = ((kernel[0] - 1) * a.dilation_h + 1, (kernel[1] - 1) * a.dilation_w + 1)
    return all(n < reach[i % 2] for i, n in enumerate(pads))


def fuse_clamp(graph: Graph, at: int) -> Graph | None:
    """A table that only clamps, into the activation of the op before it."""
    op = graph.ops[at]
    before = only_reader_of(graph, at) if op.kind in TABLES else None
    if before is None or before.kind not in CLAMPING:
        return None
    x, out = graph.tensors[op.inputs[0]], graph.tensors[op.outputs[0]]
    if x.dtype != "s8" or out.dtype != "s8" or x.quantization != out.quantization:
        return None
    values = np.arange(-128, 128)
    scale, zero = out.quant.scale, out.quant.zero_point
    clamped = np.clip(values, *activation_range(before.attributes.activation, scale, zero))
    wanted = table_of(op, x, out)[clamped + 128]
    for activation in ACTIVATIONS:
        if np.array_equal(np.clip(values, *activation_range(activation, scale, zero)), wanted):
            merged = replace(before.attributes, activation=activation)
            return absorbed(graph, at, replace(before, outputs=op.outputs, attributes=merged))
    return None


def merge_tables(graph: Graph, at: int) -> Graph | None:
    """Two functions of one 8-bit value, one after the other, as one table."""
    op = graph.ops[at]
    before = only_reader_of(graph, at) if op.kind in TABLES else None
    if before is None or before.kind not in TABLES:
        return None
    x, between, out = (graph.tensors[i] for i in (before.inputs[0], op.inputs[0], op.outputs[0]))
    if any(t.dtype not in EIGHT_BITS for t in (x, between, out)):
        return None
    first, second = table_of(before, x, between), table_of(op, between, out)
    composed = second[first.astype(np.int64) - (0 if between.dtype == "u8" else -128)]
    by_bits = composed if x.dtype == "u8" else np.roll(composed, 128)
    table = Table(tuple(int(v) for v in by_bits))
    return absorbed(graph, at, Op("table", op.name, before.inputs, op.outputs, table))


# ---- constants ----


def fold_constants(graph: Graph) -> tuple[Graph, int]:
    """Ops whose results are proven are replaced by them; a graph's output is left to its op."""
    known = bounds(graph)
    kept, values = [], {}
    for op in graph.ops:
        proven = all(t in known and np.array_equal(*known[t]) for t in op.outputs)
        stays = op.kind in ("read_variable", "assign_variable") or set(op.outputs) & set(graph.outputs)
        if stays or not proven:
            kept.append(op)
        else:
            values.update({t: np.ascontiguousarray(known[t][0]) for t in op.outputs})
    tensors = {i: replace(graph.tensors[i], data=value) for i, value in values.items()}
    return with_tensors(graph, tensors).with_ops(tuple(kept)), len(graph.ops) - len(kept)
