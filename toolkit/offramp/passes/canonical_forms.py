"""One form for what can be written in several: windows, global pooling, dense layers, slices, affine layers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from offramp.ir import Graph, Op
from offramp.ops.fully_connected import FullyConnected
from offramp.ops.gemm import Window, pad_before
from offramp.ops.mean import Mean
from offramp.passes.canonical_fold import by_channel
from offramp.passes.edit import Edit, quantization_at
from offramp.passes.fusion import absorbed, only_reader_of
from offramp.passes.rewrite import renamed, with_op, without

CONVOLUTIONS = ("conv_2d", "depthwise_conv_2d")
POOLS = ("average_pool_2d", "max_pool_2d")


def drop_nothing(graph: Graph, at: int) -> Graph | None:
    """An op that gives its input again."""
    op = graph.ops[at]
    if not op.inputs or op.inputs[0] < 0 or not changes_nothing(graph, op):
        return None
    x, out = graph.tensors[op.inputs[0]], graph.tensors[op.outputs[0]]
    if (x.shape, x.dtype) != (out.shape, out.dtype) or x.quantization != out.quantization:
        return None
    return without(graph, at)


def changes_nothing(graph: Graph, op: Op) -> bool:
    """Whether its values are its input's, given that the shapes are."""
    a = op.attributes
    if op.kind in ("add", "mul") and a.activation == "none":
        values = by_channel(graph.tensors[op.inputs[1]], graph.tensors[op.inputs[0]].shape)
        return values is not None and bool((values == (0 if op.kind == "add" else 1)).all())
    if op.kind == "transpose":
        return bool(a.order == tuple(range(len(a.order))))
    if op.kind == "strided_slice":
        return bool(min(a.stride) > 0)
    if op.kind in POOLS:
        return bool((a.filter_h, a.filter_w, a.stride_h, a.stride_w, a.activation) == (1, 1, 1, 1, "none"))
    if op.kind in ("concatenation", "split"):
        return len(op.inputs) == len(op.outputs) == 1
    return op.kind in ("reshape", "pad", "resize_nearest_neighbor", "resize_bilinear", "quantize")


