"""Requantization as one multiplication: equal to gemmlowp's two roundings for every accumulator of a channel."""

from __future__ import annotations

import numpy as np
import pytest

from offramp.kernels.dsp.linear import USUAL, linear
from offramp.kernels.dsp.requantize import channels
from offramp.ops.fixed_point import quantize_multiplier
from offramp.ops.gemm import Requantization

OUT_C = 32


def drawn(seed: int, taps: int, exponent: int, zero_point: int, act: tuple[int, int]) -> Requantization:
    rng = np.random.default_rng(seed)
    reals = 2.0**-exponent * rng.uniform(0.5, 1, OUT_C)
    multiplier, shift = np.array([quantize_multiplier(r) for r in reals], np.int64).T
    return Requantization(multiplier, shift, zero_point, *act)


@pytest.mark.parametrize("fraction", [256, 64])
@pytest.mark.parametrize(
    "zero_point, act", [(-128, (-128, 127)), (-128, (-128, 70)), (-5, (-5, 127)), (3, (3, 3))]
)
@pytest.mark.parametrize("taps, exponent", [(9, 5), (9, 8), (27, 8), (64, 9), (144, 9)])
def test_every_accumulator(
    taps: int, exponent: int, zero_point: int, act: tuple[int, int], fraction: int
) -> None:
    r = drawn(taps, taps, exponent, zero_point, act)
    rng = np.random.default_rng(exponent)
    weights, bias = rng.integers(-127, 128, (OUT_C, taps)), rng.integers(-3000, 3000, OUT_C)
    c = channels(weights, bias, -128, r, 1 << 23)
    assert c is not None
    found = linear(c, r, np.full(OUT_C, fraction))
    if fraction == 256:
        assert found is not None
    if found is not None:
        for first in range(int(c.lowest.min()), int(c.highest.max()) + 1, 1 << 14):
            acc = np.clip(np.arange(first, first + (1 << 14))[:, None], c.lowest, c.highest)
            sums = fraction * acc + found.offset
            assert (abs(sums) < 1 << 31).all()
            got = np.clip((sums * found.multiplier) >> USUAL.shift, -128, 127).clip(*act)
            np.testing.assert_array_equal(got, r(acc))


def test_outputs_below_the_zero_point_have_no_such_numbers() -> None:
    r = drawn(1, 9, 8, 3, (-128, 127))
    c = channels(np.ones((OUT_C, 9), np.int64) * 90, np.zeros(OUT_C, np.int64), 0, r, 1 << 23)
    assert c is not None
    assert linear(c, r, np.full(OUT_C, 256)) is None


def test_constant_channels_keep_their_value() -> None:
    r = drawn(2, 9, 8, -128, (-128, 127))
    c = channels(np.zeros((OUT_C, 9), np.int64), np.arange(OUT_C) * 2000, 0, r, 1 << 23)
    assert c is not None
    found = linear(c, r, np.full(OUT_C, 256))
    assert found is not None
    got = np.clip((found.offset * found.multiplier) >> USUAL.shift, -128, 127)
    np.testing.assert_array_equal(got, r(np.arange(OUT_C) * 2000))
