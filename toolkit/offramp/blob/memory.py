"""Reads where a blob's tensors and scratch lie in the arena, and during which steps."""

from __future__ import annotations

from dataclasses import dataclass

from offramp.blob import header
from offramp.ofg import text
from offramp.schema import fb


@dataclass(frozen=True)
class Extent:
    """Bytes of the arena that hold one thing from step `first` to step `last`, both included.

    Tensors in one place at one time are the input and output of a step that works in place, or two views.
    """

    offset: int
    bytes: int
    first: int
    last: int
    what: str


def arena_map(data: bytes, index: int = 0) -> list[Extent]:
    """What lies in the arena of a plan of a blob that `read` has accepted, by offset and then by time."""
    plan = fb.Blob.GetRootAs(data[header.LAYOUT.size :], 0).Plans(index)
    n_steps = plan.StepsLength()
    names: dict[int, str] = {}
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    extents = []
    for i in range(plan.InputsLength()):
        names[plan.Inputs(i)] = f"input {text(plan.InputPorts(i).Name())}"
        first[plan.Inputs(i)] = last[plan.Inputs(i)] = 0
    for i in range(n_steps):
        step, info = plan.Steps(i), plan.StepInfos(i)
        for k in range(step.NInputs() + step.NOutputs()):
            tensor = plan.Operands(step.Operands() + k)
            first.setdefault(tensor, i)
            last[tensor] = i
            names.setdefault(tensor, f"output of step {i} {text(info.Name()) if info else ''}".rstrip())
        if step.ScratchBytes():
            extents.append(Extent(step.Scratch(), step.ScratchBytes(), i, i, f"scratch of step {i}"))
    for i in range(plan.OutputsLength()):
        names[plan.Outputs(i)] = f"output {text(plan.OutputPorts(i).Name())}"
        first.setdefault(plan.Outputs(i), 0)
        last[plan.Outputs(i)] = n_steps
    for tensor, name in names.items():
        t = plan.Tensors(tensor)
        if t.Memory() == fb.Memory.arena:
            extents.append(Extent(t.Offset(), t.Bytes(), first[tensor], last[tensor], name))
    return sorted(extents, key=lambda e: (e.offset, e.first, e.bytes))
