"""Quantization-aware training: forward the integers that the board computes, backward as if nothing were rounded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from offramp.compress.options import BINARY, QuantizeOptions, layer_bits
from offramp.compress.train.arrays import tensor_of
from offramp.compress.train.exact import (
    by_reference,
    by_table,
    quantized,
    real_of,
    requantized,
    rounded_average,
    steps_of,
    through,
)
from offramp.compress.train.fit import History, Loss, Progress, fit
from offramp.compress.train.functions import (
    FUNCTIONS,
    Value,
    axis_of,
    channels_first,
    channels_last,
    of_one_rank,
    pool_pads,
)
from offramp.compress.train.integer_layer import IntegerLayer
from offramp.compress.train.layer import DENSE, WEIGHTED
from offramp.compress.train.module import broadcast_constants, logits_of, to_graph, to_module
from offramp.compress.train.sparsify import keep_zeros
from offramp.compress.training import TUNING, Training
from offramp.errors import UserError
from offramp.ir import Graph, Op, Tensor
from offramp.ops import add, mean, mul
from offramp.ops.fixed_point import activation_range, multiply_by_quantized_multiplier
from offramp.ops.gemm import Requantization
from offramp.ops.op import Array, elements
from offramp.ops.verify import RANGES, verify

MOVES = ("reshape", "transpose", "pad", "concatenation", "split", "strided_slice", "resize_nearest_neighbor")
BY_TABLE = ("relu", "relu6", "leaky_relu", "hard_swish", "logistic", "tanh", "quantize")


def train_quantized(
    real: Graph,
    integers: Graph,
    options: QuantizeOptions,
    x: Array,
    y: Array,
    training: Training = TUNING,
    loss: Loss | None = None,
    zeros_stay: bool = False,
    progress: Progress | None = None,
) -> tuple[Graph, Graph, History]:
    """The integer graph after training, the float graph with the weights behind it, and the history.

    `integers` is what `quantize(real, rows, options)` gave; its activations keep their scales. `zeros_stay`: weights
    of `real` that are zero are not trained.
    """
    module = to_integer_module(real, integers, options)
    hook = keep_zeros(module) if zeros_stay else None
    history = fit(module, x, y, training, loss, hook, progress)
    return to_integers(module), to_graph(module.real), history


def to_integer_module(real: Graph, integers: Graph, options: QuantizeOptions) -> IntegerModule:
    """A module whose values are those of `integers` to the bit, trainable by the weights of `real`.

    Weights that `integers` rounded otherwise than to the nearest begin as near to `real` as gives the same integers.
    `options` are those that made `integers` of `real`. UserError where the two differ in their layers.
    """
    kinds = [[family(op.kind) for op in g.ops if op.kind in WEIGHTED] for g in (real, integers)]
    if kinds[0] != kinds[1]:
        raise UserError(
            f"{integers.name} has {len(kinds[1])} layers with weights, its float graph {len(kinds[0])}",
            "quantize this very float graph",
        )
    return IntegerModule(real, integers, options)


def family(kind: str) -> str:
    return "dense" if kind in DENSE else kind


def to_integers(module: IntegerModule) -> Graph:
    """The integer graph with the module's weights: its reference computes what the module does."""
    tensors = list(module.graph.tensors)
    for layer in module.layers:
        grid = layer.grid()
        weights, bias = layer.tensors(grid, layer.integers(grid))
        tensors[layer.op.inputs[1]] = weights
        if bias is not None:
            tensors[layer.op.inputs[2]] = bias
    found = replace(module.graph, tensors=tuple(tensors), members=())
    verify(found, "the trained integer graph")
    return found


