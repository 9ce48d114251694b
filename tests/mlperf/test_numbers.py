"""The integers of MLPerf Tiny's results against exact fractions and Python's own formatting."""

from __future__ import annotations

import ctypes
import math
import struct
import subprocess
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offramp import boards, resources
from offramp.blob.read import Port
from offramp.build.mlperf import scale_parts, us_per_tick
from offramp.errors import UserError

SOURCE = """
#include "mlperf_numbers.h"
#define SCALE (struct mlperf_scale){m, s, z}
int64_t thousandths(int32_t q, uint32_t m, uint32_t s, int32_t z) { return mlperf_thousandths(q, SCALE); }
int32_t quantize(uint32_t bits, uint32_t m, uint32_t s, int32_t z) { return mlperf_quantize(bits, SCALE); }
uint64_t square(int32_t q, uint32_t m, uint32_t s, int32_t z, uint32_t bits) { return mlperf_square(q, SCALE, bits); }
int64_t mean(uint64_t sum, uint32_t n) { return mlperf_mean(sum, n); }
"""
SCALES = st.floats(2.0**-39, 8191, width=32)
INT8 = st.integers(-128, 127)
FINITE = st.floats(width=32, allow_nan=False, allow_infinity=False)
MANY = settings(max_examples=400, derandomize=True, deadline=None)


