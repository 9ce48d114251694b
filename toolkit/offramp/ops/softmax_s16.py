"""SOFTMAX on int16 over the last axis: TensorFlow Lite's interpolation in two tables of 513 values.

Output scale 1/32768, zero point 0.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np

from offramp.ir import Op, Tensor
from offramp.ops.fixed_point import multiply_by_quantized_multiplier, quantize_multiplier
from offramp.ops.op import Array, Kernel, Params, ShapeError, Step, block, elements

PARAMS = Params("softmax_s16", [("depth", "u32"), ("rows", "u32"), ("multiplier", "s32"), ("shift", "s32")])
KERNEL = Kernel(
    "generic",
    "softmax_s16",
    0x0147,
    1,
    PARAMS,
    in_place=1,
    tables="s16 exponential[513], of [-10, 0], 2 zero bytes, s16 reciprocal[513], of 1 + [0, 1], both Q0.15",
    work=lambda n: {"rows": n["rows"], "elements": n["elements"]},
    group="int16",
)
LONGEST = 65536  # values in a row whose exponentials cannot overflow the sum
STEPS = 512


def interpolation_table(function: Callable[[Array], Array], low: float, high: float) -> Array:
    """513 values, Q0.15, that halve the error in the middle of each step: in float32, as the specification."""
    f32 = np.float32
    step = f32(f32(high) - f32(low)) / f32(STEPS)
    at = f32(low) + np.arange(STEPS + 1, dtype=f32) * step

    def scaled(x: Array) -> Array:
        return np.asarray(function(x).astype(f32) * f32(32768))

    values = rounded(scaled(at))
    between = rounded((scaled(at[1:]) + values[:-1]) / f32(2))
    bias = rounded((between - rounded(scaled(at[:-1] + step / f32(2)))) / f32(2))
    table = np.append(values[:-1] - bias, rounded(scaled(np.array([high], f32))))
    return np.clip(table, -32768, 32767).astype(np.int64)


def rounded(x: Array) -> Array:
    return np.asarray(np.copysign(np.floor(np.abs(x) + np.float32(0.5)), x), np.float32)


@cache
def tables() -> tuple[Array, Array]:
    def exponential(x: Array) -> Array:
        return np.asarray(np.exp(x.astype(np.float64)))

    def reciprocal(x: Array) -> Array:
        return np.asarray(np.float32(1) / (np.float32(1) + x))

    return interpolation_table(exponential, -10.0, 0.0), interpolation_table(reciprocal, 0.0, 1.0)


def looked_up(x: Array, table: Array) -> Array:
    """Of int16 values that span a table's range."""
    index = 256 + (x >> 7)
    return np.asarray(table[index] + (((table[index + 1] - table[index]) * (x & 127) + 64) >> 7))


def scaling_of(beta: float, x: Tensor, out: Tensor) -> tuple[int, int]:
    """(multiplier, shift): differences of inputs to a range of 65535 for [-10, 0]."""
    if abs(out.quant.scale * 32768 - 1) > 1e-3:
        raise ShapeError(f"output scale {out.quant.scale:g}, 1/32768 is needed for int16")
    return quantize_multiplier(float(x.quant.scale) * float(np.float32(beta)) / (10.0 / 65535.0))


def reference(beta: float, x: Tensor, out: Tensor, values: Array) -> Array:
    exponential, reciprocal = tables()
    rows = values.reshape(-1, x.shape[-1]).astype(np.int64)
    difference = rows - rows.max(axis=1, keepdims=True)
    scaled = multiply_by_quantized_multiplier(difference, *scaling_of(beta, x, out))
    exps = looked_up(np.clip(scaled + 32767, -32768, 32767), exponential)
    total = exps.sum(axis=1, keepdims=True)
    headroom = np.array([[32 - int(n).bit_length()] for n in total[:, 0]], np.int64)  # leading zeros
    shifted = ((total << (headroom - 1)) + (1 << 13)) >> 14
    scale = looked_up(np.clip(shifted - (1 << 15) - (1 << 16), -32768, 32767), reciprocal)
    right = 31 - headroom
    found = (exps * scale + (np.int64(1) << (right - 1))) >> right
    return np.asarray(np.clip(found, 0, 32767), np.int16).reshape(x.shape)


def step(beta: float, op: Op, x: Tensor, out: Tensor) -> Step:
    multiplier, shift = scaling_of(beta, x, out)
    depth = x.shape[-1]
    params = PARAMS.pack(depth=depth, rows=elements(x.shape) // depth, multiplier=multiplier, shift=shift)
    return Step(KERNEL, op.inputs, op.outputs, block(params, *(t.astype(np.int16) for t in tables())))
