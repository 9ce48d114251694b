"""`offramp pack --explain`: the ways of serving each op, what they are estimated to cost, and why one was taken."""

from __future__ import annotations

from typing import Any

from offramp.cli.output import note, print_table
from offramp.plan import Plan
from offramp.plan.choose import NEAR, Candidates, Way
from offramp.plan.cost import name_of


def explanation(plan: Plan) -> list[dict[str, Any]]:
    """An entry for each op that kernels serve."""
    return [
        {"op": c.op.kind, "name": c.op.name, "ways": explained(c, plan.chosen[i])}
        for i, c in plan.candidates.items()
    ]


def explained(candidates: Candidates, taken: Way) -> list[dict[str, Any]]:
    return [
        {
            "kernels": sorted(name_of(k) for k in way.kernels),
            "packing": packing(candidates, way),
            "constants_bytes": way.constants_bytes,
            "scratch_bytes": way.scratch_bytes,
            "instructions_estimate": round(way.cost.instructions) if way.cost else None,
            "cycles_estimate": round(way.cycles) if way.cost else None,
            "flash_cycles_estimate": round(way.flash_cycles) if way.cost else None,
            "taken": way is taken,
            "why": why(candidates, way, taken),
        }
        for way in candidates.ways
    ]


def packing(candidates: Candidates, way: Way) -> str:
    if candidates.int8_bytes is None:
        return "-"
    return "expanded" if candidates.expands(way) else "int8 size"


def why(candidates: Candidates, way: Way, taken: Way) -> str:
    fewest = min(w.cycles for w in candidates.ways)
    if way is taken:
        if len(candidates.ways) == 1:
            return "taken: the only way" if way.cost else "taken: the first, no costs are known"
        if way.cycles == fewest:
            return "taken: fewest cycles"
        if way.cycles <= NEAR * fewest:
            return "taken: first within 1 %"
        if way.constants_bytes == min(w.constants_bytes for w in candidates.ways):
            return "taken: smallest constants"
        return "taken: best of what is worth its code and within the limits"
    if way.cycles > taken.cycles:
        return f"{way.cycles / taken.cycles - 1:+.0%} cycles"
    if taken.cycles <= NEAR * way.cycles:
        return "within 1 %, but later"
    if candidates.expands(way) and not candidates.expands(taken):
        return "weights larger than at int8 size"
    if way.constants_bytes > taken.constants_bytes:
        return f"fewer cycles, but {way.constants_bytes - taken.constants_bytes:+,} bytes"
    return "fewer cycles, but not worth its code, or above the RAM limit"


def show_explanation(ops: list[dict[str, Any]]) -> None:
    rows = [
        (
            f"{i} {op['op']}" if k == 0 else "",
            ", ".join(way["kernels"]),
            way["packing"],
            *(way[key] for key in ("constants_bytes", "scratch_bytes", "instructions_estimate")),
            *(way[key] for key in ("cycles_estimate", "flash_cycles_estimate", "why")),
        )
        for i, op in enumerate(ops)
        for k, way in enumerate(op["ways"])
    ]
    columns = (
        "op",
        "kernels",
        "packing",
        "constants",
        "scratch",
        "instructions, est.",
        "cycles, est.",
        "of them flash, est.",
    )
    print_table("\nways of serving each op", (*columns, "why"), rows)
    note("\nInstructions and cycles are estimates by the core's cost table; `offramp profile` counts them.")
