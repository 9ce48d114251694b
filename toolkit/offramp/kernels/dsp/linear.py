"""Requantization after a ReLU as one multiplication, with numbers that are shown to give the same bits.

Where no output lies below the zero point, gemmlowp's two roundings are a staircase over the accumulator, evenly
spaced but for rounding. So is (fraction * acc + offset) * multiplier >> shift, and the host solves for an offset and a
multiplier whose every step lies between the same two accumulators.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from offramp.kernels.dsp.requantize import Channels
from offramp.ops.gemm import Requantization
from offramp.ops.op import Array

ROUNDS = 48  # of the search; two thirds of the range stay in each
FAR = 1 << 62


@dataclass(frozen=True)
class Form:
    """One way of writing it: the shift, and whether there is a second offset, in the product's high word.

    The first is as fine as a sum's unit. Where that is too coarse, the two together are finer, like a vernier.
    """

    shift: int
    more: tuple[int, ...] = (0,)  # that are tried


USUAL = Form(43)  # OFR_DSP_LINEAR_SHIFT of linear.h, and the 32 bits below the product's high word
INT4_FORM = Form(37, tuple(sorted(range(-500, 501), key=abs)))


@dataclass(frozen=True)
class Linear:
    """By output channel: out = saturate(((fraction * acc + offset) * multiplier + (more << 32)) >> shift)."""

    offset: Array
    multiplier: Array
    more: Array


def linear(c: Channels, r: Requantization, fraction: Array, form: Form = USUAL) -> Linear | None:
    """None where outputs lie below the zero point, or a channel has no such numbers."""
    shift = form.shift
    fixed = c.multiplier == 0
    down = c.exponent + np.log2(fraction).astype(np.int64) + 31 - shift
    if r.act_min < r.zero_point or (down[~fixed] < 0).any():
        return None
    steps = steps_of(c, r, fixed, fraction, shift)
    multiplier = closest(steps, np.where(fixed, 1 << 30, c.multiplier / 2.0**down))
    more = np.zeros_like(multiplier)
    least, greatest = steps.offsets(multiplier, more)
    for other in form.more[1:]:
        missing = least > greatest
        if not missing.any():
            break
        more = np.where(missing, other, more)
        least, greatest = steps.offsets(multiplier, more)
    offset = np.clip(0, least, greatest)
    sums = fraction * np.stack([c.lowest, c.highest]) + offset
    if (least > greatest).any() or (multiplier >= 1 << 31).any() or (abs(sums) >= 1 << 31).any():
        return None
    return Linear(offset, multiplier, more)


def fractions(c: Channels, zero_point: int, least: int, most: int | Array) -> Array:
    """By how much each channel's weights are scaled: powers of two, so that sums and offset stay below 2^31."""
    reach = np.maximum(abs(c.lowest), abs(c.highest)) + ((abs(zero_point) + 1) << (c.exponent + 1))
    bits = 30 - np.ceil(np.log2(reach + 1)).astype(np.int64)
    found: Array = 1 << bits.clip(least.bit_length() - 1, np.log2(most).astype(np.int64))
    return found


@dataclass(frozen=True)
class Steps:
    """Where the staircase rises: the first accumulator of each channel that gives each output, [out_c, n]."""

    outputs: Array  # [n]; the activation's least is not among them
    first: Array  # one above the highest where no accumulator gives the output
    is_reached: Array  # [out_c, n]: by an accumulator; and whether one is left below
    is_missed: Array
    fraction: Array  # [out_c, 1]
    shift: int

    def offsets(self, multiplier: Array, more: Array) -> tuple[Array, Array]:
        """(least, greatest) offset of each channel with which its multiplier rises at the same accumulators."""
        product = (self.outputs << self.shift) - (more << 32)[:, None]
        wanted = -(-product // multiplier[:, None]) - self.fraction * self.first
        least = np.where(self.is_reached, wanted, -FAR).max(axis=1, initial=-FAR)
        greatest = np.where(self.is_missed, wanted + self.fraction - 1, FAR).min(axis=1, initial=FAR)
        return least, greatest


def steps_of(c: Channels, r: Requantization, fixed: Array, fraction: Array, shift: int) -> Steps:
    outputs = np.arange(r.act_min + 1, r.act_max + 1)
    lowest, highest, e = c.lowest[:, None], c.highest[:, None], c.exponent[:, None]
    # The first accumulator whose rounded product is (output - zero point - 1/2) * 2^e.
    product = ((2 * (outputs - r.zero_point) - 1) << e) - 1
    first = -(-(product << 30) // np.where(fixed, 1, c.multiplier)[:, None])
    constant = np.where(outputs > c.offset[:, None] >> 1, highest + 1, lowest)
    first = np.where(fixed[:, None], constant, first).clip(lowest, highest + 1)
    return Steps(outputs, first, first <= highest, first > lowest, fraction[:, None], shift)


def closest(steps: Steps, first: Array) -> Array:
    """For each channel the multiplier near `first` that leaves most room for the offset.

    The room is concave in 1 / multiplier: a search by thirds finds its maximum.
    """
    rises = (steps.fraction * steps.first).astype(np.float64)

    def room(distance: Array) -> Array:
        at = steps.outputs * distance[:, None] - rises
        least = np.where(steps.is_reached, at, -np.inf).max(axis=1, initial=-np.inf)
        greatest = np.where(steps.is_missed, at, np.inf).min(axis=1, initial=np.inf)
        found: Array = greatest - least
        return found

    exact = 2.0**steps.shift / first
    low, high = exact * (1 - 1e-4), exact * (1 + 1e-4)
    for _ in range(ROUNDS):
        third = (high - low) / 3
        better = room(low + third) < room(high - third)
        low, high = np.where(better, low + third, low), np.where(better, high, high - third)
    found: Array = np.rint(2.0**steps.shift / low).astype(np.int64)
    return found