@pytest.fixture(scope="module")
def c(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    folder = tmp_path_factory.mktemp("numbers")
    (folder / "numbers.c").write_text(SOURCE)
    app = resources.root() / "firmware" / "app"
    flags = ["-std=c11", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-fsanitize=undefined"]
    flags += ["-fno-sanitize-recover=all", "-Wno-missing-prototypes", f"-I{app}"]
    subprocess.run(["gcc", *flags, folder / "numbers.c", "-o", folder / "numbers.so"], check=True)
    library = ctypes.CDLL(str(folder / "numbers.so"))
    library.thousandths.restype = library.mean.restype = ctypes.c_int64
    library.square.restype = ctypes.c_uint64
    library.square.argtypes = [
        ctypes.c_int32,
        ctypes.c_uint32,
        ctypes.c_uint32,
        ctypes.c_int32,
        ctypes.c_uint32,
    ]
    library.mean.argtypes = [ctypes.c_uint64, ctypes.c_uint32]
    return library


def parts(scale: float) -> tuple[int, int]:
    return scale_parts(Port("x", (1,), "s8", 1, "arena", scale, 0))


def bits_of(value: float) -> int:
    return int(struct.unpack("<I", struct.pack("<f", value))[0])


def quantized(x: Fraction, scale: float, zero: int) -> int:
    """To the nearest, halves away from zero, clamped."""
    size = math.floor(abs(x) / Fraction(scale) + Fraction(1, 2))
    return min(127, max(-128, (size if x >= 0 else -size) + zero))


@given(scale=SCALES)
@MANY
def test_scales_are_exact(scale: float) -> None:
    mantissa, shift = parts(scale)
    assert Fraction(mantissa, 2**shift) == Fraction(scale)
    assert 2**23 <= mantissa < 2**24
    assert 10 < shift <= 62


@pytest.mark.parametrize("scale", [0.0, 2.0**-40, 8192.0, math.inf, math.nan, -0.5, 0.1])
def test_scales_out_of_range_are_refused(scale: float) -> None:
    with pytest.raises(UserError, match="scale"):
        parts(scale)


def test_every_score_as_printf(c: ctypes.CDLL) -> None:
    """Of a softmax, ties among them: 1/16 is 0.062."""
    for q in range(-128, 128):
        assert c.thousandths(q, *parts(1 / 256), -128) == round(1000 * float(f"{(q + 128) / 256:.3f}"))


@given(q=INT8, zero=INT8, scale=SCALES)
@MANY
def test_thousandths_as_printf(c: ctypes.CDLL, q: int, zero: int, scale: float) -> None:
    expected = f"{scale * (q - zero):.3f}"  # the product is exact in double
    assert c.thousandths(q, *parts(scale), zero) == Fraction(expected) * 1000


@given(x=FINITE, zero=INT8, scale=SCALES)
@MANY
def test_quantize(c: ctypes.CDLL, x: float, zero: int, scale: float) -> None:
    x = 0.0 if abs(x) < 2.0**-126 else x
    assert c.quantize(bits_of(x), *parts(scale), zero) == quantized(Fraction(x), scale, zero)


@given(steps=st.integers(-600, 600), near=st.integers(-2, 2), zero=INT8, scale=SCALES)
@MANY
def test_quantize_around_halves(c: ctypes.CDLL, steps: int, near: int, zero: int, scale: float) -> None:
    half = bits_of(np.float32(scale) * np.float32(steps / 2))
    [x] = struct.unpack("<f", struct.pack("<I", half + near if half & 0x7FFFFFFF > 4 else half))
    assert c.quantize(bits_of(x), *parts(scale), zero) == quantized(Fraction(x), scale, zero)


@given(bits=st.integers(0, 2**32 - 1), q=INT8, zero=INT8, scale=SCALES)
@MANY
def test_any_bits_are_harmless(c: ctypes.CDLL, bits: int, q: int, zero: int, scale: float) -> None:
    """NaN and infinities too: int8, and squares of which 1,023 fit a sum."""
    assert -128 <= c.quantize(bits, *parts(scale), zero) <= 127
    assert 0 <= c.square(q, *parts(scale), zero, bits) <= 2**54


@given(x=FINITE, q=INT8, zero=INT8, scale=SCALES)
@MANY
def test_square(c: ctypes.CDLL, x: float, q: int, zero: int, scale: float) -> None:
    """The difference is right to 2^-16, up to 2048."""
    y = Fraction(scale) * (q - zero)
    found = math.isqrt(c.square(q, *parts(scale), zero, bits_of(x)))
    low, high = (max(-2048, min(2048, v)) for v in (y, Fraction(x)))
    expected = min(Fraction(2048), abs(low - high)) * 2**16
    assert abs(found - expected) <= 1


def mean_square(c: ctypes.CDLL, x: Sequence[float], q: Sequence[int], scale: float, zero: int) -> int:
    sums = sum(c.square(int(b), *parts(scale), zero, bits_of(a)) for a, b in zip(x, q, strict=True))
    return int(c.mean(sums, len(x)))


@pytest.mark.parametrize("seed", range(20))
def test_mean_square_of_a_spectrum(c: ctypes.CDLL, seed: int) -> None:
    """Of what ad01 holds, decibels: the third place is right to one unit."""
    rng = np.random.default_rng(seed)
    x = rng.normal(-20, 15, 640).astype(np.float32)
    scale, zero = float(np.float32(0.39 + seed / 50)), int(rng.integers(-30, 120))
    q = np.clip(np.round(x / scale + rng.normal(0, 5, 640)) + zero, -128, 127).astype(int)
    exact = np.mean((scale * (q - zero) - x.astype(np.float64)) ** 2)
    assert abs(mean_square(c, x.tolist(), q.tolist(), scale, zero) / 1000 - exact) <= 0.001


def test_the_largest_sum_fits(c: ctypes.CDLL) -> None:
    assert c.mean(1023 * 2**54, 1023) == 2048**2 * 1000


def test_ticks() -> None:
    """One instruction a cycle where QEMU counts, a cycle a tick on hardware."""
    assert us_per_tick(boards.load("mps2_an386")) * 32 == Fraction(5, 25)
    assert us_per_tick(boards.load("nucleo_f446re")) == Fraction(1, 16)
    assert us_per_tick(boards.load("posix")) == 0
    for name in boards.names():
        us = us_per_tick(boards.load(name))
        assert us.numerator < 2**20 and us.denominator < 2**20, name  # products fit 64 bits
