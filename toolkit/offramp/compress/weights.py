"""Weights to integers: int8 by the specification, int4 with the least squared error, int4 with a factor a group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from offramp.ir import DTYPES, Quantization, Tensor
from offramp.ops import compressed
from offramp.ops.compressed import MOST_MULTIPLIER, RUN, fits_nibbles

Array = NDArray[Any]

GROUP, MOST_FACTOR = RUN, MOST_MULTIPLIER  # taps that share a factor, which is 1 to this
MOST_BIAS = (1 << 31) - 1
LIMIT = {8: (-127, 127), 16: (-127, 127), 4: (-8, 7)}  # by a layer's bits; int8 is narrow by specification
RATIOS = np.linspace(0.4, 1.15, 76)  # of a scale without clipping, tried at 4 bits


def channel_axis(kind: str) -> int:
    """The axis of a layer's weights that counts its outputs."""
    return 3 if kind == "depthwise_conv_2d" else 0


def rows_of(w: Array, axis: int) -> Array:
    """Weights as [channels, taps]."""
    return np.moveaxis(w, axis, 0).reshape(w.shape[axis], -1)


def from_rows(rows: Array, shape: tuple[int, ...], axis: int) -> Array:
    moved = (shape[axis], *(n for i, n in enumerate(shape) if i != axis))
    return np.ascontiguousarray(np.moveaxis(rows.reshape(moved), 0, axis))


def quantize_rows(w: Array, bits: int, least: Array, per_group: bool = False) -> tuple[Array, Array]:
    """Weights [channels, taps] -> (int8 of that shape, float32 scales [channels]), each scale at least `least`."""
    w = w.astype(np.float64)
    if bits != 4:
        scale = at_least(np.abs(w).max(axis=1) / 127, least)
        return rounded(w, scale, bits), scale
    if per_group and w.shape[1] > GROUP:
        return grouped(w, least)
    return clipped(w, least)


def quantize_binary(w: Array, unit: float, least: Array) -> tuple[Array, Array]:
    """Signs, int8 1 or -1, of weights [channels, taps], and scales [channels] with which scale * `unit` is their mean.

    `unit` is the input's scale: a binary layer's sums count ones, not steps of its input.
    """
    scale = at_least(np.abs(w.astype(np.float64)).mean(axis=1) / unit, least)
    return np.where(w >= 0, 1, -1).astype(np.int8), scale


def at_least(scale: Array, least: Array) -> Array:
    """float32 scales above 0; channels without weights take the largest of the others."""
    scale = np.maximum(scale, least)
    found: Array = np.where(scale > 0, scale, scale.max() or 1.0).astype(np.float32)
    return found


def rounded(w: Array, scale: Array, bits: int) -> Array:
    found: Array = np.clip(np.rint(w / scale[:, None]), *LIMIT[bits]).astype(np.int8)
    return found


def clipped(w: Array, least: Array) -> tuple[Array, Array]:
    """int4 weights whose scale gives the least squared error of each channel."""
    whole = np.maximum(w.max(axis=1) / 7, -w.min(axis=1) / 8)
    scales = [at_least(whole * ratio, least) for ratio in RATIOS]
    errors = [((rounded(w, s, 4) * s[:, None] - w) ** 2).sum(axis=1) for s in scales]
    best = np.argmin(errors, axis=0)
    scale = np.stack(scales)[best, np.arange(len(w))]
    return rounded(w, scale, 4), scale


def grouped(w: Array, least: Array) -> tuple[Array, Array]:
    """Weights m * v: v in [-8, 7] and m in 1..15 for each run of GROUP taps, of the least squared error."""
    channels, taps = w.shape
    parts = in_groups(w)
    whole = np.maximum(parts.max(axis=2) / 7, -parts.min(axis=2) / 8).max(axis=1) / MOST_FACTOR
    best = np.full(channels, np.inf)
    q, scale = np.zeros(parts.shape, np.int8), np.ones(channels, np.float32)
    for ratio in RATIOS[::3]:
        tried = at_least(whole * ratio, least)
        found, error = with_factors(parts / tried[:, None, None])
        error *= tried.astype(np.float64) ** 2
        better = error < best
        q[better], scale[better], best[better] = found[better], tried[better], error[better]
    return q.reshape(channels, -1)[:, :taps], scale


def with_factors(x: Array) -> tuple[Array, Array]:
    """Integers nearest to x [channels, groups, GROUP], each group with a factor; each channel's squared error.

    Of equally good factors the least is taken, so that `factors_of` finds it again.
    """
    best, q = np.full(x.shape[:2], np.inf), np.zeros(x.shape, np.int8)
    for m in range(1, MOST_FACTOR + 1):
        found = m * np.clip(np.rint(x / m), -8, 7)
        error = ((found - x) ** 2).sum(axis=2)
        better = error < best
        q[better], best[better] = found[better], error[better]
    return q, best.sum(axis=1)


def factors_of(q: Array) -> Array:
    """The factor of each int4 weight, int64 [channels, taps]: the least that its run of taps can have."""
    parts = compressed.grouped(q)
    assert parts is not None, "weights of 4 bits"
    return parts.of_taps()


def integer_bias(bias: Tensor, x: Tensor, scales: Sequence[float] | Array) -> Tensor:
    """A real bias in units of the products of input `x` and weights: int32, or int64 where x is int16."""
    assert bias.data is not None
    dtype = "s64" if x.dtype == "s16" else "s32"
    units = np.float32(x.quant.scale) * np.array(scales, np.float32)
    steps = np.rint(bias.data.reshape(-1).astype(np.float64) / units)
    data = np.clip(steps, -MOST_BIAS, MOST_BIAS).astype(DTYPES[dtype]).reshape(bias.shape)
    q = Quantization(tuple(map(float, units)), (0,) * len(units), 0 if len(units) > 1 else None)
    return replace(bias, dtype=dtype, quantization=q, data=data)


def remembered(weights: Tensor, axis: int) -> tuple[Array, Array] | None:
    """Integers and scales [channels] of a tensor whose values are still those of its remembered scales; else None."""
    q = weights.quantization
    if q is None or weights.data is None or any(q.zero_points):
        return None
    scale = np.broadcast_to(np.array(q.scales, np.float32), weights.shape[axis])
    steps = rows_of(weights.data.astype(np.float64), axis) / scale[:, None]
    if np.abs(steps - np.rint(steps)).max(initial=0) > 1e-3 or np.abs(steps).max(initial=0) > 128.01:
        return None
    return np.rint(steps).astype(np.int8), scale


def fits(q: Array, bits: int, per_group: bool) -> bool:
    """Whether int8 weights [channels, taps] are ones that a layer of so many bits may have."""
    if bits != 4:
        return True  # -128 too: some converters write it
    return fits_nibbles(q) or (per_group and compressed.grouped(q) is not None)


def in_groups(w: Array) -> Array:
    """[channels, taps] -> [channels, groups, GROUP], the last of each channel filled with zeros."""
    return np.pad(w, ((0, 0), (0, -w.shape[1] % GROUP))).reshape(len(w), -1, GROUP)
