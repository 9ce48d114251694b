"""Fixed-point arithmetic of TensorFlow Lite's int8 specification: gemmlowp's double rounding, in numpy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
INT32_MAX = (1 << 31) - 1
INT32_MIN = -(1 << 31)


def quantize_multiplier(real: float) -> tuple[int, int]:
    """real ~ multiplier * 2^(shift - 31); multiplier in [2^30, 2^31) with real's sign, or (0, 0) below 2^-32."""
    if real == 0.0:
        return 0, 0
    mantissa, shift = math.frexp(real)
    multiplier = int(math.copysign(math.floor(abs(mantissa) * (1 << 31) + 0.5), mantissa))
    if multiplier == 1 << 31:
        multiplier, shift = multiplier // 2, shift + 1
    if shift < -31:
        return 0, 0
    return multiplier, shift


def wrap32(x: NDArray[Any]) -> Ints:
    """The value an int32 register would hold."""
    return x.astype(np.int64).astype(np.int32).astype(np.int64)


def doubling_high_mul(a: NDArray[Any], b: NDArray[Any] | int) -> Ints:
    """SaturatingRoundingDoublingHighMul: (a * b * 2) >> 32 rounded, for int32 values."""
    a64 = np.asarray(a, np.int64)
    b64 = np.asarray(b, np.int64)
    product = (a64 * b64 + (1 << 30)) >> 31
    return np.minimum(product, INT32_MAX)


def rounding_divide_by_pot(x: NDArray[Any], exponent: NDArray[Any] | int) -> Ints:
    """x / 2^exponent, halves away from zero."""
    x64 = np.asarray(x, np.int64)
    e = np.asarray(exponent, np.int64)
    mask = (np.int64(1) << e) - 1
    threshold = (mask >> 1) + (x64 < 0)
    return np.asarray((x64 >> e) + ((x64 & mask) > threshold), np.int64)


def multiply_by_quantized_multiplier(
    x: NDArray[Any], multiplier: NDArray[Any] | int, shift: NDArray[Any] | int
) -> Ints:
    """x * multiplier * 2^(shift - 31) with both of gemmlowp's roundings; x is int32."""
    s = np.asarray(shift, np.int64)
    left, right = np.maximum(s, 0), np.maximum(-s, 0)
    shifted = wrap32(np.asarray(x, np.int64) << left)
    return rounding_divide_by_pot(doubling_high_mul(shifted, multiplier), right)


def reduced(multiplier: NDArray[Any] | int) -> Ints:
    """The 16 bits of a multiplier that int64 accumulators are multiplied by."""
    return np.minimum((np.asarray(multiplier, np.int64) + (1 << 15)) >> 16, 0x7FFF)


def multiply_wide(x: NDArray[Any], multiplier: NDArray[Any] | int, shift: NDArray[Any] | int) -> Ints:
    """x * multiplier * 2^(shift - 31) of the 16x8 specification: |x| < 2^47, shift < 8, halves round up."""
    right = 15 - np.asarray(shift, np.int64)
    return wrap32((np.asarray(x, np.int64) * reduced(multiplier) + (np.int64(1) << (right - 1))) >> right)


def activation_range(activation: str, scale: float, zero_point: int, dtype: str = "s8") -> tuple[int, int]:
    """Clamp bounds of a fused activation in the output's integers."""
    low, high = (0, 255) if dtype == "u8" else (-128, 127) if dtype == "s8" else (-32768, 32767)
    f32 = np.float32

    def quantized(value: float) -> int:
        ratio = float(f32(value) / f32(scale))
        return zero_point + int(math.copysign(math.floor(abs(ratio) + 0.5), ratio))

    if activation == "relu":
        return max(low, quantized(0.0)), high
    if activation == "relu6":
        return max(low, quantized(0.0)), min(high, quantized(6.0))
    if activation == "relu_n1_to_1":
        return max(low, quantized(-1.0)), min(high, quantized(1.0))
    return low, high
