"""READ_VARIABLE and ASSIGN_VARIABLE: state kept between runs; executors and planner give it its place."""

from __future__ import annotations

from dataclasses import dataclass

from offramp.ir import Op, Tensor
from offramp.ops.op import Array, OpType, Shape, Step


@dataclass(frozen=True)
class VariableName:
    variable: str


def shapes(a: VariableName, inputs: list[Tensor | None]) -> list[Shape]:
    raise AssertionError(f"{a.variable}: the verifier takes a variable's shape from the graph")


def reference(
    a: VariableName, inputs: list[Tensor | None], outputs: list[Tensor], values: list[Array | None]
) -> list[Array]:
    raise AssertionError(f"{a.variable}: offramp.reference keeps the state itself")


def steps(op: Op, inputs: list[Tensor | None], outputs: list[Tensor]) -> list[Step] | None:
    raise AssertionError(f"{op.attributes.variable}: the planner knows where the state lies")


READ = OpType("read_variable", VariableName, shapes, reference, steps)
ASSIGN = OpType("assign_variable", VariableName, shapes, reference, steps)
