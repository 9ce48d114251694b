"""STRIDED_SLICE with constant bounds, masks already resolved by the frontend."""

from __future__ import annotations

from dataclasses import dataclass

from offramp.ir import Op, Tensor
from offramp.ops.op import Array, OpType, Shape, ShapeError, Step, elements, present
from offramp.ops.strided_copy import View, all_or_none, contiguous, strided_step, window


@dataclass(frozen=True)
class StridedSlice:
    """Of each axis `length` values from `begin` on, `stride` apart (may be negative)."""

    begin: tuple[int, ...]
    length: tuple[int, ...]
    stride: tuple[int, ...]
    shape: tuple[int, ...]  # of the output: `length` with axes dropped


def shapes(a: StridedSlice, inputs: list[Tensor | None]) -> list[Shape]:
    shape = present(inputs[0]).shape
    if not len(a.begin) == len(a.length) == len(a.stride) == len(shape):
        raise ShapeError(f"slice of {len(a.begin)} axes, the input has {len(shape)}")
    for n, begin, length, stride in zip(shape, a.begin, a.length, a.stride, strict=True):
        last = begin + (length - 1) * stride
        if length < 1 or not 0 <= begin < n or not 0 <= last < n:
            raise ShapeError(f"slice {begin} to {last} of an axis of {n}")
    if elements(a.shape) != elements(a.length):
        raise ShapeError(f"{elements(a.length)} values picked, {a.shape} to be filled")
    return [a.shape]


def reference(
    a: StridedSlice, inputs: list[Tensor | None], outputs: list[Tensor], values: list[Array | None]
) -> list[Array]:
    value = values[0]
    assert value is not None
    for axis, (begin, length, stride) in enumerate(zip(a.begin, a.length, a.stride, strict=True)):
        value = value.take([begin + i * stride for i in range(length)], axis)
    return [value.reshape(a.shape)]


def steps(op: Op, inputs: list[Tensor | None], outputs: list[Tensor]) -> list[Step] | None:
    a: StridedSlice = op.attributes
    x = present(inputs[0])
    src, dst = window(x.shape, a.begin, a.stride), View(0, contiguous(a.length))
    return all_or_none([strided_step(op.inputs[0], src, op.outputs[0], dst, a.length, x.dtype)])


OP = OpType("strided_slice", StridedSlice, shapes, reference, steps)
