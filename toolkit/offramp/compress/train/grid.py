"""Which integers a layer's weights may become: the scales of compress.weights, kept while training goes on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from offramp.compress.weights import (
    GROUP,
    LIMIT,
    channel_axis,
    factors_of,
    quantize_binary,
    quantize_rows,
    rows_of,
)
from offramp.ir import Graph, Op
from offramp.ops.op import Array, constant


@dataclass(frozen=True)
class Grid:
    """Of weights [channels, taps]: integers = factors * clip(round(w / scales / factors), low, high)."""

    scales: Array  # float32 [channels], or [1]: one for all
    factors: Array | None  # [channels, taps], 1 to 15; None: all 1
    low: int
    high: int


def grid_of(
    rows: Array, bits: int, least: Array, per_group: bool, one_scale: bool, unit: float = 1.0
) -> Grid:
    """The grid that `quantize` gives these weights; `least` bounds each channel's scale from below.

    One bit stands for a binary layer, whose scales depend on its input's, `unit`.
    """
    if bits == 1:
        return Grid(quantize_binary(rows, unit, least)[1], None, -1, 1)
    low, high = LIMIT[bits]
    if one_scale:
        return Grid(quantize_rows(rows.reshape(1, -1), bits, least.max(keepdims=True))[1], None, low, high)
    q, scales = quantize_rows(rows, bits, least, per_group)
    grouped = bits == 4 and per_group and rows.shape[1] > GROUP
    return Grid(scales, factors_of(q) if grouped else None, low, high)


def grid_from(graph: Graph, op: Op, bits: int) -> Grid:
    """The grid on which a layer's integers lie."""
    weights = graph.tensors[op.inputs[1]]
    q = rows_of(constant(weights), channel_axis(op.kind))
    low, high = (-1, 1) if bits == 1 else LIMIT[bits]
    factors = None
    if bits == 4 and (q.min() < low or q.max() > high):
        factors = factors_of(q)
    if bits != 4:
        low, high = min(low, int(q.min())), max(high, int(q.max()))
    return Grid(np.array(weights.quant.scales, np.float32), factors, low, high)
