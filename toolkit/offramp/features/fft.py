"""Fourier transforms of real frames in integers, as the device computes them: int16 with fixed halving, int32 exact."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
ONE = 32767  # of a 16-bit factor


def twiddles(n: int, count: int, half_turns: float = 0.0) -> Array:
    """int16[count, 2]: exp(-2j pi (i / n + half_turns / 2)) times 32767, rounded half up."""
    phase = -2 * np.pi * np.arange(count) / n - np.pi * half_turns
    found: Array = np.floor(0.5 + ONE * np.stack([np.cos(phase), np.sin(phase)], axis=-1))
    return found.astype(np.int16)


def cosines(n: int) -> Array:
    """int16[n]: of a whole turn; entry k + n / 4 is the sine's negative. All that the device's transform reads."""
    table = twiddles(n, n)
    assert np.array_equal(table[:, 1], np.roll(table[:, 0], -(n // 4)))
    return table[:, 0]


def rounded(x: Array) -> Array:
    """Bits 15 to 30 of a product of two 16-bit numbers, rounded half up and wrapped to int16."""
    return ((x + (1 << 14)) >> 15).astype(np.int16).astype(np.int64)


def wrapped(x: Array) -> Array:
    """To int16 as its arithmetic overflows; int64 again."""
    return x.astype(np.int16).astype(np.int64)


def divided(x: Array, by: int) -> Array:
    """Times 32767 // by as a 16-bit factor, rounded."""
    return rounded(x * (ONE // by))


def times(a: Array, b: Array) -> Array:
    """Products of complex numbers whose last axis is (real, imaginary)."""
    real = rounded(a[..., 0] * b[..., 0] - a[..., 1] * b[..., 1])
    return np.stack([real, rounded(a[..., 0] * b[..., 1] + a[..., 1] * b[..., 0])], axis=-1)


def turned(x: Array) -> Array:
    """Times -1j."""
    return np.stack([x[..., 1], -x[..., 0]], axis=-1)


def complex_fft_s16(x: Array) -> Array:
    """[frames, n, 2] -> the same, n a power of 4: a quarter of the sum each stage, decimation in time."""
    frames, n, _ = x.shape
    if n == 1:
        return x
    parts = np.stack([complex_fft_s16(x[:, i::4]) for i in range(4)], axis=1)
    parts = divided(parts, 4)
    table = twiddles(n, n).astype(np.int64)
    index = np.arange(n // 4)
    a = parts[:, 0]
    b, c, d = (times(parts[:, i], table[i * index]) for i in (1, 2, 3))
    difference, even = wrapped(a - c), wrapped(a + c)
    odd, cross = wrapped(b + d), turned(wrapped(b - d))
    found = [even + odd, difference + cross, even - odd, difference - cross]
    return wrapped(np.stack(found, axis=1)).reshape(frames, n, 2)


def real_fft_s16(x: Array) -> Array:
    """int16[frames, n] -> int16 [frames, n / 2 + 1, 2]: 1 / n of the transform, n twice a power of 4."""
    frames, n = x.shape
    half = n // 2
    z = complex_fft_s16(x.astype(np.int64).reshape(frames, half, 2))
    z = divided(z, 2)
    k = np.arange(1, half // 2 + 1)
    here, there = z[:, k], z[:, half - k] * np.array([1, -1])
    total, difference = wrapped(here + there), wrapped(here - there)
    turn = times(difference, twiddles(n, half // 2 + 1, 0.5)[1:].astype(np.int64))
    out = np.zeros((frames, half + 1, 2), np.int64)
    out[:, half - k] = (total - turn) >> 1
    out[:, half - k, 1] = (turn - total)[..., 1] >> 1
    out[:, k] = (total + turn) >> 1
    out[:, 0, 0], out[:, half, 0] = z[:, 0, 0] + z[:, 0, 1], z[:, 0, 0] - z[:, 0, 1]
    return wrapped(out)


TURN_BITS = 30


def cosines_s32(n: int) -> Array:
    """int32[n]: of a whole turn, 2^30 is one; entry k + n / 4 is the sine's negative."""
    found: Array = np.floor(0.5 + (1 << TURN_BITS) * np.cos(2 * np.pi * np.arange(n) / n))
    return found.astype(np.int32)


def turned_by(x: Array, angles: Array, n: int) -> Array:
    """Products with exp(-2j pi angle / n); 32 bits times 32 bits, rounded half up."""
    table = cosines_s32(n).astype(np.int64)
    re, im = table[angles % n], table[(angles + n // 4) % n]
    half = 1 << (TURN_BITS - 1)
    real = (x[..., 0] * re - x[..., 1] * im + half) >> TURN_BITS
    return np.stack([real, (x[..., 0] * im + x[..., 1] * re + half) >> TURN_BITS], axis=-1)


def complex_fft_s32(x: Array) -> Array:
    """[frames, n, 2] -> the same, n a power of 2: half of the sum each stage, rounded half up."""
    frames, n, _ = x.shape
    if n == 1:
        return x
    even, odd = complex_fft_s32(x[:, ::2]), complex_fft_s32(x[:, 1::2])
    odd = turned_by(odd, 2 * np.arange(n // 2), 2 * n)
    found: Array = np.stack([even + odd + 1, even - odd + 1], axis=1).reshape(frames, n, 2) >> 1
    return found


def real_fft_s32(x: Array) -> Array:
    """[frames, n] of 31 bits -> [frames, n / 2, 2]: 1 / n of the transform, Nyquist's bin left out."""
    frames, n = x.shape
    half = n // 2
    z = complex_fft_s32(x.astype(np.int64).reshape(frames, half, 2))
    k = np.arange(half)
    here, there = z, z[:, -k] * np.array([1, -1])
    turn = turned_by((here - there + 1) >> 1, k + n // 4, n)
    found: Array = (((here + there + 1) >> 1) + turn + 1) >> 1
    return found
