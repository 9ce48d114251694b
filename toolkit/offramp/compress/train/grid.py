"""Which integers a layer's weights may become: the scales of compress.weights, kept while training goes on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from offramp.compress.weights import GROUP, LIMIT, MOST_FACTOR, quantize_binary, quantize_rows
from offramp.ops.op import Array


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
    scales = quantize_rows(rows, bits, least, per_group)[1]
    grouped = bits == 4 and per_group and rows.shape[1] > GROUP
    return Grid(scales, factors_of(rows / scales[:, None]) if grouped else None, low, high)


def factors_of(x: Array) -> Array:
    """The factor of each run of GROUP values in a row that gives the least squared error, one a value."""
    channels, taps = x.shape
    parts = np.pad(x.astype(np.float64), ((0, 0), (0, -taps % GROUP))).reshape(channels, -1, GROUP)
    factors = np.arange(1, MOST_FACTOR + 1)
    errors = [((m * np.clip(np.rint(parts / m), -8, 7) - parts) ** 2).sum(axis=2) for m in factors]
    best = factors[np.argmin(errors, axis=0)]
    return np.repeat(best, GROUP, axis=1)[:, :taps]
