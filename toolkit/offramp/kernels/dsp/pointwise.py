"""Operators without weights of the dsp set: add and average pooling."""

from __future__ import annotations

import numpy as np

from offramp.ir import Op, Tensor
from offramp.kernels.dsp.requantize import MAX_EXPONENT
from offramp.ops import add, pool_2d
from offramp.ops.fixed_point import activation_range, multiply_by_quantized_multiplier
from offramp.ops.op import Kernel, Params, Step, block, present
from offramp.ops.work import Windows

ADD_PARAMS = Params(
    "dsp_add",
    [
        ("multiplier", "s32"),
        ("offset", "s32"),
        ("exponent", "u32"),
        ("act_min", "s16"),
        ("act_max", "s16"),
    ],
)
ADD = Kernel("dsp", "add", 0x0307, 1, ADD_PARAMS, in_place=3)
AVERAGE = Kernel("dsp", "average_pool_2d", 0x0308, 1, pool_2d.AVERAGE.params, work=Windows(4))
KERNELS = (ADD, AVERAGE)

EXACT = (1 << 30, 0)  # multiplier and shift of the input with the larger scale: a half
MAX_POOL_TAPS = 255


def lower_add(op: Op, inputs: list[Tensor | None], outputs: list[Tensor]) -> Step | None:
    """One input at half its scale is a shift; the other goes through a table."""
    pair, out = [present(t) for t in inputs], outputs[0]
    *scales, (multiplier, shift) = add.multipliers(pair[0], pair[1], out)
    if pair[0].shape != pair[1].shape or EXACT not in scales or not 1 <= -shift <= MAX_EXPONENT:
        return None
    exact = scales.index(EXACT)
    other, offset = pair[1 - exact], pair[exact].quant.zero_point << add.LEFT_SHIFT
    values = np.arange(256, dtype=np.uint8).view(np.int8).astype(np.int64) - other.quant.zero_point
    table = 2 * multiply_by_quantized_multiplier(values << add.LEFT_SHIFT, *scales[1 - exact]) - offset
    low, high = activation_range(op.attributes.activation, out.quant.scale, out.quant.zero_point)
    params = ADD_PARAMS.pack(
        multiplier=multiplier,
        offset=(1 << -shift >> 1) + (out.quant.zero_point << -shift),
        exponent=-shift,
        act_min=low,
        act_max=high,
    )
    data = block(params, table.astype(np.int32))
    return Step(ADD, (op.inputs[exact], op.inputs[1 - exact]), op.outputs, data)


def lower_average(op: Op, inputs: list[Tensor | None], outputs: list[Tensor]) -> Step | None:
    a: pool_2d.Pool = op.attributes
    if a.filter_h * a.filter_w > MAX_POOL_TAPS:
        return None
    found = pool_2d.steps_of(AVERAGE, op, inputs, outputs)
    return found[0] if found else None
