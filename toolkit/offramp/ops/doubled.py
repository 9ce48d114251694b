"""Layers whose accumulators may be doubled: the short requantization of firmware/src/doubled.h, and who may use it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from offramp.ops.gemm import Requantization
from offramp.ops.op import Array

LOW, HIGH = -128, 127  # of int8 inputs
LARGEST = 1 << 28  # accumulator; above, what Armv6-M multiplies by halves would overflow
MAX_SHIFT = 23  # the zero point is added before the shift


@dataclass(frozen=True)
class Doubled:
    """What such a layer stores."""

    weights: Array  # int8 [out_c, k]
    bias: Array  # int32 [out_c], twice the folded bias
    scale: Array  # int32 [m, 2]: multiplier and right shift; m is out_c, or 1 where all are equal


def doubled(weights: Array, bias: Array, r: Requantization) -> Doubled | None:
    """A layer's constants, `bias` with the input zero point folded in; None where a precondition fails.

    They are: every |accumulator| < 2^28 and 1 <= right shift <= 23. Channels whose output is the same for all
    inputs often break them; they are replaced by ones that do not.
    """
    w, bias = weights.astype(np.int64), bias.astype(np.int64).copy()
    out_c = len(w)
    multiplier = np.broadcast_to(r.multiplier, out_c).astype(np.int64)
    shift = np.broadcast_to(r.shift, out_c).astype(np.int64)
    low = bias + np.minimum(w * LOW, w * HIGH).sum(axis=1)
    high = bias + np.maximum(w * LOW, w * HIGH).sum(axis=1)
    at_ends = Requantization(multiplier, shift, r.zero_point, r.act_min, r.act_max)
    fixed = (at_ends(low) == at_ends(high)) & (np.maximum(-low, high) < 1 << 31) & (multiplier >= 0)
    fixed &= np.maximum(-low, high) << np.maximum(shift, 0) < 1 << 31
    value = at_ends(low).astype(np.int64)
    w = np.where(fixed[:, None], 0, w)
    bias = np.where(fixed, 4 * (value - r.zero_point), bias)  # * 2^30 / 2^31 / 2^1: the value itself
    multiplier = np.where(fixed, 1 << 30, multiplier)
    shift = np.where(fixed, -1, shift)
    largest = np.where(fixed, np.abs(bias), np.maximum(-low, high))
    if (
        (largest >= LARGEST).any()
        or (multiplier < 0).any()
        or (shift > -1).any()
        or (shift < -MAX_SHIFT).any()
    ):
        return None
    scale = np.stack([multiplier, -shift], axis=1)
    if (scale == scale[0]).all():
        scale = scale[:1]
    return Doubled(w.astype(np.int8), (2 * bias).astype(np.int32), scale.astype(np.int32))
