"""CONCATENATION along one axis: one step an input, each writing its part of the output."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from offramp.ir import Op, Tensor
from offramp.ops.op import Array, OpType, Shape, ShapeError, Step, present
from offramp.ops.strided_copy import View, all_or_none, contiguous, strided_step, window


@dataclass(frozen=True)
class Concatenation:
    axis: int


def shapes(a: Concatenation, inputs: list[Tensor | None]) -> list[Shape]:
    parts = [present(t).shape for t in inputs]
    rest = {(*s[: a.axis], *s[a.axis + 1 :]) for s in parts}
    if not 0 <= a.axis < len(parts[0]) or len(rest) != 1 or len({len(s) for s in parts}) != 1:
        raise ShapeError(f"shapes {parts} do not join along axis {a.axis}")
    first = parts[0]
    return [(*first[: a.axis], sum(s[a.axis] for s in parts), *first[a.axis + 1 :])]


def reference(
    a: Concatenation, inputs: list[Tensor | None], outputs: list[Tensor], values: list[Array | None]
) -> list[Array]:
    return [np.concatenate([v for v in values if v is not None], a.axis)]


def steps(op: Op, inputs: list[Tensor | None], outputs: list[Tensor]) -> list[Step] | None:
    axis, out = op.attributes.axis, outputs[0]
    found, at = [], 0
    for index, tensor in zip(op.inputs, inputs, strict=True):
        shape = present(tensor).shape
        dst = window(out.shape, [at if i == axis else 0 for i in range(len(shape))])
        found.append(strided_step(index, View(0, contiguous(shape)), op.outputs[0], dst, shape, out.dtype))
        at += shape[axis]
    return all_or_none(found)


OP = OpType("concatenation", Concatenation, shapes, reference, steps)