def settle_window(graph: Graph, at: int) -> Graph | None:
    """`valid` where nothing is padded, `same` where that pads alike, else the explicit padding that is used."""
    op = graph.ops[at]
    if op.kind not in (*CONVOLUTIONS, *POOLS):
        return None
    a, x, out = op.attributes, graph.tensors[op.inputs[0]], graph.tensors[op.outputs[0]]
    reach = reach_of(graph, op)
    before, after = [], []
    for i in (0, 1):
        stride, length, n = (a.stride_h, a.stride_w)[i], x.shape[1 + i], out.shape[1 + i]
        front = (
            a.pads[i] if a.padding == "explicit" else pad_before(length, n, reach[i], stride, 1, a.padding)
        )
        before.append(front)
        after.append(max(0, (n - 1) * stride + reach[i] - front - length))
    pads = (*before, *after)
    same = tuple(
        pad_before(x.shape[1 + i], out.shape[1 + i], reach[i], (a.stride_h, a.stride_w)[i], 1, "same")
        for i in (0, 1)
    )
    full = tuple(-(-x.shape[1 + i] // (a.stride_h, a.stride_w)[i]) for i in (0, 1))
    if not any(pads):
        settled = replace(a, padding="valid", pads=())
    elif tuple(before) == same and full == out.shape[1:3]:
        settled = replace(a, padding="same", pads=())
    else:
        settled = replace(a, padding="explicit", pads=pads)
    return None if settled == a else with_op(graph, at, replace(op, attributes=settled))


def reach_of(graph: Graph, op: Op) -> tuple[int, int]:
    a = op.attributes
    if op.kind in POOLS:
        return a.filter_h, a.filter_w
    _, kh, kw, _ = graph.tensors[op.inputs[1]].shape
    return (kh - 1) * a.dilation_h + 1, (kw - 1) * a.dilation_w + 1


def depthwise_of_groups(graph: Graph, at: int) -> Graph | None:
    """A convolution with as many groups as input channels."""
    op = graph.ops[at]
    if op.kind != "conv_2d":
        return None
    channels, weights = graph.tensors[op.inputs[0]].shape[3], graph.tensors[op.inputs[1]]
    if channels == 1 or weights.shape[3] != 1 or weights.data is None:
        return None
    e = Edit(graph, at)
    laid = e.constant(np.ascontiguousarray(weights.data.transpose(3, 1, 2, 0)), op.inputs[1])
    moved = quantization_at(weights.quantization, 3)
    e.tensors[laid] = replace(e.tensors[laid], quantization=moved or weights.quantization)
    e.emit("depthwise_conv_2d", op.attributes, (op.inputs[0], laid, *op.inputs[2:]), outputs=op.outputs)
    return e.done()


def convolution_of_one_channel(graph: Graph, at: int) -> Graph | None:
    """A depthwise convolution of one channel is a convolution."""
    op = graph.ops[at]
    if op.kind != "depthwise_conv_2d" or graph.tensors[op.inputs[0]].shape[3] != 1:
        return None
    weights = graph.tensors[op.inputs[1]]
    if weights.data is None:
        return None
    e = Edit(graph, at)
    laid = e.constant(np.ascontiguousarray(weights.data.transpose(3, 1, 2, 0)), op.inputs[1])
    moved = quantization_at(weights.quantization, 0)
    e.tensors[laid] = replace(e.tensors[laid], quantization=moved or weights.quantization)
    e.emit("conv_2d", op.attributes, (op.inputs[0], laid, *op.inputs[2:]), outputs=op.outputs)
    return e.done()


def global_pool_as_mean(graph: Graph, at: int) -> Graph | None:
    """An average over the whole image."""
    op = graph.ops[at]
    if op.kind != "average_pool_2d" or op.attributes.activation != "none":
        return None
    n, h, w, c = graph.tensors[op.inputs[0]].shape
    a = op.attributes
    whole = graph.tensors[op.outputs[0]].shape[1:3] == (1, 1) and a.padding == "valid"
    if not whole or (a.filter_h, a.filter_w) != (h, w):
        return None
    e = Edit(graph, at)
    e.reshaped(e.emit("mean", Mean((1, 2)), op.inputs, op.outputs[0]), (n, 1, 1, c), op.outputs[0])
    return e.done()


def mean_drops_axes(graph: Graph, at: int) -> Graph | None:
    """A mean without the axes that it takes together, then a reshape; over lengths of 1 a reshape alone."""
    op = graph.ops[at]
    if op.kind != "mean":
        return None
    x, a, out = graph.tensors[op.inputs[0]], op.attributes, graph.tensors[op.outputs[0]]
    e = Edit(graph, at)
    if all(x.shape[i] == 1 for i in a.axes) and x.quantization == out.quantization:
        e.reshaped(op.inputs[0], out.shape, op.outputs[0])
    elif a.keep_dims:
        e.reshaped(e.emit("mean", Mean(a.axes), op.inputs, op.outputs[0]), out.shape, op.outputs[0])
    else:
        return None
    return e.done()


def mean_of_mean(graph: Graph, at: int) -> Graph | None:
    """Means over one axis after another."""
    op = graph.ops[at]
    maker = graph.producers().get(op.inputs[0]) if op.kind == "mean" else None
    before = None if maker is None else graph.ops[maker]
    if before is None or before.kind != "mean" or op.attributes.keep_dims or before.attributes.keep_dims:
        return None
    if graph.tensors[op.inputs[0]].quantization:
        return None
    rank = len(graph.tensors[before.inputs[0]].shape)
    left = [i for i in range(rank) if i not in before.attributes.axes]
    axes = tuple(sorted((*before.attributes.axes, *(left[i] for i in op.attributes.axes))))
    return with_op(graph, at, replace(op, inputs=before.inputs, attributes=Mean(axes)))


def dense_of_rows(graph: Graph, at: int) -> Graph | None:
    """A dense layer reads [rows, values], unless it keeps more axes than that."""
    op = graph.ops[at]
    if op.kind != "fully_connected":
        return None
    x, a = graph.tensors[op.inputs[0]], op.attributes
    plain = FullyConnected(a.activation, False)
    if len(x.shape) == 2:
        return with_op(graph, at, replace(op, attributes=plain)) if a.keep_num_dims else None
    if a.keep_num_dims:
        return None
    e = Edit(graph, at)
    flat = e.reshaped(
        op.inputs[0],
        (-1 if not x.shape else graph.tensors[op.outputs[0]].shape[0], graph.tensors[op.inputs[1]].shape[1]),
    )
    e.emit("fully_connected", plain, (flat, *op.inputs[1:]), outputs=op.outputs)
    return e.done()


def with_bias(graph: Graph, at: int) -> Graph | None:
    """Every layer with weights has a bias, be it zero."""
    op = graph.ops[at]
    if op.kind not in (*CONVOLUTIONS, "fully_connected") or (len(op.inputs) == 3 and op.inputs[2] >= 0):
        return None
    e = Edit(graph, at)
    channels = graph.tensors[op.outputs[0]].shape[-1]
    zeros = e.real(np.zeros(channels), "bias")
    e.emit(op.kind, op.attributes, (*op.inputs[:2], zeros), outputs=op.outputs)
    return e.done()


def slice_keeps_axes(graph: Graph, at: int) -> Graph | None:
    """A slice, then a reshape for the axes that it drops."""
    op = graph.ops[at]
    if op.kind != "strided_slice" or op.attributes.shape == op.attributes.length:
        return None
    e = Edit(graph, at)
    a = replace(op.attributes, shape=op.attributes.length)
    e.reshaped(e.emit(op.kind, a, op.inputs, op.outputs[0]), op.attributes.shape, op.outputs[0])
    return e.done()


def slice_of_slice(graph: Graph, at: int) -> Graph | None:
    """Slices of one axis after another."""
    op = graph.ops[at]
    before = only_reader_of(graph, at) if op.kind == "strided_slice" else None
    if before is None or before.kind != "strided_slice":
        return None
    first, second = before.attributes, op.attributes
    if (
        first.shape != first.length
        or graph.tensors[op.inputs[0]].quantization != graph.tensors[before.inputs[0]].quantization
    ):
        return None
    begin = tuple(b + s * c for b, s, c in zip(first.begin, first.stride, second.begin, strict=True))
    stride = tuple(s * t for s, t in zip(first.stride, second.stride, strict=True))
    return absorbed(
        graph, at, replace(op, inputs=before.inputs, attributes=replace(second, begin=begin, stride=stride))
    )


def one_of_twins(graph: Graph, at: int) -> Graph | None:
    """An op that does what an earlier one did to the same tensors."""
    op = graph.ops[at]
    if op.kind in ("read_variable", "assign_variable") or set(op.outputs) & set(graph.outputs):
        return None
    for twin in graph.ops[:at]:
        same = (twin.kind, twin.inputs, twin.attributes) == (op.kind, op.inputs, op.attributes)
        pairs = list(zip(op.outputs, twin.outputs, strict=False))
        if same and all(graph.tensors[a].quantization == graph.tensors[b].quantization for a, b in pairs):
            ops = [o for i, o in enumerate(graph.ops) if i != at]
            for old, new in pairs:
                ops = [renamed(o, old, new) for o in ops]
            return graph.with_ops(tuple(ops))
    return None


def affine_as_depthwise(graph: Graph, at: int) -> Graph | None:
    """What is left of a product by channel of an image: a depthwise convolution of one tap, which holds a sum too."""
    op = graph.ops[at]
    if op.kind != "mul":
        return None
    x = graph.tensors[op.inputs[0]]
    values = by_channel(graph.tensors[op.inputs[1]], x.shape)
    if values is None or len(x.shape) != 4 or values.size != x.shape[3] or values.size == 1:
        return None
    if x.data is not None:
        return None
    e = Edit(graph, at)
    weights = e.real(values.reshape(1, 1, 1, -1), "weights")
    bias = e.real(np.zeros(values.size), "bias")
    a: Any = Window(activation=op.attributes.activation)
    e.emit("depthwise_conv_2d", a, (op.inputs[0], weights, bias), outputs=op.outputs)
    return e.done()