class IntegerModule(nn.Module):  # type: ignore[misc]
    """Values are integers held in floats, in the order of axes of a GraphModule."""

    def __init__(self, real: Graph, integers: Graph, options: QuantizeOptions) -> None:
        super().__init__()
        self.graph = integers
        self.real = to_module(real)
        of_op = layer_bits(real, options)
        bits = [1 if op.kind == BINARY else of_op[i] for i, op in enumerate(real.ops) if op.kind in WEIGHTED]
        ops = [op for op in integers.ops if op.kind in WEIGHTED]
        layers = [layer for _, layer in self.real.weighted()]
        self.layers = nn.ModuleList(
            IntegerLayer(layer, integers, op, n, options.per_group)
            for layer, op, n in zip(layers, ops, bits, strict=True)
        )
        self.constants = broadcast_constants(integers)

    def weighted(self) -> list[tuple[Op, Any]]:
        """Ops with weights and the modules that hold them."""
        return self.real.weighted()

    def forward(self, *inputs: Value) -> list[Value]:
        """Real rows [n, ...] -> the graph's outputs as real numbers, those that its integers stand for."""
        t = self.graph.tensors
        given = [quantized(t[i], x) for i, x in zip(self.graph.inputs, inputs, strict=True)]
        values = self.values(*map(channels_first, given))
        return [channels_last(real_of(t[i], values[i])) for i in self.graph.outputs]

    def integers(self, *inputs: Array) -> list[Array]:
        """Integer rows [n, ...] -> the graph's outputs as the reference gives them."""
        self.eval()
        with torch.no_grad():
            values = self.values(*(channels_first(tensor_of(x.astype(np.float32))) for x in inputs))
        return [channels_last(values[i]).numpy().astype(np.int16) for i in self.graph.outputs]

    def values(self, *inputs: Value, until: int | None = None) -> dict[int, Value]:
        """Activations by tensor index from integers of the inputs; no further than tensor `until`."""
        values = dict(zip(self.graph.inputs, inputs, strict=True))
        layers = iter(self.layers)
        for op in self.graph.ops:
            if until in values:
                break
            if op.kind in WEIGHTED:
                values[op.outputs[0]] = next(layers)(values[op.inputs[0]])
                continue
            inputs = tuple(values[i] if i in values else self.constants[i] for i in op.inputs)
            values.update(zip(op.outputs, self.computed(op, inputs), strict=True))
        return values

    def computed(self, op: Op, x: tuple[Value, ...]) -> list[Value]:
        given = [self.graph.tensors[i] for i in op.inputs]
        outputs = [self.graph.tensors[i] for i in op.outputs]
        if op.kind in MOVES:
            return FUNCTIONS[op.kind](op.attributes, *x)
        if all(t.dtype == "s8" for t in (*given, *outputs)):
            if op.kind in BY_TABLE:
                return [straight(op, given, outputs[0], x, by_table(op, given[0], outputs[0], x[0].detach()))]
            if op.kind in FAST:
                return [FAST[op.kind](op.attributes, given, outputs[0], *x)]
        values = [None if t.data is not None else v for t, v in zip(given, x, strict=True)]
        (found,) = by_reference(op, list(given), outputs, values)
        return [straight(op, given, outputs[0], x, found)]

    def logits(self, x: Value) -> Value:
        """[n, classes]: the first output of real rows, before a softmax at the end, as real numbers."""
        source, wanted = self.graph.inputs[0], logits_of(self.graph)
        values = self.values(channels_first(quantized(self.graph.tensors[source], x)), until=wanted)
        return real_of(self.graph.tensors[wanted], values[wanted]).flatten(1)


def straight(op: Op, given: list[Tensor], out: Tensor, x: tuple[Value, ...], found: Value) -> Value:
    """`found` with the gradient of the op on real numbers."""
    reals = [real_of(t, v) for t, v in zip(given, x, strict=True)]
    real = reals if op.kind == "quantize" else FUNCTIONS[op.kind](op.attributes, *reals)
    return through(steps_of(out, real[0]), found, *RANGES[out.dtype])


