"""How the set's kernels with weights scale their sums: two forms, and the layers that fit neither."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from offramp.ops.gemm import Requantization
from offramp.ops.op import Array, Kernel, Params, Work, elementwise


@dataclass(frozen=True)
class Scaling:
    """One of the two forms of firmware/kernels/mve/tile.h, relu or signed."""

    is_signed: int
    add: tuple[int, int]
    multiplier: Array  # int32[out_c]
    exponent: Array  # int32[out_c], -31 to 0: a right shift


def kernels(
    name: str, number: int, params: Params, in_place: int = 0, packing: int = 1, work: Work = elementwise
) -> tuple[Kernel, Kernel]:
    """One for each form: index with Scaling.is_signed."""
    return (
        Kernel("mve", name, 0x0400 + number, packing, params, in_place, work=work),
        Kernel("mve", f"{name}_signed", 0x0480 + number, packing, params, in_place, work=work),
    )


def scaling(r: Requantization, out_c: int) -> Scaling | None:
    """None where a shift is to the left or the clamp is neither a ReLU's nor int8's own."""
    multiplier = np.broadcast_to(r.multiplier, out_c).astype(np.int32)
    exponent = np.where(multiplier == 0, -1, np.broadcast_to(r.shift, out_c)).astype(np.int32)
    if exponent.max() > 0 or exponent.min() < -31 or multiplier.min() < 0:
        return None
    if r.act_min == r.zero_point:
        ceiling = r.act_max - r.act_min
        return Scaling(0, (0xFFFF - ceiling, (r.act_max + 1) & 0xFFFF), multiplier, exponent)
    if (r.act_min, r.act_max) == (-128, 127) and exponent.max() < 0:  # halves: see requantize.h
        return Scaling(1, (r.zero_point & 0xFFFF, 0), multiplier, exponent)
    return None
