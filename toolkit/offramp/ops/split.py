"""SPLIT and SPLIT_V: consecutive parts of one axis."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from offramp.ir import Op, Tensor
from offramp.ops.op import Array, OpType, Shape, ShapeError, Step, present
from offramp.ops.strided_copy import View, all_or_none, contiguous, strided_step, window


@dataclass(frozen=True)
class Split:
    axis: int
    sizes: tuple[int, ...]


def shapes(a: Split, inputs: list[Tensor | None]) -> list[Shape]:
    shape = present(inputs[0]).shape
    if not 0 <= a.axis < len(shape) or min(a.sizes) < 0 or sum(a.sizes) != shape[a.axis]:
        raise ShapeError(f"parts of {a.sizes} along axis {a.axis} of {shape}")
    return [(*shape[: a.axis], n, *shape[a.axis + 1 :]) for n in a.sizes]


def reference(
    a: Split, inputs: list[Tensor | None], outputs: list[Tensor], values: list[Array | None]
) -> list[Array]:
    assert values[0] is not None
    return np.split(values[0], np.cumsum(a.sizes)[:-1], a.axis)


def steps(op: Op, inputs: list[Tensor | None], outputs: list[Tensor]) -> list[Step] | None:
    a: Split = op.attributes
    shape = present(inputs[0]).shape
    found = []
    for i, out in enumerate(outputs):
        begin = [sum(a.sizes[:i]) if axis == a.axis else 0 for axis in range(len(shape))]
        src, dst = window(shape, begin), View(0, contiguous(out.shape))
        found.append(strided_step(op.inputs[0], src, op.outputs[i], dst, out.shape, out.dtype))
    return all_or_none(found)


OP = OpType("split", Split, shapes, reference, steps)
