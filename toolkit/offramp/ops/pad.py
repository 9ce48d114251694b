"""PAD and PADV2 with constant amounts: the output is filled, then the input copied into its middle."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from offramp.ir import DTYPES, Op, Tensor
from offramp.ops.op import Array, OpType, Shape, ShapeError, Step, present
from offramp.ops.strided_copy import View, all_or_none, contiguous, strided_step, window


@dataclass(frozen=True)
class Pad:
    before: tuple[int, ...]
    after: tuple[int, ...]
    value: int | float  # of a float graph a real number, else one of the tensor's integers


def shapes(a: Pad, inputs: list[Tensor | None]) -> list[Shape]:
    shape = present(inputs[0]).shape
    if not len(a.before) == len(a.after) == len(shape) or min((*a.before, *a.after), default=0) < 0:
        raise ShapeError(f"paddings {a.before} and {a.after} for {shape}")
    return [tuple(b + n + e for b, n, e in zip(a.before, shape, a.after, strict=True))]


def reference(
    a: Pad, inputs: list[Tensor | None], outputs: list[Tensor], values: list[Array | None]
) -> list[Array]:
    assert values[0] is not None
    amounts = list(zip(a.before, a.after, strict=True))
    return [np.pad(values[0], amounts, constant_values=a.value)]


def steps(op: Op, inputs: list[Tensor | None], outputs: list[Tensor]) -> list[Step] | None:
    a: Pad = op.attributes
    x, out = present(inputs[0]), outputs[0]
    fill = np.array(a.value, DTYPES[x.dtype]).tobytes()
    if len(set(fill)) > 1 and len(fill) > 2:  # the kernel fills with one byte or two
        return None
    src, dst = View(0, contiguous(x.shape)), window(out.shape, a.before)
    return all_or_none([strided_step(op.inputs[0], src, op.outputs[0], dst, x.shape, x.dtype, fill)])


OP = OpType("pad", Pad, shapes, reference, steps)
