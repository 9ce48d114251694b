"""Functions of one 8-bit value: the generic kernel's table, sixteen values at a time."""

from __future__ import annotations

from dataclasses import replace

from offramp.ir import Op, Tensor
from offramp.ops import OPS, table
from offramp.ops.op import Kernel, Step

TABLE = Kernel("mve", "table", 0x040A, 1, table.PARAMS, in_place=1)
KERNELS = (TABLE,)


def lower_table(op: Op, inputs: list[Tensor | None], outputs: list[Tensor]) -> Step | None:
    found = OPS[op.kind].steps(op, inputs, outputs)
    if found is None or [step.kernel for step in found] != [table.KERNEL]:
        return None
    return replace(found[0], kernel=TABLE)
