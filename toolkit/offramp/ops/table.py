"""The table kernel: a function of one 8-bit value is 256 bytes, made from the operator's reference."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from offramp.ir import DTYPES, Op, Tensor
from offramp.ops.op import Array, Kernel, OpType, Params, Shape, ShapeError, Step, present

PARAMS = Params("table", [("values", "u8[256]")])  # indexed by the input's bits
KERNEL = Kernel("generic", "table", 0x0110, 1, PARAMS, in_place=1)

# (attributes, input, output, int64 values of the input) -> values of the output
Function = Callable[[Any, Tensor, Tensor, Array], Array]


def pointwise(kind: str, attributes: type, function: Function, dtypes: tuple[str, ...] = ("s8",)) -> OpType:
    """The row of an operator that maps each value of its one input to one of its output."""

    def shapes(a: Any, inputs: list[Tensor | None]) -> list[Shape]:
        x = present(inputs[0])
        if x.dtype not in (*dtypes, "f32"):
            raise ShapeError(f"tensor {x.name} is {x.dtype}, {' or '.join(dtypes)} is needed")
        return [x.shape]

    def reference(
        a: Any, inputs: list[Tensor | None], outputs: list[Tensor], values: list[Array | None]
    ) -> list[Array]:
        assert values[0] is not None
        out = outputs[0]
        found = function(a, present(inputs[0]), out, values[0].astype(np.int64))
        return [clamped(found, out.dtype)]

    def steps(op: Op, inputs: list[Tensor | None], outputs: list[Tensor]) -> list[Step] | None:
        x, out = present(inputs[0]), outputs[0]
        bits = np.arange(256, dtype=np.uint8).view(DTYPES[x.dtype]).astype(np.int64)
        table = clamped(function(op.attributes, x, out, bits), out.dtype)
        return [Step(KERNEL, op.inputs, op.outputs, PARAMS.pack(values=table.view(np.uint8).tolist()))]

    return OpType(kind, attributes, shapes, reference, steps)


@dataclass(frozen=True)
class Table:
    values: tuple[int, ...]  # 256, indexed by the input's bits


def looked_up(a: Table, x: Tensor, out: Tensor, values: Array) -> Array:
    if len(a.values) != 256:
        raise ShapeError(f"table of {len(a.values)} values, 256 are needed")
    found: Array = np.array(a.values, np.int64)[values & 255]
    return found


def clamped(values: Array, dtype: str) -> Array:
    low, high = (0, 255) if dtype == "u8" else (-128, 127)
    return np.clip(values, low, high).astype(DTYPES[dtype])


OP = pointwise("table", Table, looked_up, ("s8", "u8"))
