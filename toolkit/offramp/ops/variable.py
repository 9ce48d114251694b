"""READ_VARIABLE and ASSIGN_VARIABLE: state kept between runs, copied between the state memory and a tensor."""

from __future__ import annotations

from dataclasses import dataclass

from offramp.ir import Op, Tensor
from offramp.ops.op import Array, OpType, Shape, ShapeError, Step, present
from offramp.ops.strided_copy import copy_step


@dataclass(frozen=True)
class VariableName:
    variable: str


STATE = -1  # in a step: the variable's memory, which the planner puts in


def read_steps(op: Op, inputs: list[Tensor | None], outputs: list[Tensor]) -> list[Step] | None:
    return [copy_step(STATE, op.outputs[0], outputs[0])]


def assign_steps(op: Op, inputs: list[Tensor | None], outputs: list[Tensor]) -> list[Step] | None:
    return [copy_step(op.inputs[0], STATE, present(inputs[0]))]


def no_shapes(a: VariableName, inputs: list[Tensor | None]) -> list[Shape]:
    """A variable's shape is the graph's to know; the verifier checks it there."""
    raise ShapeError(f"variable {a.variable} has no shape of its own")


def no_reference(
    a: VariableName, inputs: list[Tensor | None], outputs: list[Tensor], values: list[Array | None]
) -> list[Array]:
    """State lives in offramp.reference, not in an operator."""
    raise AssertionError(a.variable)


READ = OpType("read_variable", VariableName, no_shapes, no_reference, read_steps)
ASSIGN = OpType("assign_variable", VariableName, no_shapes, no_reference, assign_steps)
