"""A float graph as a PyTorch module and back: the same structure, the module's weights."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from offramp.compress.train.arrays import tensor_of
from offramp.compress.train.functions import FUNCTIONS, Value, channels_first, channels_last
from offramp.compress.train.layer import DENSE, WEIGHTED, Layer
from offramp.errors import UserError
from offramp.ir import Graph, Op, Tensor
from offramp.ops import OPS
from offramp.ops.op import Array, Shape, elements
from offramp.ops.verify import verify
from offramp.reference import batched

SETTLED = 512  # rows whose statistics batch normalization begins with


def to_module(graph: Graph, with_batch_norm: bool = False, dense_as_convolution: bool = False) -> GraphModule:
    """The float graph as a module that computes the same, differentiable.

    `with_batch_norm` puts a batch normalization, at first without effect, after each convolution, for training from
    scratch; to_graph folds it. `dense_as_convolution`: a dense layer that reads a flattened map becomes a
    convolution over the whole map, so that channels can be traced through it. UserError where an op has no gradient,
    state is kept, or the first axis is no batch.
    """
    check(graph)
    return GraphModule(prepared(graph, with_batch_norm), with_batch_norm, dense_as_convolution)


def to_graph(module: GraphModule) -> Graph:
    """The module's graph with its weights; shapes follow the weights, which may have lost channels."""
    tensors = list(module.graph.tensors)

    def put(index: int, data: Array) -> None:
        t = tensors[index]
        assert t.data is not None
        kept = (
            t.quantization if np.array_equal(t.data, data) else None
        )  # remembered scales of what was integers
        tensors[index] = replace(t, shape=data.shape, data=data, quantization=kept)

    for op, layer in module.weighted():
        weights, bias = layer.parameters_of_graph()
        put(op.inputs[1], weights)
        if bias is not None:
            shape = tensors[op.inputs[2]].shape
            put(op.inputs[2], bias.reshape(shape if elements(shape) == bias.size else -1))
    for index, value in module.constants.items():
        data = channels_last(value.detach()).contiguous().numpy()
        put(int(index), data.reshape(data.shape[data.ndim - len(tensors[int(index)].shape) :]))
    found = with_shapes(replace(module.graph, tensors=tuple(tensors), members=()))
    verify(found, "the trained graph")
    return found


def settle(module: GraphModule, x: Array) -> GraphModule:
    """Batch normalization takes its statistics from rows x [n, ...]; the module still computes what it did.

    For training on from trained weights, which batches would otherwise normalize anew.
    """
    with torch.no_grad():
        values = module.eval().values(tensor_of(x))
        for i, layer in module.layers.items():
            if layer.norm is not None:
                layer.settle(layer.outputs(values[module.source[int(i)]]))
    return module


def initialize(graph: Graph, seed: int) -> Graph:
    """The graph with random weights (He's normal distribution) and biases of zero."""
    rng = np.random.default_rng(seed)
    tensors = list(graph.tensors)
    for op in graph.ops:
        if op.kind not in WEIGHTED:
            continue
        shape = tensors[op.inputs[1]].shape
        fan_in = elements(shape[:-1]) if op.kind == "depthwise_conv_2d" else elements(shape[1:])
        data = rng.normal(0, (2 / fan_in) ** 0.5, shape).astype(np.float32)
        tensors[op.inputs[1]] = replace(tensors[op.inputs[1]], data=data)
        if len(op.inputs) > 2 and op.inputs[2] >= 0:
            bias = tensors[op.inputs[2]]
            tensors[op.inputs[2]] = replace(bias, data=np.zeros(bias.shape, np.float32))
    return replace(graph, tensors=tuple(tensors))


class GraphModule(nn.Module):  # type: ignore[misc]
    """One module a weighted op, by the op's index; the rest is computed as the graph says."""

    def __init__(self, graph: Graph, with_batch_norm: bool, dense_as_convolution: bool) -> None:
        super().__init__()
        self.graph = graph
        self.layers = nn.ModuleDict()
        constants = {str(i): nn.Parameter(v, False) for i, v in broadcast_constants(graph).items()}
        self.constants = nn.ParameterDict(constants)
        self.source = {}  # tensor that each layer reads, by the op's index
        for i, op in enumerate(graph.ops):
            if op.kind in WEIGHTED:
                over_map = whole_map(graph, op) if dense_as_convolution else None
                self.source[i] = op.inputs[0] if over_map is None else over_map
                self.layers[str(i)] = self.layer(op, self.source[i], with_batch_norm, over_map is not None)

    def layer(self, op: Op, source: int, norm: bool, over_map: bool) -> Layer:
        t = self.graph.tensors
        bias = t[op.inputs[2]] if has_bias(op) else None
        return Layer(op, t[source], t[op.inputs[1]], bias, norm, over_map)

    def weighted(self) -> list[tuple[Op, Layer]]:
        """Ops with weights and their modules, in order."""
        return [(self.graph.ops[int(i)], layer) for i, layer in self.layers.items()]

    def forward(self, *inputs: Value) -> list[Value]:
        """Arrays [n, ...] shaped as the graph's inputs -> its outputs."""
        values = self.values(*inputs)
        return [channels_last(values[i]) for i in self.graph.outputs]

    def values(self, *inputs: Value) -> dict[int, Value]:
        """Every activation by its tensor's index, in the module's order of axes."""
        values = dict(zip(self.graph.inputs, map(channels_first, inputs), strict=True))
        values |= {int(i): value for i, value in self.constants.items()}
        for i, op in enumerate(self.graph.ops):
            if op.kind in WEIGHTED:
                values[op.outputs[0]] = self.layers[str(i)](values[self.source[i]])
            else:
                found = FUNCTIONS[op.kind](op.attributes, *(values[t] for t in op.inputs))
                values.update(zip(op.outputs, found, strict=True))
        return values

    def logits(self, x: Value) -> Value:
        """[n, classes]: the first output of the rows `x`, before a softmax at the end."""
        return self.values(x)[logits_of(self.graph)].flatten(1)


