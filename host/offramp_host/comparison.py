"""Two runs of a model side by side: its figures, and its steps by how much they grew."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class StepFigures:
    """`instructions` is None where the board does not count them, `cycles_estimate` where nobody asked."""

    op: str
    name: str
    kernel: str
    instructions: int | None
    cycles_estimate: int | None = None

    def __str__(self) -> str:
        return f"{self.kernel} {self.name}".strip()


@dataclass(frozen=True)
class RunFigures:
    """What a model costs on a board. `figures` are counts and bytes by name; `tools` made the image."""

    model: str
    board: str
    figures: Mapping[str, float | None]
    steps: Sequence[StepFigures] = ()
    tools: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class StepChange:
    """A step of both runs, or of one; numbers count from 0."""

    number_before: int | None
    number: int | None
    before: StepFigures | None
    after: StepFigures | None

    @property
    def growth(self) -> int:
        """In instructions."""
        return instructions(self.after) - instructions(self.before)

    @property
    def step(self) -> StepFigures:
        found = self.after or self.before
        assert found is not None
        return found


def instructions(step: StepFigures | None) -> int:
    return 0 if step is None else step.instructions or 0


def share(before: float | None, after: float | None) -> float | None:
    """Growth as a share of what was; None where either is not known or nothing was."""
    return None if before is None or after is None or before == 0 else (after - before) / before


def figures_of(row: Mapping[str, Any], plan: int = 0) -> RunFigures:
    """Of a Measurement's fields, or of a row of `offramp bench --json`. RAM holds arena, state and static data.

    `plan` of a family is the one whose instructions and steps are taken; the sizes are the blob's.
    """
    ran = row["plans"][plan] if plan else row
    return RunFigures(
        model=row["model"],
        board=row["board"],
        figures={
            "instructions": ran["instructions_per_inference"],
            "flash_bytes": sum(row["flash_bytes"].values()),
            "blob_bytes": row["blob_bytes"],
            "ram_bytes": row["arena_bytes"] + row["state_bytes"] + row["static_ram_bytes"],
            "arena_bytes": row["arena_bytes"],
            "stack_bytes": row["stack_bytes"],
        },
        steps=[
            StepFigures(step["op"], step.get("name", ""), step["kernel"], step["instructions"])
            for step in ran["steps"]
        ],
        tools={"compiler": row["compiler"], "cmsis_nn": row["cmsis_nn_version"] or "none"},
    )


def step_changes(before: Sequence[StepFigures], after: Sequence[StepFigures]) -> list[StepChange]:
    """Steps of two runs, those that belong together side by side, what grew most first."""
    return sorted(paired(before, after), key=lambda change: change.growth, reverse=True)


def paired(before: Sequence[StepFigures], after: Sequence[StepFigures]) -> Iterator[StepChange]:
    """By operator and name, in order; between those, as many steps as were there stand for the same, one by one."""
    was, now = ([(step.op, step.name) for step in steps] for steps in (before, after))
    for _, i, i_end, j, j_end in difflib.SequenceMatcher(None, was, now, autojunk=False).get_opcodes():
        if i_end - i == j_end - j:
            for k in range(i_end - i):
                yield StepChange(i + k, j + k, before[i + k], after[j + k])
        else:
            yield from (StepChange(k, None, before[k], None) for k in range(i, i_end))
            yield from (StepChange(None, k, None, after[k]) for k in range(j, j_end))
