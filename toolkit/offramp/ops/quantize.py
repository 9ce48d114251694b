"""QUANTIZE between integer types: another scale, zero point, signedness or width. Floats never reach the device."""

from __future__ import annotations

from offramp.ir import Op, Tensor
from offramp.ops.fixed_point import activation_range, multiply_by_quantized_multiplier, quantize_multiplier
from offramp.ops.op import Array, NoAttributes, Step
from offramp.ops.rescale import rescale_step
from offramp.ops.table import pointwise


def requantize(a: NoAttributes, x: Tensor, out: Tensor, values: Array) -> Array:
    scaled = multiply_by_quantized_multiplier(values - x.quant.zero_point, *scaling_of(x, out))
    return scaled + out.quant.zero_point


def scaling_of(x: Tensor, out: Tensor) -> tuple[int, int]:
    return quantize_multiplier(float(x.quant.scale) / float(out.quant.scale))


def step_s16(op: Op, x: Tensor, out: Tensor) -> Step | None:
    """To and from int8 or int16 alone: the specification has no such step for uint8."""
    if "u8" in (x.dtype, out.dtype):
        return None
    scaling = scaling_of(x, out)
    return rescale_step(op, x, out, scaling, scaling, activation_range("none", 1.0, 0, out.dtype))


OP = pointwise("quantize", NoAttributes, requantize, ("s8", "u8"), step_s16)
