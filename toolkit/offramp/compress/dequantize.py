"""An integer graph as the float graph that it approximates: to be tuned and quantized again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from offramp.errors import UserError
from offramp.ir import Graph, Op, Tensor
from offramp.ops.op import Array
from offramp.ops.verify import verify
from offramp.passes.rewrite import renamed, without_unused

WEIGHTED = ("conv_2d", "depthwise_conv_2d", "fully_connected")


def dequantize(graph: Graph) -> Graph:
    """Real numbers for all integers: weights, biases, constants, paddings; ops `quantize` go.

    A float graph comes back as it is. UserError where an op has no float form (`table`).
    """
    if graph.is_float:
        return graph
    tensors = [in_reals(t) for t in graph.tensors]
    ops = []
    for op in graph.ops:
        if op.kind == "table":
            raise UserError(
                f"{graph.name}: table ({op.name}) has no float form", "use the model before the passes"
            )
        if op.kind in WEIGHTED and len(op.inputs) > 2 and op.inputs[2] >= 0:
            tensors[op.inputs[2]] = real_bias(graph, op)
        if op.kind == "pad":
            q = graph.tensors[op.inputs[0]].quant
            centred = op.attributes.value - q.zero_point
            op = replace(op, attributes=replace(op.attributes, value=q.scale * centred if centred else 0))
        ops.append(op)
    found = without_requantizations(replace(graph, tensors=tuple(tensors), ops=tuple(ops), members=()))
    verify(found, f"{graph.name}, dequantized")
    return found


def in_reals(t: Tensor) -> Tensor:
    """The tensor as f32; int32 and the like stay, their op says what they are."""
    if t.dtype not in ("s8", "u8", "s16"):
        return t
    data = None if t.data is None else real_of(t, t.data)
    return replace(t, dtype="f32", quantization=None, data=data, storage="")


def real_of(t: Tensor, q: Array) -> Array:
    """scale * (q - zero point), along the quantization's axis."""
    scales, zeros = np.array(t.quant.scales), np.array(t.quant.zero_points)
    if len(scales) > 1:
        axis = t.quant.axis or 0
        along = [-1 if i == axis else 1 for i in range(q.ndim)]
        scales, zeros = scales.reshape(along), zeros.reshape(along)
    return np.asarray((q.astype(np.float64) - zeros) * scales, np.float32)


def real_bias(graph: Graph, op: Op) -> Tensor:
    """int32 bias: its unit is the input's scale times the weights'."""
    x, weights, bias = (graph.tensors[i] for i in op.inputs[:3])
    assert bias.data is not None
    data = bias.data.reshape(-1) * np.array(weights.quant.scales) * x.quant.scale
    return replace(bias, dtype="f32", quantization=None, data=data.astype(np.float32).reshape(bias.shape))


def without_requantizations(graph: Graph) -> Graph:
    """A change of scale is nothing to real numbers."""
    while True:
        found = next((op for op in graph.ops if op.kind == "quantize"), None)
        if found is None:
            return without_unused(graph)
        rest = tuple(op for op in graph.ops if op is not found)
        old, new = found.outputs[0], found.inputs[0]
        outputs = tuple(new if i == old else i for i in graph.outputs)
        graph = replace(graph, ops=tuple(renamed(op, old, new) for op in rest), outputs=outputs)
