"""The rescale kernel: functions of one value, int8 or int16 to either, that are a line below zero and one above."""

from __future__ import annotations

from offramp.ir import Op, Tensor
from offramp.ops.op import Kernel, Params, Step

PARAMS = Params(
    "rescale",
    [
        ("multiplier", "s32[2]"),  # of values below the input's zero point, and of the others
        ("shift", "s32[2]"),
        ("in_zero_point", "s16"),
        ("out_zero_point", "s16"),
        ("act_min", "s16"),
        ("act_max", "s16"),
    ],
)
KERNEL = Kernel("generic", "rescale", 0x0149, 1, PARAMS, in_place=1, group="int16")
EXACT = (1 << 30, 1)  # a multiplier and shift that change nothing


def rescale_step(
    op: Op, x: Tensor, out: Tensor, below: tuple[int, int], above: tuple[int, int], clamp: tuple[int, int]
) -> Step:
    """A step with a (multiplier, shift) for each side of zero."""
    params = PARAMS.pack(
        multiplier=[below[0], above[0]],
        shift=[below[1], above[1]],
        in_zero_point=x.quant.zero_point,
        out_zero_point=out.quant.zero_point,
        act_min=clamp[0],
        act_max=clamp[1],
    )
    return Step(KERNEL, op.inputs, op.outputs, params, overlaps=1 if x.dtype == out.dtype else 0)