def broadcast_constants(graph: Graph) -> dict[int, Value]:
    """Constant operands of ops without weights, float32, of the rank and in the order of axes of their readers."""
    found = {}
    for op in graph.ops:
        ranks = [len(graph.tensors[i].shape) for i in op.inputs if i >= 0]
        for i in op.inputs if op.kind not in WEIGHTED else ():
            t = graph.tensors[i]
            if t.data is not None:
                value = tensor_of(np.array(t.data, np.float32))
                found[i] = channels_first(value.reshape((1,) * (max(ranks) - len(t.shape)) + t.shape))
    return found


def logits_of(graph: Graph) -> int:
    """The tensor with a classifier's scores before a softmax at the end."""
    maker = graph.producers().get(graph.outputs[0])
    is_softmax = maker is not None and graph.ops[maker].kind == "softmax"
    return graph.ops[maker].inputs[0] if maker is not None and is_softmax else graph.outputs[0]


def check(graph: Graph) -> None:
    """UserError where the graph cannot be trained."""
    name = graph.name or "the graph"
    for op in graph.ops:
        where = f"{name}: {op.kind} ({op.name})"
        if op.kind not in FUNCTIONS and op.kind not in WEIGHTED:
            raise UserError(f"{where} cannot be trained", f"{', '.join(sorted((*FUNCTIONS, *WEIGHTED)))} can")
        for i in op.inputs[1:] if op.kind in WEIGHTED else ():
            if i >= 0 and graph.tensors[i].data is None:
                raise UserError(
                    f"{where}: {graph.tensors[i].name} is no constant", "weights must be constant"
                )
        for i in op.outputs:
            if graph.tensors[i].dtype != "f32":
                raise UserError(
                    f"{where}: {graph.tensors[i].name} is {graph.tensors[i].dtype}, f32 is needed",
                    "dequantize the graph first",
                )
    if graph.variables or batched(graph, 2) is None:
        raise UserError(
            f"{name}: training runs many rows at once, and here the first axis is no batch of 1",
            "export the model with a first axis of 1, and without state",
        )


def prepared(graph: Graph, with_batch_norm: bool) -> Graph:
    """Constants with one reader each; with batch normalization convolutions have a bias."""
    tensors, ops, seen = list(graph.tensors), [], set[int]()
    for op in graph.ops:
        inputs = list(op.inputs)
        for at, i in enumerate(inputs):
            if i in seen and tensors[i].data is not None:
                tensors.append(replace(tensors[i], name=f"{tensors[i].name}/{op.name}"))
                inputs[at] = len(tensors) - 1
            seen.add(i)
        if with_batch_norm and op.kind in WEIGHTED and op.kind not in DENSE and not has_bias(op):
            out_c = tensors[op.outputs[0]].shape[-1]
            tensors.append(Tensor(f"{op.name}/bias", (out_c,), "f32", data=np.zeros(out_c, np.float32)))
            inputs = [*inputs[:2], len(tensors) - 1]
        ops.append(replace(op, inputs=tuple(inputs)))
    return replace(graph, tensors=tuple(tensors), ops=tuple(ops))


def has_bias(op: Op) -> bool:
    return len(op.inputs) > 2 and op.inputs[2] >= 0


def whole_map(graph: Graph, op: Op) -> int | None:
    """The map [1, h, w, c] that a dense layer reads flattened; None: it reads none, or the op is no dense layer."""
    if op.kind not in DENSE:
        return None
    producers, source = graph.producers(), op.inputs[0]
    while len(graph.tensors[source].shape) != 4:
        maker = producers.get(source)
        if maker is None or graph.ops[maker].kind != "reshape":
            return None
        source = graph.ops[maker].inputs[0]
    return source


def with_shapes(graph: Graph) -> Graph:
    """Shapes of activations worked out from those of the weights."""
    tensors, ops = list(graph.tensors), []
    for op in graph.ops:
        old = graph.tensors[op.inputs[0]].shape
        attributes = fitted(op, old, tensors[op.inputs[0]].shape)
        given = [tensors[i] if i >= 0 else None for i in op.inputs]
        for i, shape in zip(op.outputs, OPS[op.kind].shapes(attributes, given), strict=True):
            tensors[i] = replace(tensors[i], shape=shape)
        ops.append(replace(op, attributes=attributes))
    return replace(graph, tensors=tuple(tensors), ops=tuple(ops))


def fitted(op: Op, old: Shape, new: Shape) -> Any:
    """Attributes that name a number of channels, for an input whose last axis has changed."""
    a = op.attributes
    if old == new:
        return a
    if op.kind == "reshape":
        inner = elements(a.shape[:-1])
        return replace(a, shape=(*a.shape[:-1], elements(new) // inner))
    if op.kind == "strided_slice":
        return replace(a, length=(*a.length[:-1], new[-1]), shape=(*a.shape[:-1], new[-1]))
    return a