def scaled_to(out: Tensor, activation: str, scaling: tuple[int, int]) -> Requantization:
    low, high = activation_range(activation, out.quant.scale, out.quant.zero_point)
    multiplier, shift = (np.array([n], np.int64) for n in scaling)
    return Requantization(multiplier, shift, out.quant.zero_point, low, high)


def max_pool_2d(a: Any, given: list[Tensor], out: Tensor, x: Value) -> Value:
    (found,) = FUNCTIONS["max_pool_2d"](replace(a, activation="none"), x)
    low, high = activation_range(a.activation, out.quant.scale, out.quant.zero_point)
    return through(found, found.detach().clamp(low, high), low, high)


def average_pool_2d(a: Any, given: list[Tensor], out: Tensor, x: Value) -> Value:
    size, stride, pads = (a.filter_h, a.filter_w), (a.stride_h, a.stride_w), pool_pads(a, x)
    ones = torch.ones_like(x[:1, :1])
    total, count = (F.avg_pool2d(F.pad(v, pads), size, stride, divisor_override=1) for v in (x, ones))
    low, high = activation_range(a.activation, out.quant.scale, out.quant.zero_point)
    found = rounded_average(total.detach(), count).clamp(low, high)
    return through(total / count, found, low, high)


def mean_of(a: Any, given: list[Tensor], out: Tensor, x: Value) -> Value:
    count = elements(tuple(given[0].shape[i] for i in a.axes))
    if x.dim() == 4 and (a.keep_dims or sorted(a.axes) == [1, 2]):
        total = x.double().sum([axis_of(i, 4) for i in a.axes], keepdim=a.keep_dims)
    else:
        total = channels_first(channels_last(x).double().sum(a.axes, keepdim=a.keep_dims))
    zero, r = given[0].quant.zero_point, scaled_to(out, "none", mean.multiplier_of(given[0], out, count))
    ratio = given[0].quant.scale / out.quant.scale / count
    found = requantized(total.detach(), torch.tensor([-count * zero]), r, 256 * count)
    return through((total - count * zero).float() * ratio + r.zero_point, found, -128, 127)


def sum_of(sign: int) -> Callable[..., Value]:
    def function(a: Any, given: list[Tensor], out: Tensor, *x: Value) -> Value:
        *scalings, of_out = add.multipliers(given[0], given[1], out)
        operands = of_one_rank(*x)

        def scaled(t: Tensor, value: Value, scaling: tuple[int, int]) -> Value:
            centred = np.arange(-128, 128) - t.quant.zero_point
            table = tensor_of(multiply_by_quantized_multiplier(centred << add.LEFT_SHIFT, *scaling))
            return table[(value.detach() + 128).long()]

        left, right = map(scaled, given, operands, scalings)
        r = scaled_to(out, a.activation, of_out)
        found = requantized(left + sign * right, torch.tensor([0]), r, 1 << 30)
        reals = [real_of(t, v) for t, v in zip(given, operands, strict=True)]
        return through(steps_of(out, reals[0] + sign * reals[1]), found, r.act_min, r.act_max)

    return function


def product_of(a: Any, given: list[Tensor], out: Tensor, *x: Value) -> Value:
    left, right = (v - t.quant.zero_point for t, v in zip(given, of_one_rank(*x), strict=True))
    r = scaled_to(out, a.activation, mul.multiplier_of(given[0], given[1], out))
    ratio = given[0].quant.scale * given[1].quant.scale / out.quant.scale
    product = left * right
    found = requantized(product.detach(), torch.tensor([0]), r, 1 << 16)
    return through(product * ratio + r.zero_point, found, r.act_min, r.act_max)


# Operators on int8 with exact arithmetic of their own; the others go through the reference in numpy.
FAST: dict[str, Callable[..., Value]] = {
    "max_pool_2d": max_pool_2d,
    "average_pool_2d": average_pool_2d,
    "mean": mean_of,
    "add": sum_of(1),
    "sub": sum_of(-1),
    "mul": product_of,
}
