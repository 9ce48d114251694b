"""Interval analysis: the least and the greatest value that each element of each activation can take."""

from __future__ import annotations

import itertools
import math

import numpy as np

from offramp.ir import DTYPES, Graph, Op, Tensor
from offramp.ops import OPS
from offramp.ops.conv_2d import padding_of
from offramp.ops.gemm import Requantization, bias_of, im2col, requantization
from offramp.ops.mean import multiplier_of
from offramp.ops.op import Array, constant, present

Bounds = tuple[Array, Array]  # both shaped and typed as the tensor, least <= greatest

EIGHT_BITS = ("s8", "u8")
TABLES = ("relu", "relu6", "leaky_relu", "hard_swish", "logistic", "tanh", "quantize", "table")
# No input may rise and the output fall, or the reverse for sub's second input.
MONOTONE = (
    *("average_pool_2d", "max_pool_2d", "mean", "add", "resize_nearest_neighbor", "resize_bilinear"),
    *("reshape", "transpose", "pad", "concatenation", "split", "strided_slice"),
)


def bounds(graph: Graph) -> dict[int, Bounds]:
    """Of every 8-bit tensor with a value: constants, graph inputs, results of ops."""
    known: dict[int, Bounds] = {}
    for i, t in enumerate(graph.tensors):
        if t.data is not None and t.dtype in EIGHT_BITS:
            known[i] = (t.data, t.data)
    for i in graph.inputs:
        if graph.tensors[i].dtype in EIGHT_BITS:
            known[i] = full_range(graph.tensors[i])
    for op in graph.ops:
        outputs = [graph.tensors[i] for i in op.outputs]
        if all(t.dtype in EIGHT_BITS for t in outputs):
            known.update(zip(op.outputs, op_bounds(graph, op, outputs, known), strict=True))
    return known


def full_range(t: Tensor, low: int = -128, high: int = 127) -> Bounds:
    if t.dtype == "u8":
        low, high = 0, 255
    dtype = DTYPES[t.dtype]
    return np.full(t.shape, low, dtype), np.full(t.shape, high, dtype)


def op_bounds(graph: Graph, op: Op, outputs: list[Tensor], known: dict[int, Bounds]) -> list[Bounds]:
    inputs = [graph.tensors[i] if i >= 0 else None for i in op.inputs]
    if op.inputs and op.inputs[0] in known:
        if op.kind in ("conv_2d", "depthwise_conv_2d", "fully_connected"):
            return [weighted(op, inputs, outputs[0], known[op.inputs[0]])]
        if all(i in known for i in op.inputs):
            found = elementwise(op, inputs, outputs, [known[i] for i in op.inputs])
            if found is not None:
                return found
    return [full_range(t) for t in outputs]


def elementwise(
    op: Op, inputs: list[Tensor | None], outputs: list[Tensor], given: list[Bounds]
) -> list[Bounds] | None:
    """For ops without weights; None where nothing is known."""

    def at(values: list[Array]) -> list[Array]:
        return OPS[op.kind].reference(op.attributes, inputs, outputs, list(values))

    lows, highs = [low for low, _ in given], [high for _, high in given]
    if op.kind in TABLES:
        return [table_bounds(table_of(op, present(inputs[0]), outputs[0]), given[0])]
    if op.kind == "mean" and mean_wraps(op, present(inputs[0]), outputs[0]):
        return None
    if op.kind in MONOTONE:
        return list(zip(at(lows), at(highs), strict=True))
    if op.kind == "sub":
        return [(at([lows[0], highs[1]])[0], at([highs[0], lows[1]])[0])]
    if op.kind == "mul":
        corners = [at([a, b])[0] for a, b in itertools.product(*given)]
        return [(np.minimum.reduce(corners), np.maximum.reduce(corners))]
    if all(np.array_equal(low, high) for low, high in given):
        return [(value, value) for value in at(lows)]
    return None


def table_of(op: Op, x: Tensor, out: Tensor) -> Array:
    """A pointwise op's values for the 256 input values, in rising order of the input."""
    low, high = (0, 255) if x.dtype == "u8" else (-128, 127)
    values = np.arange(low, high + 1).astype(DTYPES[x.dtype])
    return OPS[op.kind].reference(op.attributes, [x], [out], [values])[0]


