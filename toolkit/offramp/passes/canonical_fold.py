"""Constants, products and sums folded into weights; activations and padding into the op that can hold them.

A tensor with a quantization holds what a file's quantizer put there, so nothing is folded across it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from offramp.ir import Graph, Op, Tensor
from offramp.ops.op import Array, NoAttributes
from offramp.passes.canonical_layout import BINARY, UNARY
from offramp.passes.edit import Edit
from offramp.passes.fusion import CLAMPING, absorbed, only_reader_of, pads_only_image, within_reach
from offramp.passes.rewrite import with_op, with_tensors
from offramp.reference import computed

WEIGHTED = ("conv_2d", "depthwise_conv_2d", "fully_connected")
MOVES = ("reshape", "transpose")
# Activation of an op, then one behind it -> both as one.
TOGETHER = {("none", a): a for a in ("relu", "relu6", "relu_n1_to_1")} | {
    ("relu", "relu"): "relu",
    ("relu", "relu6"): "relu6",
    ("relu6", "relu"): "relu6",
    ("relu6", "relu6"): "relu6",
}


def fold_constant(graph: Graph, at: int) -> Graph | None:
    """An op of constants alone becomes its result."""
    op = graph.ops[at]
    operands = [graph.tensors[i] for i in op.inputs]
    if not op.inputs or -1 in op.inputs or any(t.data is None for t in operands):
        return None
    if set(op.outputs) & set(graph.outputs) or op.kind == "assign_variable":
        return None
    if op.kind not in MOVES and any(t.quantization or t.dtype != "f32" for t in operands):
        return None
    values = {i: graph.tensors[i].data for i in op.inputs}
    results = computed(graph, op, {i: v for i, v in values.items() if v is not None})
    changed = {
        i: replace(graph.tensors[i], data=v, quantization=operands[0].quantization)
        for i, v in zip(op.outputs, results, strict=True)
    }
    return with_tensors(graph.with_ops((*graph.ops[:at], *graph.ops[at + 1 :])), changed)


def constant_second(graph: Graph, at: int) -> Graph | None:
    """x + c for c + x, and x + -c for x - c, so that there is one form."""
    op = graph.ops[at]
    if op.kind not in BINARY:
        return None
    a, b = (graph.tensors[i] for i in op.inputs)
    if op.kind != "sub" and a.data is not None and b.data is None:
        return with_op(graph, at, replace(op, inputs=op.inputs[::-1]))
    if op.kind == "sub" and b.data is not None and b.quantization is None:
        e = Edit(graph, at)
        e.emit("add", op.attributes, (op.inputs[0], e.real(-b.data, b.name)), outputs=op.outputs)
        return e.done()
    return None


def by_channel(constant: Tensor, shape: tuple[int, ...]) -> Array | None:
    """A constant operand that is one number, or one for each index of the last axis: those numbers."""
    if constant.data is None or constant.quantization is not None or len(constant.shape) > len(shape):
        return None
    if constant.data.size == 1 or constant.shape[-1] == constant.data.size == shape[-1]:
        return constant.data.astype(np.float64).reshape(-1)
    return None


def fold_affine(graph: Graph, at: int) -> Graph | None:
    """A product with or sum of constants by channel goes into the weights and bias before it."""
    op = graph.ops[at]
    maker = only_reader_of(graph, at) if op.kind in ("add", "mul") else None
    if maker is None or maker.kind not in WEIGHTED or maker.attributes.activation != "none":
        return None
    middle, weights = graph.tensors[op.inputs[0]], graph.tensors[maker.inputs[1]]
    values = by_channel(graph.tensors[op.inputs[1]], middle.shape)
    if values is None or middle.quantization or weights.data is None or weights.quantization:
        return None
    bias = bias_of(graph, maker, middle.shape[-1])
    if bias is None:
        return None
    e = Edit(graph, at)
    w = weights.data.astype(np.float64)
    if op.kind == "mul":
        along_last = maker.kind == "depthwise_conv_2d"
        w = w * values if along_last else w * values.reshape(-1, *[1] * (w.ndim - 1))
        bias = bias * values
    else:
        bias = bias + values
    operands = (maker.inputs[0], e.real(w, weights.name), e.real(bias, weights.name))
    merged = replace(maker.attributes, activation=op.attributes.activation)
    e.emit(maker.kind, merged, operands, outputs=op.outputs)
    before = graph.producers()[op.inputs[0]]
    changed = e.done()
    return changed.with_ops((*changed.ops[:before], *changed.ops[before + 1 :]))


def bias_of(graph: Graph, op: Op, channels: int) -> Array | None:
    """An op's bias, float64, zeros where it has none; None where it is computed."""
    if len(op.inputs) < 3 or op.inputs[2] < 0:
        return np.zeros(channels)
    data = graph.tensors[op.inputs[2]].data
    if data is None or graph.tensors[op.inputs[2]].quantization is not None:
        return None
    return data.astype(np.float64).reshape(-1)


