"""A network of the same shape with other widths: what a student is trained from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from offramp.compress.train.layer import WEIGHTED
from offramp.compress.train.module import fitted, has_bias, initialize, logits_of
from offramp.errors import UserError
from offramp.ir import Graph, Op, Tensor
from offramp.ops import OPS
from offramp.ops.op import Shape, elements


def narrowed(graph: Graph, width: float, seed: int, round_to: int = 4) -> Graph:
    """The float graph with this share of each layer's channels, rounded to a multiple, and random weights.

    The classifier's outputs stay. UserError where `width` is no share.
    """
    if not 0 < width <= 4:
        raise UserError(f"width {width}: a share of the channels is needed", "0.5 halves them")
    last, tensors, ops = last_layers(graph), list(graph.tensors), []
    for i, op in enumerate(graph.ops):
        old, new = graph.tensors[op.inputs[0]], tensors[op.inputs[0]]
        if op.kind in WEIGHTED:
            shape = weight_shape(
                op, old, new, graph.tensors[op.inputs[1]], 1.0 if i in last else width, round_to
            )
            tensors[op.inputs[1]] = zeros(tensors[op.inputs[1]], shape)
            if has_bias(op):
                out_c = shape[3] if op.kind == "depthwise_conv_2d" else shape[0]
                tensors[op.inputs[2]] = zeros(tensors[op.inputs[2]], (out_c,))
        attributes = fitted(op, old.shape, new.shape)
        given = [tensors[t] if t >= 0 else None for t in op.inputs]
        for t, shape in zip(op.outputs, OPS[op.kind].shapes(attributes, given), strict=True):
            tensors[t] = replace(tensors[t], shape=shape)
        ops.append(replace(op, attributes=attributes))
    return initialize(replace(graph, tensors=tuple(tensors), ops=tuple(ops), members=()), seed)


def zeros(tensor: Tensor, shape: Shape) -> Tensor:
    return replace(tensor, shape=shape, data=np.zeros(shape, np.float32), quantization=None)


def last_layers(graph: Graph) -> set[int]:
    """Layers whose outputs reach the graph's without another layer on the way."""
    producers, found, waiting = graph.producers(), set[int](), [logits_of(graph), *graph.outputs]
    while waiting:
        maker = producers.get(waiting.pop())
        if maker is None:
            continue
        if graph.ops[maker].kind in WEIGHTED:
            found.add(maker)
        else:
            waiting += [t for t in graph.ops[maker].inputs if t >= 0]
    return found


def weight_shape(op: Op, old: Tensor, new: Tensor, weights: Tensor, width: float, round_to: int) -> Shape:
    """Of a layer whose input was `old` and is `new`."""
    if op.kind == "depthwise_conv_2d":
        return (*weights.shape[:3], new.shape[3] * (weights.shape[3] // old.shape[3]))
    out_c = weights.shape[0]
    if width != 1.0:
        out_c = max(round_to, round(out_c * width / round_to) * round_to)
    if op.kind == "fully_connected":
        return (out_c, new.shape[-1] if op.attributes.keep_num_dims else elements(new.shape))
    return (out_c, *weights.shape[1:3], new.shape[3] * weights.shape[3] // old.shape[3])
