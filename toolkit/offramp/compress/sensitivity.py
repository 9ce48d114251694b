"""How much a network's outputs suffer when one layer alone is quantized, all others being real numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from offramp.compress.calibrate import Ranges
from offramp.compress.options import WEIGHTED, QuantizeOptions
from offramp.compress.rounding import nearest, real
from offramp.compress.scales import of_range
from offramp.compress.weights import GROUP, channel_axis, from_rows, quantize_rows, rows_of
from offramp.ir import Graph, Op
from offramp.ops.op import constant
from offramp.passes.rewrite import with_tensors
from offramp.reference import batched, computed, run_rows

Array = NDArray[Any]
MOST_ROWS = 128


@dataclass(frozen=True)
class Sensitivity:
    """Of one layer: what the outputs lose at each number of bits, and the bytes of its weights then."""

    layer: str
    lost: dict[
        int, float
    ]  # bits -> mean Kullback-Leibler divergence of the outputs from the float ones, in nats
    bytes: dict[int, int]


def sensitivities(
    graph: Graph,
    rows: Sequence[Array],
    ranges: Ranges,
    choices: Sequence[int] = (4, 8, 16),
    options: QuantizeOptions = QuantizeOptions(),  # noqa: B008
) -> Iterator[Sensitivity]:
    """Of every layer of a float graph in turn: its weights at that many bits, and its output as integers."""
    parts = list(run_rows(graph, *(x[:MOST_ROWS] for x in rows), every=True))
    expected = np.concatenate([part[graph.outputs[0]] for part in parts])
    for i, op in enumerate(graph.ops):
        if op.kind not in WEIGHTED:
            continue
        lost = {}
        for bits in choices:
            changed = with_layer(graph, op, bits, options)
            found = [outputs_after(changed, i, part, output_step(ranges, op, bits)) for part in parts]
            lost[bits] = divergence(graph, expected, np.concatenate(found))
        yield Sensitivity(op.name, lost, {bits: bytes_at(graph, op, bits, options) for bits in choices})


def with_layer(graph: Graph, op: Op, bits: int, options: QuantizeOptions) -> Graph:
    """The float graph with a layer's weights as so many bits hold them."""
    tensor, axis = graph.tensors[op.inputs[1]], channel_axis(op.kind)
    w = rows_of(constant(tensor), axis)
    q, scale = quantize_rows(w, bits, np.zeros(len(w)), options.per_group)
    data = from_rows((q * scale[:, None]).astype(np.float32), tensor.shape, axis)
    return with_tensors(graph, {op.inputs[1]: replace(tensor, data=data)})


def output_step(ranges: Ranges, op: Op, bits: int) -> Any:
    """Rounds a layer's output to its integers and back."""
    dtype = "s16" if bits == 16 else "s8"
    low, high = (ranges.whole if bits == 16 else ranges.of)[op.outputs[0]]
    q = of_range(low, high if high > low else 1.0, dtype)

    def rounded(x: Array) -> Array:
        return real(nearest(x, q, dtype), q)

    return rounded


def outputs_after(graph: Graph, at: int, part: dict[int, Array], rounded: Any) -> Array:
    """The graph's first output for some rows whose values were `part`, op `at` and what depends on it computed anew."""
    n = len(part[graph.inputs[0]])
    wide = (batched(graph, n) if n > 1 else None) or graph
    values = part | {i: t.data for i, t in enumerate(graph.tensors) if t.data is not None}
    changed = set(graph.ops[at].outputs)
    values |= {
        t: rounded(v) for t, v in zip(wide.ops[at].outputs, computed(wide, wide.ops[at], values), strict=True)
    }
    for op in wide.ops[at + 1 :]:
        if changed.intersection(op.inputs):
            values |= zip(op.outputs, computed(wide, op, values), strict=True)
            changed.update(op.outputs)
    return values[graph.outputs[0]]


def divergence(graph: Graph, expected: Array, found: Array) -> float:
    """Mean Kullback-Leibler divergence in nats of two sets of outputs, logits taken as their softmax."""
    maker = graph.producers().get(graph.outputs[0])
    given = maker is not None and graph.ops[maker].kind == "softmax"
    p, q = (probabilities(v.reshape(len(v), -1).astype(np.float64), given) for v in (expected, found))
    return float((p * (np.log(p) - np.log(q))).sum(axis=1).mean())


def probabilities(x: Array, given: bool) -> Array:
    """Rows that sum to 1, none of them 0. A single output is one of two classes."""
    if x.shape[1] == 1:
        x, given = np.concatenate([x, np.zeros_like(x)], axis=1), False
    if not given:
        x = np.exp(x - x.max(axis=1, keepdims=True))
    x = np.maximum(x, 1e-6)
    return np.asarray(x / x.sum(axis=1, keepdims=True))


def bytes_at(graph: Graph, op: Op, bits: int, options: QuantizeOptions) -> int:
    """Of a layer's weights and bias, before it is quantized."""
    w = graph.tensors[op.inputs[1]]
    out_c = w.shape[channel_axis(op.kind)]
    n, taps = int(np.prod(w.shape)), int(np.prod(w.shape)) // out_c
    bias = out_c * (8 if bits == 16 else 4)
    if bits != 4 or op.kind == "depthwise_conv_2d":
        return n + bias
    factors = out_c * -(-taps // GROUP) if options.per_group and taps > GROUP else 0
    return -(-n // 2) + factors + bias