def table_bounds(table: Array, given: Bounds) -> Bounds:
    """Least and greatest entry between the entries of the bounds."""
    base = 0 if given[0].dtype == np.uint8 else -128
    first, last = (b.astype(np.int64) - base for b in given)
    low, high = np.empty(first.shape, table.dtype), np.empty(first.shape, table.dtype)
    for start in np.unique(first):
        here = first == start
        low[here] = np.minimum.accumulate(table[start:])[last[here] - start]
        high[here] = np.maximum.accumulate(table[start:])[last[here] - start]
    return low, high


def mean_wraps(op: Op, x: Tensor, out: Tensor) -> bool:
    """Whether an int32 of the operator could overflow, so that it would not be monotone."""
    count = math.prod(x.shape[i] for i in op.attributes.axes)
    _, shift = multiplier_of(x, out, count)
    return bool((255 * count) << max(shift, 0) >= 1 << 30)


def weighted(op: Op, inputs: list[Tensor | None], out: Tensor, given: Bounds) -> Bounds:
    """For convolutions and fully connected: accumulators first, then their requantization."""
    x, weights = present(inputs[0]), present(inputs[1])
    r = requantization(x, weights, out, op.attributes.activation)
    low, high = accumulators(op, inputs, out, given)
    channels = (1,) * (low.ndim - 1) + (-1,)
    fixed = is_monotone(r, low, high).reshape(channels)
    at_low, at_high = r(np.where(fixed, low, 0)), r(np.where(fixed, high, 0))
    return (
        np.where(fixed, at_low, np.int8(r.act_min)).reshape(out.shape),
        np.where(fixed, at_high, np.int8(r.act_max)).reshape(out.shape),
    )


def is_monotone(r: Requantization, low: Array, high: Array) -> Array:
    """For each channel, whether no int32 overflows between two accumulators, so that their order is kept."""
    axes = tuple(range(low.ndim - 1))
    most = np.maximum(np.abs(low), np.abs(high)).max(axis=axes)
    inside: Array = (most << np.maximum(r.shift, 0)) < (1 << 31) - 256
    inside &= r.multiplier >= 0
    return inside


def accumulators(op: Op, inputs: list[Tensor | None], out: Tensor, given: Bounds) -> Bounds:
    """Least and greatest int64 accumulator of each output, channels last."""
    x, weights = present(inputs[0]), present(inputs[1])
    bias = inputs[2] if len(inputs) > 2 else None
    zero = x.quant.zero_point
    w = constant(weights).astype(np.float64)
    # Twice the sums: of middles, and of half widths times |w|. Floats below 2^53 are exact.
    middle, width = (
        (given[0].astype(np.float64) + given[1] - 2 * zero),
        given[1].astype(np.float64) - given[0],
    )
    if op.kind == "fully_connected":
        middle, width = middle.reshape(-1, w.shape[1]), width.reshape(-1, w.shape[1])
        centre, spread = middle @ w.T, width @ np.abs(w).T
        bias_c = bias_of(bias, w.shape[0])
    else:
        pad = padding_of(op.attributes, x, weights, out)
        size = weights.shape[1], weights.shape[2]
        spots = out.shape[1], out.shape[2]
        middle, width = (im2col(v, size, spots, pad, op.attributes, 0) for v in (middle, width))
        product = per_channel if op.kind == "depthwise_conv_2d" else grouped
        centre, spread = product(middle, w), product(width, np.abs(w))
        bias_c = bias_of(bias, out.shape[3])
    low, high = (centre - spread) / 2, (centre + spread) / 2
    return low.astype(np.int64) + bias_c, high.astype(np.int64) + bias_c


def per_channel(columns: Array, w: Array) -> Array:
    """Depthwise: columns [n, h, w, taps, c] by weights [1, kh, kw, out_c]."""
    taps, c = columns.shape[3:]
    by_input = w.reshape(taps, c, -1)
    found: Array = np.einsum("nhwtc,tcm->nhwcm", columns, by_input).reshape(*columns.shape[:3], -1)
    return found


def grouped(columns: Array, w: Array) -> Array:
    """Convolution: columns [n, h, w, taps, c] by weights [out_c, kh, kw, c / groups]."""
    out_c, group_c = w.shape[0], w.shape[3]
    groups = columns.shape[4] // group_c
    by_group = w.reshape(groups, out_c // groups, -1, group_c)
    parts = [
        np.tensordot(columns[..., g * group_c : (g + 1) * group_c], by_group[g], axes=([3, 4], [1, 2]))
        for g in range(groups)
    ]
    return np.concatenate(parts, axis=-1)
