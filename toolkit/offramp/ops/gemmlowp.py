"""gemmlowp's fixed-point exponential, reciprocal, logistic and tanh, as the int8 specification uses them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from offramp.ops.fixed_point import (
    INT32_MAX,
    INT32_MIN,
    Ints,
    doubling_high_mul,
    rounding_divide_by_pot,
)

# (exponent, exp(-2^exponent) as Q0.31)
EXP_OF_POT = (
    (-2, 1672461947),
    (-1, 1302514674),
    (0, 790015084),
    (1, 290630308),
    (2, 39332535),
    (3, 720401),
    (4, 242),
)


def exp_on_negative_values(x: Ints, integer_bits: int) -> Ints:
    """exp of x <= 0 with so many integer bits, as Q0.31."""
    fraction_bits = 31 - integer_bits
    quarter = np.int64(1) << (fraction_bits - 2)
    mod = (x & (quarter - 1)) - quarter  # in [-1/4, 0)
    result = exp_on_quarter(mod << integer_bits)
    remainder = mod - x
    for exponent, multiplier in EXP_OF_POT:
        if integer_bits > exponent:
            mask = np.int64(1) << (fraction_bits + exponent)
            result = np.where(remainder & mask, doubling_high_mul(result, multiplier), result)
    return np.where(x == 0, INT32_MAX, result)


def exp_on_quarter(a: Ints) -> Ints:
    """exp_on_interval_between_negative_one_quarter_and_0_excl, Q0.31."""
    x = a + (1 << 28)
    x2 = doubling_high_mul(x, x)
    x3 = doubling_high_mul(x2, x)
    x4 = doubling_high_mul(x2, x2)
    x4_over_4 = rounding_divide_by_pot(x4, 2)
    inner = rounding_divide_by_pot(doubling_high_mul(x4_over_4 + x3, 715827883) + x2, 1)
    return np.minimum(1895147668 + doubling_high_mul(x + inner, 1895147668), INT32_MAX)


def saturate(x: NDArray[np.int64]) -> Ints:
    return np.clip(x, INT32_MIN, INT32_MAX)


def two_over_one_plus(x: Ints) -> Ints:
    """2 / (1 + x) as Q2.29 for x in Q0.31 of [0, 1]: three Newton steps from 48/17 - 32/17 d."""
    half_denominator = (x + INT32_MAX + 1) >> 1  # RoundingHalfSum(x, One)
    value = 1515870810 + doubling_high_mul(half_denominator, -1010580540)
    for _ in range(3):
        error = (1 << 29) - doubling_high_mul(half_denominator, value)
        value = value + saturate(doubling_high_mul(value, error) << 2)
    return value


def one_over_one_plus(x: Ints) -> Ints:
    """1 / (1 + x), Q0.31."""
    return saturate(two_over_one_plus(x) << 1)


def logistic(x: Ints) -> Ints:
    """1 / (1 + exp(-x)) as Q0.31 for x in Q4.27."""
    positive = one_over_one_plus(exp_on_negative_values(-np.abs(x), 4))
    return np.where(x == 0, 1 << 30, np.where(x > 0, positive, INT32_MAX - positive))


def tanh(x: Ints) -> Ints:
    """tanh as Q0.31 for x in Q4.27: -x twice is exp's Q5.26 under the same bits."""
    positive = saturate((two_over_one_plus(exp_on_negative_values(-np.abs(x), 5)) - (1 << 29)) << 2)
    return np.where(x == 0, 0, np.where(x > 0, positive, -positive))
