"""ADD and SUB, int8: both inputs brought to a common scale at 20 bits more, then requantized."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from offramp.ir import Op, Tensor
from offramp.ops import broadcast
from offramp.ops.fixed_point import activation_range, multiply_by_quantized_multiplier, quantize_multiplier
from offramp.ops.op import Array, Kernel, OpType, Params, Shape, ShapeError, Step, present

PARAMS = Params(
    "add",
    [
        *broadcast.FIELDS,
        ("multiplier", "s32[3]"),  # of a, b and the output
        ("shift", "s32[3]"),  # right, 0 to 31
        ("zero_point", "s16[3]"),
        ("act_min", "s16"),
        ("act_max", "s16"),
        ("subtract", "u16"),  # 1: a - b
    ],
)
KERNEL = Kernel("generic", "add", 0x0106, 1, PARAMS, in_place=3)
LEFT_SHIFT = 20


@dataclass(frozen=True)
class Add:
    """Of add and sub."""

    activation: str = "none"


def shapes(a: Add, inputs: list[Tensor | None]) -> list[Shape]:
    return broadcast.shapes_of(inputs)


def multipliers(a: Tensor, b: Tensor, out: Tensor) -> list[tuple[int, int]]:
    """(multiplier, shift <= 0) of a, b and the output."""
    twice_max = 2 * max(float(a.quant.scale), float(b.quant.scale))
    ratio = twice_max / ((1 << LEFT_SHIFT) * float(out.quant.scale))
    if ratio >= 1:
        raise ShapeError(f"output scale {out.quant.scale:g} is too small for inputs of {twice_max / 2:g}")
    return [quantize_multiplier(r) for r in (a.quant.scale / twice_max, b.quant.scale / twice_max, ratio)]


def reference_of(
    sign: int, a: Add, inputs: list[Tensor | None], outputs: list[Tensor], values: list[Array | None]
) -> list[Array]:
    left, right, out = present(inputs[0]), present(inputs[1]), outputs[0]
    of_left, of_right, of_out = multipliers(left, right, out)

    def scaled(i: int, tensor: Tensor, m: tuple[int, int]) -> Array:
        value = values[i]
        assert value is not None
        centred = value.astype(np.int64) - tensor.quant.zero_point
        return multiply_by_quantized_multiplier(centred << LEFT_SHIFT, *m)

    total = scaled(0, left, of_left) + sign * scaled(1, right, of_right)
    q = multiply_by_quantized_multiplier(total, *of_out) + out.quant.zero_point
    return [
        np.clip(q, *activation_range(a.activation, out.quant.scale, out.quant.zero_point)).astype(np.int8)
    ]


def steps_of(subtract: int, op: Op, inputs: list[Tensor | None], outputs: list[Tensor]) -> list[Step] | None:
    left, right, out = present(inputs[0]), present(inputs[1]), outputs[0]
    axes = broadcast.collapse(left.shape, right.shape)
    if axes is None:
        return None
    scalings = multipliers(left, right, out)
    low, high = activation_range(op.attributes.activation, out.quant.scale, out.quant.zero_point)
    params = PARAMS.pack(
        **axes,
        multiplier=[multiplier for multiplier, _ in scalings],
        shift=[-shift for _, shift in scalings],
        zero_point=[t.quant.zero_point for t in (left, right, out)],
        act_min=low,
        act_max=high,
        subtract=subtract,
    )
    return [Step(KERNEL, op.inputs, op.outputs, params)]


ADD = OpType(
    "add", Add, shapes, lambda a, i, o, v: reference_of(1, a, i, o, v), lambda op, i, o: steps_of(0, op, i, o)
)
SUB = OpType(
    "sub",
    Add,
    shapes,
    lambda a, i, o, v: reference_of(-1, a, i, o, v),
    lambda op, i, o: steps_of(1, op, i, o),
)
