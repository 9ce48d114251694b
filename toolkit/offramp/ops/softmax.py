"""SOFTMAX over the last axis. int8 to int8, scale 1/256 and zero point -128: gemmlowp's exponential as a table.

int16 to int16, scale 1/32768 and zero point 0: softmax_s16.py.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from offramp.ir import Op, Tensor
from offramp.ops import softmax_s16
from offramp.ops.fixed_point import (
    Ints,
    doubling_high_mul,
    multiply_by_quantized_multiplier,
    quantize_multiplier,
    rounding_divide_by_pot,
)
from offramp.ops.gemmlowp import exp_on_negative_values, one_over_one_plus
from offramp.ops.op import (
    Array,
    Kernel,
    OpType,
    Params,
    Shape,
    ShapeError,
    Step,
    block,
    elements,
    integers_only,
    present,
)

PARAMS = Params("softmax", [("depth", "u32"), ("rows", "u16"), ("entries", "u16")])


def work(n: Mapping[str, Any]) -> dict[str, int]:
    return {"rows": n["rows"], "elements": n["elements"]}


KERNEL = Kernel(
    "generic", "softmax", 0x0105, 1, PARAMS, in_place=1, tables="s32 exponential[entries], Q0.31", work=work
)
EXP_PARAMS = Params("softmax_exp", [*PARAMS.fields, ("multiplier", "s32"), ("shift", "s32")])
EXP = Kernel("generic", "softmax_exp", 0x0126, 1, EXP_PARAMS, in_place=1, work=work, group="compact")
DIFF_BITS = 5  # kScaledDiffIntegerBits: exp's input is Q5.26
SUM_BITS = 12  # kAccumulationIntegerBits: the sum is Q12.19
LONGEST = 4096  # values in a row whose exponentials cannot overflow the sum


@dataclass(frozen=True)
class Softmax:
    beta: float = 1.0


def shapes(a: Softmax, inputs: list[Tensor | None]) -> list[Shape]:
    integers_only(inputs[0])
    x = present(inputs[0])
    depth, longest = x.shape[-1], softmax_s16.LONGEST if x.dtype == "s16" else LONGEST
    if depth > longest:
        raise ShapeError(f"{depth} values in a row, at most {longest}")
    return [present(inputs[0]).shape]


def exp_scale(a: Softmax, x: Tensor) -> tuple[int, int, int]:
    """(multiplier, shift) from d to beta * scale * d as Q5.26, and from which d on the terms are 0."""
    scaled = min(float(np.float32(a.beta)) * float(x.quant.scale) * (1 << (31 - DIFF_BITS)), (1 << 31) - 1.0)
    multiplier, shift = quantize_multiplier(scaled)
    radius = ((1 << DIFF_BITS) - 1) * (1 << (31 - DIFF_BITS)) / (1 << shift)
    return multiplier, shift, min(math.floor(radius) + 1, 256)


def exp_table(a: Softmax, x: Tensor) -> Ints:
    """exp(-beta * scale * d) as Q0.31 for d = 0, 1, ...; beyond the table the terms are 0."""
    multiplier, shift, entries = exp_scale(a, x)
    d = -np.arange(entries, dtype=np.int64)
    return exp_on_negative_values(multiply_by_quantized_multiplier(d, multiplier, shift), DIFF_BITS)


def reciprocal(total: int) -> tuple[int, int]:
    """1/total as (Q0.31 in [1/2, 1], bits over unit), for total in Q12.19."""
    headroom = 32 - total.bit_length()
    fraction = (total << headroom) - (1 << 31)  # Q0.31 of total over its leading one
    return int(one_over_one_plus(np.array(fraction, np.int64))), SUM_BITS - headroom


def reference(
    a: Softmax, inputs: list[Tensor | None], outputs: list[Tensor], values: list[Array | None]
) -> list[Array]:
    x = present(inputs[0])
    assert values[0] is not None
    if x.dtype == "s16":
        return [softmax_s16.reference(a.beta, x, outputs[0], values[0])]
    table = np.zeros(256, np.int64)
    known = exp_table(a, x)
    table[: len(known)] = known
    rows = values[0].reshape(-1, x.shape[-1]).astype(np.int64)
    out = np.empty(rows.shape, np.int8)
    for i, row in enumerate(rows):
        diff = row.max() - row
        exps = table[diff]
        scale, over_unit = reciprocal(int(rounding_divide_by_pot(exps, SUM_BITS).sum()))
        q = rounding_divide_by_pot(doubling_high_mul(exps, scale), over_unit + 31 - 8) - 128
        out[i] = np.where(diff < len(known), np.clip(q, -128, 127), -128)
    return [out.reshape(x.shape)]


def steps(op: Op, inputs: list[Tensor | None], outputs: list[Tensor]) -> list[Step] | None:
    x = present(inputs[0])
    if x.dtype == "s16":
        return [softmax_s16.step(op.attributes.beta, op, x, outputs[0])]
    table = exp_table(op.attributes, x)
    depth = x.shape[-1]
    params = PARAMS.pack(depth=depth, rows=elements(x.shape) // depth, entries=len(table))
    return [Step(KERNEL, op.inputs, op.outputs, block(params, table.astype(np.int32)))]


def compact_step(op: Op, inputs: list[Tensor | None], outputs: list[Tensor]) -> Step | None:
    """Without the table."""
    x = present(inputs[0])
    if x.dtype == "s16":
        return None
    multiplier, shift, entries = exp_scale(op.attributes, x)
    depth = x.shape[-1]
    rows = elements(x.shape) // depth
    params = EXP_PARAMS.pack(depth=depth, rows=rows, entries=entries, multiplier=multiplier, shift=shift)
    return Step(EXP, op.inputs, op.outputs, params)


OP = OpType("softmax", Softmax, shapes, reference, steps, compact=compact_step)
