"""How `pack` and `inspect` show the stages of a plan with exits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from offramp.blob.read import PlanRecord
from offramp.cli.output import print_table
from offramp.plan import Plan

Way = tuple[str, str, int | None]
END: Way = ("", "", None)  # name, confidence and threshold of the last stage


def of_plan(plan: Plan) -> list[dict[str, Any]]:
    """Of a plan just made; none where it has no exits."""
    if not plan.exits:
        return []
    found = []
    ways: list[Way] = [(e.name, e.confidence, e.threshold) for e in plan.exits] + [END]
    for i, stage in enumerate(plan.stages):
        proved, head_proved = stage.proved(plan.certificate)
        steps = plan.steps[stage.first_step : stage.end]
        found.append(
            {
                "first_step": stage.first_step,
                "steps": stage.n_steps,
                "macs": sum(step.macs for step in steps),
                "arena_bytes": stage.arena_bytes,
                "instructions_estimate": stage.instructions or None,
                "instructions_most": proved or None,
                "head_steps": stage.head_steps,
                "head_instructions_estimate": (stage.head_instructions or None) if stage.head_steps else None,
                "head_instructions_most": head_proved or None,
                **of_exit(*ways[i], i),
            }
        )
    return found


def of_record(plan: PlanRecord) -> list[dict[str, Any]]:
    """Of a plan in a blob; none where it has no exits."""
    if not plan.exits:
        return []
    ways: list[Way] = [(e.port.name, e.confidence, e.threshold) for e in plan.exits] + [END]
    return [
        {
            "first_step": stage.first_step,
            "steps": stage.n_steps,
            "macs": sum(s.macs for s in plan.steps[stage.first_step : stage.first_step + stage.n_steps]),
            "instructions_most": stage.instructions or None,
            "head_steps": stage.head_steps,
            "head_instructions_most": stage.head_instructions or None,
            **of_exit(*ways[i], i),
        }
        for i, stage in enumerate(plan.stages)
    ]


def of_exit(name: str, confidence: str, threshold: int | None, index: int) -> dict[str, Any]:
    exit_ = None if threshold is None else index
    return {"exit": exit_, "name": name, "confidence": confidence, "threshold": threshold}


def show_stages(stages: Sequence[dict[str, Any]], certified: bool) -> None:
    if not stages:
        return
    columns = {
        "exit": "exit",
        "name": "behind",
        "steps": "steps",
        "head_steps": "of them head",
        "macs": "MACs",
    }
    if "arena_bytes" in stages[0]:
        columns |= {"arena_bytes": "arena to here"}
    if certified:
        columns |= {"instructions_most": "instructions, at most", "head_instructions_most": "head"}
    elif "instructions_estimate" in stages[0]:
        columns |= {"instructions_estimate": "instructions, est.", "head_instructions_estimate": "head"}
    columns |= {"confidence": "confidence", "threshold": "threshold"}
    rows = [tuple(shown(key, stage[key]) for key in columns) for stage in stages]
    print_table("\nstages", tuple(columns.values()), rows)


def shown(key: str, value: Any) -> Any:
    return ("end" if key == "exit" else "") if value is None else value
