"""An integer graph to the float graph it stands for, so that training and requantization work on it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from offramp.compress.options import BINARY, LAYERS
from offramp.compress.weights import channel_axis
from offramp.errors import UserError
from offramp.ir import Graph, Op, Tensor
from offramp.ops.op import constant
from offramp.ops.real import REAL
from offramp.ops.verify import verify
from offramp.passes.rewrite import renamed, without_unused

STATE = ("read_variable", "assign_variable")


def dequantize(graph: Graph) -> Graph:
    """The float graph; every tensor remembers its quantization, so that `quantize(graph)` gives the integers back.

    Fused clamps stay, other saturation is gone. UserError where an op is a function of integers only, such as a table.
    """
    if graph.is_float:
        return graph
    for op in graph.ops:
        if op.kind not in (*REAL, *STATE, "quantize"):
            raise UserError(
                f"{graph.name}: {op.kind} ({op.name}) is a function of integers only",
                "dequantize the model file itself, before `offramp pack` or passes changed it",
            )
    tensors = [real_tensor(t) for t in graph.tensors]
    ops = [real_op(graph, op, tensors) for op in graph.ops]
    found = without_quantize(replace(graph, tensors=tuple(tensors), ops=tuple(ops), members=()))
    found = without_unused(found)
    verify(found, f"dequantization of {graph.name}")
    return found


def real_tensor(tensor: Tensor, axis: int | None = None) -> Tensor:
    """The tensor in real numbers; one without scales keeps its integers."""
    if tensor.quantization is None:
        return tensor if tensor.data is not None else replace(tensor, dtype="f32")
    if tensor.data is None:
        return replace(tensor, dtype="f32")
    q = tensor.quantization
    shape = [1] * len(tensor.shape)
    if len(q.scales) > 1 and shape:
        shape[q.axis or 0 if axis is None else axis] = -1
    scales, zeros = (np.array(v, np.float64).reshape(shape) for v in (q.scales, q.zero_points))
    data = np.float32((tensor.data.astype(np.float64) - zeros) * scales)
    return replace(tensor, dtype="f32", data=data.reshape(tensor.shape))


def real_op(graph: Graph, op: Op, tensors: list[Tensor]) -> Op:
    """The op on real tensors, which are put into `tensors` where they differ from what `real_tensor` gives."""
    if op.kind == "pad":
        q = graph.tensors[op.inputs[0]].quant
        value = (op.attributes.value - q.zero_point) * q.scale
        return replace(op, attributes=replace(op.attributes, value=float(value) if value else 0))
    if op.kind not in LAYERS:
        return op
    x, weights = graph.tensors[op.inputs[0]], graph.tensors[op.inputs[1]]
    real = real_tensor(weights, channel_axis(op.kind))
    if op.kind == BINARY:  # its sums count ones, not steps of the input
        real = replace(real, data=np.asarray(constant(real) * x.quant.scale, np.float32), quantization=None)
    tensors[op.inputs[1]] = real
    if len(op.inputs) < 3 or op.inputs[2] < 0:
        return op
    bias = graph.tensors[op.inputs[2]]
    assert bias.data is not None
    unit = float(x.quant.scale) * np.array(weights.quant.scales, np.float64)
    data = np.float32(bias.data.reshape(-1) * unit).reshape(bias.shape)
    tensors.append(replace(bias, dtype="f32", quantization=None, data=data))
    return replace(op, inputs=(*op.inputs[:2], len(tensors) - 1))


def without_quantize(graph: Graph) -> Graph:
    """Readers of a QUANTIZE read what it read."""
    while True:
        at = next((i for i, op in enumerate(graph.ops) if op.kind == "quantize"), None)
        if at is None:
            return graph
        (source,), (result,) = graph.ops[at].inputs, graph.ops[at].outputs
        ops = tuple(renamed(op, result, source) for i, op in enumerate(graph.ops) if i != at)
        outputs = tuple(source if t == result else t for t in graph.outputs)
        graph = replace(graph, ops=ops, outputs=outputs)
