"""MUL, int8 or int16: one product of centred values, requantized."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from offramp.ir import DTYPES, Op, Tensor
from offramp.ops import broadcast
from offramp.ops.fixed_point import activation_range, multiply_by_quantized_multiplier, quantize_multiplier
from offramp.ops.op import Array, Kernel, OpType, Params, Shape, Step, present

PARAMS = Params(
    "mul",
    [
        *broadcast.FIELDS,
        ("multiplier", "s32"),
        ("shift", "s32"),
        ("zero_point", "s16[2]"),
        ("out_zero_point", "s16"),
        ("act_min", "s16"),
        ("act_max", "s16"),
    ],
)
KERNEL = Kernel("generic", "mul", 0x0107, 1, PARAMS, in_place=3, work=broadcast.work)
S16 = Kernel("generic", "mul_s16", 0x0145, 1, PARAMS, in_place=3, work=broadcast.work, group="int16")


@dataclass(frozen=True)
class Mul:
    activation: str = "none"


def shapes(a: Mul, inputs: list[Tensor | None]) -> list[Shape]:
    return broadcast.shapes_of(inputs)


def multiplier_of(a: Tensor, b: Tensor, out: Tensor) -> tuple[int, int]:
    return quantize_multiplier(float(a.quant.scale) * float(b.quant.scale) / float(out.quant.scale))


def reference(
    a: Mul, inputs: list[Tensor | None], outputs: list[Tensor], values: list[Array | None]
) -> list[Array]:
    left, right, out = present(inputs[0]), present(inputs[1]), outputs[0]
    assert values[0] is not None and values[1] is not None
    product = (values[0].astype(np.int64) - left.quant.zero_point) * (
        values[1].astype(np.int64) - right.quant.zero_point
    )
    q = multiply_by_quantized_multiplier(product, *multiplier_of(left, right, out)) + out.quant.zero_point
    low, high = activation_range(a.activation, out.quant.scale, out.quant.zero_point, out.dtype)
    return [np.clip(q, low, high).astype(DTYPES[out.dtype])]


def steps(op: Op, inputs: list[Tensor | None], outputs: list[Tensor]) -> list[Step] | None:
    left, right, out = present(inputs[0]), present(inputs[1]), outputs[0]
    axes = broadcast.collapse(left.shape, right.shape)
    if axes is None:
        return None
    multiplier, shift = multiplier_of(left, right, out)
    low, high = activation_range(op.attributes.activation, out.quant.scale, out.quant.zero_point, out.dtype)
    params = PARAMS.pack(
        **axes,
        multiplier=multiplier,
        shift=shift,
        zero_point=[left.quant.zero_point, right.quant.zero_point],
        out_zero_point=out.quant.zero_point,
        act_min=low,
        act_max=high,
    )
    return [Step(S16 if out.dtype == "s16" else KERNEL, op.inputs, op.outputs, params)]


OP = OpType("mul", Mul, shapes, reference, steps)
