"""RELU, RELU6, LEAKY_RELU, HARD_SWISH, LOGISTIC and TANH: tables on int8; on int16 lines and one table of all.

On int16, LOGISTIC and TANH have an output scale of 1/32768, and HARD_SWISH is not specified.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import numpy as np

from offramp.ir import Op, Tensor
from offramp.ops.fixed_point import (
    activation_range,
    multiply_by_quantized_multiplier,
    quantize_multiplier,
    rounding_divide_by_pot,
)
from offramp.ops.gemmlowp import logistic, tanh
from offramp.ops.op import Array, NoAttributes, ShapeError, Step
from offramp.ops.rescale import EXACT, rescale_step
from offramp.ops.sigmoid import sigmoid as interpolated
from offramp.ops.sigmoid import sigmoid_step
from offramp.ops.table import pointwise

INTEGER_BITS = 4  # logistic and tanh compute in Q4.27


@dataclass(frozen=True)
class LeakyRelu:
    alpha: float


def relu(a: NoAttributes, x: Tensor, out: Tensor, values: Array) -> Array:
    multiplier, shift = quantize_multiplier(float(x.quant.scale) / float(out.quant.scale))
    scaled = multiply_by_quantized_multiplier(values - x.quant.zero_point, multiplier, shift)
    return np.clip(scaled + out.quant.zero_point, *range_of("relu", out))


def range_of(activation: str, t: Tensor) -> tuple[int, int]:
    return activation_range(activation, t.quant.scale, t.quant.zero_point, t.dtype)


def relu_s16(op: Op, x: Tensor, out: Tensor) -> Step:
    scaling = quantize_multiplier(float(x.quant.scale) / float(out.quant.scale))
    return rescale_step(op, x, out, scaling, scaling, range_of("relu", out))


def relu6(a: NoAttributes, x: Tensor, out: Tensor, values: Array) -> Array:
    """Clamps in the input's integers: the specification gives input and output one quantization."""
    return np.clip(values, *range_of("relu6", x))


def relu6_s16(op: Op, x: Tensor, out: Tensor) -> Step:
    return rescale_step(op, x, x, EXACT, EXACT, range_of("relu6", x))


def leaky_relu(a: LeakyRelu, x: Tensor, out: Tensor, values: Array) -> Array:
    below, above = slopes(a, x, out)
    centred = values - x.quant.zero_point
    positive = multiply_by_quantized_multiplier(centred, *above)
    negative = multiply_by_quantized_multiplier(centred, *below)
    return np.where(centred >= 0, positive, negative) + out.quant.zero_point


def slopes(a: LeakyRelu, x: Tensor, out: Tensor) -> tuple[tuple[int, int], tuple[int, int]]:
    """(multiplier, shift) below zero and above."""
    scale, out_scale = float(x.quant.scale), float(out.quant.scale)
    below = quantize_multiplier(scale * float(np.float32(a.alpha)) / out_scale)
    return below, quantize_multiplier(scale / out_scale)


def leaky_relu_s16(op: Op, x: Tensor, out: Tensor) -> Step:
    return rescale_step(op, x, out, *slopes(op.attributes, x, out), range_of("none", out))


def hard_swish(a: NoAttributes, x: Tensor, out: Tensor, values: Array) -> Array:
    """x * relu6(x + 3) / 6 in 16-bit fixed point; names as in the specification's reference."""
    f32 = np.float32
    hires_scale = float(f32(1 / 128) * f32(x.quant.scale))
    multiplier, exponent = multiplier16(hires_scale / float(f32(out.quant.scale)))
    if exponent > 0:
        raise ShapeError(
            f"input scale {x.quant.scale:g} is over 128 times the output scale {out.quant.scale:g}"
        )
    relu_multiplier, relu_exponent = multiplier16(hires_scale / (3 / 32768))
    hires = (values - x.quant.zero_point) << 7
    preshift = high_mul16(hires, multiplier)
    reluish = hires
    if relu_exponent > 0:
        reluish = saturate16(reluish << (relu_exponent - 1))
    reluish = high_mul16(reluish, relu_multiplier)
    if relu_exponent > 0:
        reluish = saturate16(reluish << 1)
    else:
        reluish = rounding_divide_by_pot(reluish, -relu_exponent)
    gate = (reluish + (1 << 15)) >> 1  # relu6(x + 3) / 6 as Q0.15
    product = gate * preshift
    product = np.minimum(
        np.sign(product) * (np.abs(product) >> 15), 32767
    )  # truncates, as the reference does
    return rounding_divide_by_pot(product, -exponent) + out.quant.zero_point


def multiplier16(real: float) -> tuple[int, int]:
    multiplier, exponent = quantize_multiplier(real)
    return min((multiplier + (1 << 15)) >> 16, 32767), exponent


def high_mul16(a: Array, b: int) -> Array:
    """SaturatingRoundingDoublingHighMul of int16 values."""
    return saturate16((a * b + (1 << 14)) >> 15)


def saturate16(x: Array) -> Array:
    return np.clip(x, -32768, 32767)


def sigmoid(a: NoAttributes, x: Tensor, out: Tensor, values: Array) -> Array:
    """LOGISTIC; the specification fixes the output to scale 1/256, zero point -128; int16: 1/32768, 0."""
    if x.dtype == "s16":
        return interpolated(x, out, values, is_tanh=False)
    centred, raw, inside = in_q4(x, values)
    found = rounding_divide_by_pot(logistic(raw), 31 - 8) - 128
    return np.where(inside, found, np.where(centred > 0, 127, -128))


def hyperbolic_tangent(a: NoAttributes, x: Tensor, out: Tensor, values: Array) -> Array:
    """TANH; the specification fixes the output to scale 1/128, zero point 0; int16: 1/32768, 0."""
    if x.dtype == "s16":
        return interpolated(x, out, values, is_tanh=True)
    centred, raw, inside = in_q4(x, values)
    found = rounding_divide_by_pot(tanh(raw), 31 - 7)
    return np.where(inside, found, np.where(centred > 0, 127, -128))


def in_q4(x: Tensor, values: Array) -> tuple[Array, Array, Array]:
    """Values less the zero point, the same in Q4.27, and where that is below the saturation radius."""
    multiplier, shift = quantize_multiplier(float(x.quant.scale) * (1 << (31 - INTEGER_BITS)))
    radius = math.floor(((1 << INTEGER_BITS) - 1) * (1 << (31 - INTEGER_BITS)) / 2.0**shift)
    centred = values - x.quant.zero_point
    inside = np.abs(centred) < radius
    raw = multiply_by_quantized_multiplier(np.where(inside, centred, 0), multiplier, shift)
    return centred, raw, inside


RELU = pointwise("relu", NoAttributes, relu, s16=relu_s16)
RELU6 = pointwise("relu6", NoAttributes, relu6, s16=relu6_s16)
LEAKY_RELU = pointwise("leaky_relu", LeakyRelu, leaky_relu, s16=leaky_relu_s16)
HARD_SWISH = pointwise("hard_swish", NoAttributes, hard_swish)
LOGISTIC = pointwise("logistic", NoAttributes, sigmoid, s16=partial(sigmoid_step, is_tanh=False))
TANH = pointwise("tanh", NoAttributes, hyperbolic_tangent, s16=partial(sigmoid_step, is_tanh=True))