def hoist_above_reshape(graph: Graph, at: int) -> Graph | None:
    """What works on each value, or on each index of a last axis that a reshape keeps, stands before the reshape."""
    op = graph.ops[at]
    maker = graph.producers().get(op.inputs[0]) if op.kind in (*UNARY, *BINARY, "softmax") else None
    if maker is None or graph.ops[maker].kind != "reshape":
        return None
    source = graph.ops[maker].inputs[0]
    x, flat = graph.tensors[source], graph.tensors[op.inputs[0]]
    if not flat.shape or not x.shape:
        return None
    keeps_last = x.shape[-1] == flat.shape[-1]
    operands = [source]
    if op.kind == "softmax" and not keeps_last:
        return None
    if op.kind in BINARY:
        other = graph.tensors[op.inputs[1]]
        reshaped = same_reshape(graph, op.inputs[1], x.shape)
        values = by_channel(other, flat.shape)
        if reshaped is not None:
            operands.append(reshaped)
        elif values is not None and (keeps_last or values.size == 1):
            operands.append(op.inputs[1])
        else:
            return None
    e = Edit(graph, at)
    data = e.tensors[operands[-1]].data
    if data is not None:
        operands[-1] = e.constant(data.reshape(-1), operands[-1])
    inner = e.emit(op.kind, op.attributes, operands, op.outputs[0])
    e.reshaped(inner, graph.tensors[op.outputs[0]].shape, op.outputs[0])
    return e.done()


def same_reshape(graph: Graph, tensor: int, shape: tuple[int, ...]) -> int | None:
    """The tensor of this shape of which `tensor` is a reshape."""
    maker = graph.producers().get(tensor)
    if maker is None or graph.ops[maker].kind != "reshape":
        return None
    source = graph.ops[maker].inputs[0]
    return source if graph.tensors[source].shape == shape else None


def fuse_activation(graph: Graph, at: int) -> Graph | None:
    """A ReLU into the op before it."""
    op = graph.ops[at]
    before = only_reader_of(graph, at) if op.kind in ("relu", "relu6") else None
    if before is None or before.kind not in CLAMPING or graph.tensors[op.inputs[0]].quantization:
        return None
    both = TOGETHER.get((before.attributes.activation, op.kind))
    if both is None:
        return None
    merged = replace(before.attributes, activation=both)
    return absorbed(graph, at, replace(before, outputs=op.outputs, attributes=merged))


def fuse_zero_padding(graph: Graph, at: int) -> Graph | None:
    """A pad with zeros into the window of the convolution that reads it."""
    op = graph.ops[at]
    if op.kind not in ("conv_2d", "depthwise_conv_2d") or op.attributes.padding == "same":
        return None
    pad = only_reader_of(graph, at)
    if pad is None or pad.kind != "pad" or pad.attributes.value != 0 or not pads_only_image(pad.attributes):
        return None
    amounts = pad.attributes
    old = op.attributes.pads or (0, 0, 0, 0)
    pads = tuple(a + b for a, b in zip(old, (*amounts.before[1:3], *amounts.after[1:3]), strict=True))
    if not within_reach(op.attributes, pads, graph.tensors[op.inputs[1]].shape[1:3]):
        return None
    window = replace(op.attributes, padding="explicit", pads=pads)
    return absorbed(graph, at, replace(op, inputs=(pad.inputs[0], *op.inputs[1:]), attributes=window))


def fuse_hard_swish(graph: Graph, at: int) -> Graph | None:
    """x * (relu6(x + 3) / 6), or (x * relu6(x + 3)) / 6."""
    op = graph.ops[at]
    if op.kind != "mul" or op.attributes.activation != "none":
        return None
    a, b = op.inputs
    for x, gate in ((a, b), (b, a)):
        sixfold = with_constant(graph, gate, "mul", 1 / 6)
        if sixfold is not None and with_constant(graph, sixfold, "add", 3, "relu6") == x:
            return with_op(graph, at, Op("hard_swish", op.name, (x,), op.outputs, NoAttributes()))
    product = with_constant(graph, op.outputs[0], "mul", 1 / 6)
    maker = None if product is None else graph.producers().get(product)
    if maker is None or graph.ops[maker].kind != "mul" or graph.ops[maker].attributes.activation != "none":
        return None
    a, b = graph.ops[maker].inputs
    for x, gate in ((a, b), (b, a)):
        if with_constant(graph, gate, "add", 3, "relu6") == x:
            return with_op(graph, at, Op("hard_swish", op.name, (x,), op.outputs, NoAttributes()))
    return None


def with_constant(graph: Graph, tensor: int, kind: str, value: float, activation: str = "none") -> int | None:
    """x where `tensor` is x + value or x * value, then the activation; nothing between is quantized."""
    maker = graph.producers().get(tensor)
    op = None if maker is None else graph.ops[maker]
    if op is None or op.kind != kind or op.attributes.activation != activation:
        return None
    x = graph.tensors[op.inputs[0]]
    found = by_channel(graph.tensors[op.inputs[1]], x.shape)
    if found is None or found.size != 1 or abs(float(found[0]) / value - 1) > 1e-6 or x.quantization:
        return None
    return op.inputs[0]
