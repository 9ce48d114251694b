"""Pooling: channels side by side, on the generic kernels' parameters."""

from __future__ import annotations

from offramp.ir import Op, Tensor
from offramp.ops import pool_2d
from offramp.ops.op import Kernel, Step
from offramp.ops.work import Windows

AVERAGE = Kernel("mve", "average_pool_2d", 0x0408, 1, pool_2d.AVERAGE.params, work=Windows(16))
MAX = Kernel("mve", "max_pool_2d", 0x0409, 1, pool_2d.MAX.params, work=Windows(16))
KERNELS = (AVERAGE, MAX)

MAX_TAPS = 256  # of an average: its sums have 16 bits


def lower_pool(op: Op, inputs: list[Tensor | None], outputs: list[Tensor]) -> Step | None:
    a: pool_2d.Pool = op.attributes
    average = op.kind == "average_pool_2d"
    if average and a.filter_h * a.filter_w > MAX_TAPS:
        return None
    found = pool_2d.steps_of(AVERAGE if average else MAX, op, inputs, outputs)
    return found[0] if found else None
