"""Operators of the dsp set on the generic kernels' parameter blocks: sums, products, means, max pooling."""

from __future__ import annotations

import struct
from dataclasses import replace

from offramp.ir import Op, Tensor
from offramp.kernels.dsp.requantize import MAX_EXPONENT, clamped
from offramp.ops import add, mean, mul, pool_2d
from offramp.ops.op import Kernel, Step, present
from offramp.ops.work import Numbers, Windows, up

LANES = 4  # channels at a time
REPEATED = 32  # copies of a single value, as in rows.c


def row_work(n: Numbers) -> dict[str, int]:
    """Rows in fours and what is left; where one input is a single value, some of them at once."""
    length = n["dims"][-1]
    rows, single = n["elements"] // length, 0 in (n["strides_a"][-1], n["strides_b"][-1])
    return {
        "rows": rows,
        "single": rows * single,
        "chunks": rows * up(length // LANES * LANES, REPEATED if single else 1 << 32),
        "fours": rows * (length // LANES),
        "rests": rows * (length % LANES > 0),
        "rest": rows * (length % LANES),
        "clamped": clamped(n),
    }


ADD = Kernel(*("dsp", "add_table", 0x0322, 1, add.TABLE_PARAMS, 3), tables=add.TABLE.tables, work=row_work)
MUL = Kernel("dsp", "mul", 0x0323, 1, mul.PARAMS, in_place=3, work=row_work)
MEAN = Kernel("dsp", "mean", 0x0324, 1, mean.PARAMS, work=mean.work)
MAX = Kernel("dsp", "max_pool_2d", 0x0325, 1, pool_2d.MAX.params, work=Windows(LANES))
KERNELS = (ADD, MUL, MEAN, MAX)


def as_kernel(kernel: Kernel, wanted: Kernel, steps: list[Step] | None) -> Step | None:
    """The generic set's step by a kernel that takes the same block; None where it is by another one than `wanted`."""
    return replace(steps[0], kernel=kernel) if steps and steps[0].kernel is wanted else None


def lower_sum(op: Op, inputs: list[Tensor | None], outputs: list[Tensor]) -> Step | None:
    """As fast as the kernel for plain sums, for which an image that needs no other pays 470 bytes less."""
    return as_kernel(ADD, add.TABLE, add.steps_of(int(op.kind == "sub"), op, inputs, outputs))


def lower_mul(op: Op, inputs: list[Tensor | None], outputs: list[Tensor]) -> Step | None:
    _, shift = mul.multiplier_of(present(inputs[0]), present(inputs[1]), outputs[0])
    return as_kernel(MUL, mul.KERNEL, mul.steps(op, inputs, outputs)) if 1 <= -shift <= MAX_EXPONENT else None


def lower_mean(op: Op, inputs: list[Tensor | None], outputs: list[Tensor]) -> Step | None:
    """Where neighbours in memory are kept."""
    step = as_kernel(MEAN, mean.KERNEL, mean.steps(op, inputs, outputs))
    if step is None:
        return None
    _, length, _, stride = struct.unpack_from("<4I", step.params)  # kept, kept_strides
    return step if stride == 1 and length >= LANES else None


def lower_max(op: Op, inputs: list[Tensor | None], outputs: list[Tensor]) -> Step | None:
    if present(inputs[0]).shape[3] < LANES:
        return None
    return as_kernel(MAX, pool_2d.MAX, pool_2d.steps_of(pool_2d.MAX, op, inputs, outputs))
