"""The table kernel: a function of one 8-bit value is 256 bytes, made from the operator's reference."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from offramp.ir import DTYPES, Op, Tensor
from offramp.ops.fixed_point import activation_range
from offramp.ops.op import Array, Kernel, OpType, Params, Shape, ShapeError, Step, present

PARAMS = Params("table", [("values", "u8[256]")])  # indexed by the input's bits
KERNEL = Kernel("generic", "table", 0x0110, 1, PARAMS, in_place=1)

# (attributes, input, output, int64 values of the input) -> values of the output
Function = Callable[[Any, Tensor, Tensor, Array], Array]


# (op, input, output) -> the step of an op with an int16 input or output
StepS16 = Callable[[Op, Tensor, Tensor], Step | None]


def pointwise(
    kind: str,
    attributes: type,
    function: Function,
    dtypes: tuple[str, ...] = ("s8",),
    s16: StepS16 | None = None,
) -> OpType:
    """The row of an operator that maps each value of its one input to one of its output.

    With `s16` int16 is allowed too; that makes the step where a table would be too large.
    """
    allowed = (*dtypes, "s16") if s16 else dtypes

    def shapes(a: Any, inputs: list[Tensor | None]) -> list[Shape]:
        x = present(inputs[0])
        if x.dtype not in (*allowed, "f32"):
            raise ShapeError(f"tensor {x.name} is {x.dtype}, {' or '.join(allowed)} is needed")
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
        if "s16" in (x.dtype, out.dtype):
            step = s16(op, x, out) if s16 else None
            return [step] if step else None
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
    return np.clip(values, *activation_range("none", 1.0, 0, dtype)).astype(DTYPES[dtype])


OP = pointwise("table", Table, looked_up, ("s8", "u8"))
