"""QUANTIZE between 8-bit types: another scale, zero point or signedness. Floats never reach the device."""

from __future__ import annotations

from offramp.ir import Tensor
from offramp.ops.fixed_point import multiply_by_quantized_multiplier, quantize_multiplier
from offramp.ops.op import Array, NoAttributes
from offramp.ops.table import pointwise


def requantize(a: NoAttributes, x: Tensor, out: Tensor, values: Array) -> Array:
    multiplier, shift = quantize_multiplier(float(x.quant.scale) / float(out.quant.scale))
    scaled = multiply_by_quantized_multiplier(values - x.quant.zero_point, multiplier, shift)
    return scaled + out.quant.zero_point


OP = pointwise("quantize", NoAttributes, requantize, ("s8", "u8"))
