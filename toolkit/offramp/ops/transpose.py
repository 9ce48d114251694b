"""TRANSPOSE."""

from __future__ import annotations

from dataclasses import dataclass

from offramp.ir import Op, Tensor
from offramp.ops.op import Array, OpType, Shape, ShapeError, Step, present
from offramp.ops.strided_copy import View, all_or_none, contiguous, strided_step


@dataclass(frozen=True)
class Transpose:
    order: tuple[int, ...]  # axis of the input that becomes each axis of the output


def shapes(a: Transpose, inputs: list[Tensor | None]) -> list[Shape]:
    shape = present(inputs[0]).shape
    if sorted(a.order) != list(range(len(shape))):
        raise ShapeError(f"order {a.order} does not permute the {len(shape)} axes of {shape}")
    return [tuple(shape[i] for i in a.order)]


def reference(
    a: Transpose, inputs: list[Tensor | None], outputs: list[Tensor], values: list[Array | None]
) -> list[Array]:
    assert values[0] is not None
    return [values[0].transpose(a.order)]


def steps(op: Op, inputs: list[Tensor | None], outputs: list[Tensor]) -> list[Step] | None:
    strides = contiguous(present(inputs[0]).shape)
    out = outputs[0]
    src = View(0, tuple(strides[i] for i in op.attributes.order))
    dst = View(0, contiguous(out.shape))
    return all_or_none([strided_step(op.inputs[0], src, op.outputs[0], dst, out.shape, out.dtype)])


OP = OpType("transpose", Transpose, shapes, reference, steps)
