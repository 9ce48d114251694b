"""Tables of what changed between two runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from offramp.cli.output import print_table
from offramp_host.comparison import StepChange, StepFigures, share


def changed(before: object, found: object) -> str | None:
    """Growth in percent, for a cell of a table."""
    if not isinstance(before, int | float) or not isinstance(found, int | float):
        return None
    grown = share(before, found)
    return None if grown is None else f"{100 * grown:+.2f} %"


def show_changes(title: str, changes: Sequence[StepChange]) -> None:
    """Steps as they come, by instructions and, where they are known, by estimated cycles."""
    columns = ["", "kernel", "step", "before", "after", "growth", "%"]
    rows = [row_of(change) for change in changes]
    if any(change.step.cycles_estimate is not None for change in changes):
        columns.append("cycles, est.")
        rows = [[*row, cycles_of(c)] for row, c in zip(rows, changes, strict=True)]
    print_table(title, columns, rows)


def row_of(change: StepChange) -> list[Any]:
    before, after = of(change.before), of(change.after)
    kernel = change.step.kernel
    if change.before is not None and change.before.kernel != kernel:
        kernel += f", was {change.before.kernel}"
    number = "gone" if change.number is None else f"{change.number}"
    if change.before is None:
        number += " new"
    return [number, kernel, change.step.name, before, after, f"{change.growth:+,}", changed(before, after)]


def of(step: StepFigures | None) -> int | None:
    return None if step is None else step.instructions


def cycles_of(change: StepChange) -> str:
    before, after = (step.cycles_estimate or 0 if step else 0 for step in (change.before, change.after))
    return f"{after - before:+,}"


def with_growth(change: StepChange) -> dict[str, Any]:
    """For JSON."""
    sides = {"before": change.before, "after": change.after}
    return {
        "step": change.number,
        "step_before": change.number_before,
        "growth": change.growth,
        **{name: None if step is None else vars(step) for name, step in sides.items()},
    }
