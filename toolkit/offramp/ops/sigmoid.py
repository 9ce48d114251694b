"""LOGISTIC and TANH on int16: TensorFlow Lite's interpolation in a table of 256 values of the logistic function."""

from __future__ import annotations

import math
from functools import cache

import numpy as np

from offramp.ir import Op, Tensor
from offramp.ops.op import Array, Kernel, Params, ShapeError, Step, block

PARAMS = Params("sigmoid_s16", [("multiplier", "s32"), ("shift", "u16"), ("is_tanh", "u16")])
KERNEL = Kernel(
    "generic",
    "sigmoid_s16",
    0x0148,
    1,
    PARAMS,
    in_place=1,
    tables="u16 logistic[256]: 2^16 / (1 + exp(-i / 24)), raised between its chords",
    group="int16",
)
INTEGER_BITS = 3  # an input scale of 2^-12 covers [-8, 8]
OUT_SCALE = 2.0**-15


@cache
def logistic_table() -> Array:
    """Of i / 24 in units of 2^-16, raised by half of what a chord between two entries lacks in its middle.

    The last entry is the value of all beyond.
    """
    curve = 65536 / (1 + np.exp(-np.arange(-1, 257) / 24))
    raised = curve[1:-1] - (curve[2:] - 2 * curve[1:-1] + curve[:-2]) / 16
    return np.append(np.floor(raised[:-1] + 0.5), 65535).astype(np.int64)


def log2_of(scale: float) -> tuple[int, bool]:
    """The nearest power of two, and whether the specification takes the scale for it."""
    exact = math.log2(scale)
    return round(exact), abs(exact - round(exact)) < 1e-3


def scaling_of(x: Tensor, out: Tensor, is_tanh: bool) -> tuple[int, int]:
    """(multiplier, right shift) from the input to units of 1 / (3 * 4096), that is 2^17 for 10.7."""
    if log2_of(out.quant.scale) != (-15, True):
        raise ShapeError(f"output scale {out.quant.scale:g}, 1/32768 is needed for int16")
    log2, is_power = log2_of(x.quant.scale)
    left = 15 - INTEGER_BITS + log2
    if is_power and left in ((0, 1) if is_tanh else (0,)):
        return 3 << left, 0
    multiplier, right = float(x.quant.scale) * 4096 * 3, 0
    if multiplier > 32767:
        raise ShapeError(f"input scale {x.quant.scale:g}, int16 allows up to 2.66")
    while multiplier <= 32767 / 2 and right <= 30:
        multiplier, right = multiplier * 2, right + 1
    return int(multiplier), right


def sigmoid(x: Tensor, out: Tensor, values: Array, is_tanh: bool) -> Array:
    """The specification's result for int64 values; tanh(x) = 2 * logistic(2 x) - 1."""
    multiplier, right = scaling_of(x, out, is_tanh)
    scaled = (values * multiplier + ((1 << right) >> 1)) >> right
    size, bits = np.abs(scaled), 8 if is_tanh else 9
    index = np.minimum(size >> bits, 254)
    table = logistic_table()
    found = (table[index] << bits) + (size & ((1 << bits) - 1)) * (table[index + 1] - table[index])
    if is_tanh:
        found = np.where(size >> bits >= 255, 0xFFFF << 8, found)
        half = np.where(scaled >= 0, found - (1 << 23) + 128, -found + (1 << 23) + 127)
        return np.asarray(half >> 8)
    found = np.where(size >> bits >= 255, 0x7FFF << 10, found)
    return np.asarray(np.where(scaled >= 0, found + 512, (1 << 25) - found + 511) >> 10)


def sigmoid_step(op: Op, x: Tensor, out: Tensor, is_tanh: bool) -> Step:
    multiplier, right = scaling_of(x, out, is_tanh)
    params = PARAMS.pack(multiplier=multiplier, shift=right, is_tanh=int(is_tanh))
    return Step(KERNEL, op.inputs, op.outputs, block(params, logistic_table().astype(np.uint16)))
