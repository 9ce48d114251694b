"""RESHAPE and SQUEEZE: the same bytes under another shape; costs no step."""

from __future__ import annotations

from dataclasses import dataclass

from offramp.ir import Tensor
from offramp.ops.op import Array, OpType, Shape, ShapeError, elements, present


@dataclass(frozen=True)
class Reshape:
    shape: tuple[int, ...]


def shapes(a: Reshape, inputs: list[Tensor | None]) -> list[Shape]:
    x = present(inputs[0])
    if elements(a.shape) != elements(x.shape):
        raise ShapeError(f"{x.shape} has {elements(x.shape)} elements, {a.shape} has {elements(a.shape)}")
    return [a.shape]


def reference(
    a: Reshape, inputs: list[Tensor | None], outputs: list[Tensor], values: list[Array | None]
) -> list[Array]:
    assert values[0] is not None
    return [values[0].reshape(a.shape)]


OP = OpType("reshape", Reshape, shapes, reference, lambda o, i, t: [], is_view=True)
