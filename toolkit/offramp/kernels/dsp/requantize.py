"""What the dsp kernels need of a layer's requantization: offsets and exponents, bounds, constant channels."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from offramp.ops.gemm import Requantization
from offramp.ops.op import Array
from offramp.ops.work import Numbers

MAX_EXPONENT = 23  # so that the zero point, shifted left by it, stays below 2^30


def clamped(n: Numbers) -> int:
    """Work: outputs that ofr_dsp_clamp touches."""
    return 0 if (n["act_min"], n["act_max"]) == (-128, 127) else int(n["elements"])


@dataclass(frozen=True)
class Channels:
    """A layer by output channel: weights [out_c, k], bias with the input's zero point folded in, M, c and e.

    out = saturate((high(2 acc * M) + c - (acc < 0)) >> e): see firmware/kernels/dsp/multiply.h.
    """

    weights: Array
    bias: Array
    lowest: Array  # accumulators, bias included
    highest: Array
    multiplier: Array
    offset: Array
    exponent: Array


def channels(weights: Array, bias: Array, zero_point: int, r: Requantization, bound: int) -> Channels | None:
    """None where a channel breaks a precondition: an accumulator of `bound` or more, an exponent outside [1, 23].

    A channel that gives one value whatever its input meets them by weights of 0.
    """
    weights = weights.astype(np.int64)
    out_c = len(weights)
    folded = bias - zero_point * weights.sum(axis=1)
    highest = folded + np.maximum(weights * 127, weights * -128).sum(axis=1)
    lowest = folded + np.minimum(weights * 127, weights * -128).sum(axis=1)
    multiplier, shift = (np.broadcast_to(t, out_c).astype(np.int64) for t in (r.multiplier, r.shift))
    most = np.maximum(abs(highest), abs(lowest))
    known = (shift < 31) & (most << np.clip(shift, 0, 30) < 1 << 31)  # nothing wraps
    per_channel = replace(r, multiplier=multiplier, shift=shift)
    value = per_channel(np.where(known, lowest, 0)).astype(np.int64)
    fixed = known & (per_channel(np.where(known, highest, 0)) == value)
    exponent = np.where(fixed, 1, -shift)
    fits = fixed | ((most < bound) & (exponent >= 1) & (exponent <= MAX_EXPONENT) & (multiplier >= 0))
    if not fits.all():
        return None
    return Channels(
        np.where(fixed[:, None], 0, weights),
        np.where(fixed, 0, folded),
        np.where(fixed, 0, lowest),
        np.where(fixed, 0, highest),
        np.where(fixed, 0, multiplier),
        np.where(fixed, value << 1, (1 << exponent >> 1) + (r.zero_point << exponent)),
        exponent,
    )
