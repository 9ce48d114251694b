"""`offramp pack --explain`: the ways of serving each op, what they are estimated to cost, and why one was taken."""

from __future__ import annotations

from typing import Any

from offramp.cli.output import note, print_table
from offramp.plan import Plan
from offramp.plan.choose import NEAR, Candidates, Way, Weights
from offramp.plan.cost import name_of

WORTH_A_WORD = 0.05
"""Layers with a smaller share of zeros are dense, and nothing is said of it."""


def explanation(plan: Plan) -> list[dict[str, Any]]:
    """An entry for each op that kernels serve, of every plan."""
    return [
        {
            "plan": p.name,
            "op": c.op.kind,
            "name": c.op.name,
            **weights(c, p.chosen[i]),
            "ways": explained(c, p.chosen[i]),
        }
        for p in plan.every
        for i, c in p.candidates.items()
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
    """How a way stores weights: as its kernel declares, else at int8 size or expanded."""
    if candidates.int8_bytes is None:
        return "-"
    stores = [k.stores for k in way.kernels if k.stores]
    return stores[0] if stores else "expanded" if candidates.expands(way) else "int8 size"


def weights(candidates: Candidates, taken: Way) -> dict[str, Any]:
    """Of a layer with weights: their bytes at int8, the share of zeros, how they are stored and why."""
    w = candidates.weights
    if w is None:
        return {}
    return {
        "weights": {
            "int8_bytes": w.bytes,
            "zeros": round(w.zeros, 4),
            "stored": packing(candidates, taken),
            "constants_bytes": taken.constants_bytes,
            "why": why_stored(candidates, w, taken),
        }
    }


def why_stored(candidates: Candidates, w: Weights, taken: Way) -> str:
    """Why the weights are stored compressed, or why they are not although they hold zeros or few bits."""
    if is_compressed(taken):
        return f"{taken.constants_bytes / w.bytes:.0%} of the weights at int8"
    others = [way for way in candidates.ways if is_compressed(way)]
    if others:
        least = min(others, key=lambda way: way.cycles)
        return (
            f"{packing(candidates, least)}, {least.constants_bytes:,} bytes: {why(candidates, least, taken)}"
        )
    if w.zeros < WORTH_A_WORD and not w.nibbles:
        return ""
    bits = 8 if w.nibbles else 12  # of a gap and a value
    stream = round(w.bytes * (1 - w.zeros) * bits / 8)
    if stream >= w.bytes:
        return f"{w.zeros:.0%} zeros: a stream without them would take {stream:,} bytes and more"
    return "no kernel with compressed weights takes its numbers"


def is_compressed(way: Way) -> bool:
    return any(k.group == "compressed" for k in way.kernels)


def why(candidates: Candidates, way: Way, taken: Way) -> str:
    fewest = min(w.cycles for w in candidates.ways)
    if way is taken:
        if len(candidates.ways) == 1:
            return "taken: the only way" if way.cost else "taken: the first, no costs are known"
        if way.cycles == fewest:
            return "taken: fewest cycles"
        if way.cycles <= NEAR * fewest:
            return "taken: first within 1 %"
        if way.saved_bytes and is_compressed(way):
            return f"taken: {way.saved_bytes:,} bytes fewer than the weights at int8"
        if way.constants_bytes == min(w.constants_bytes for w in candidates.ways):
            return "taken: smallest constants"
        return "taken: best of what is worth its code and within the limits"
    if way.cycles > taken.cycles:
        if is_compressed(way) and way.constants_bytes >= taken.constants_bytes:
            return f"{way.cycles / taken.cycles - 1:+.0%} cycles, and not smaller"
        return f"{way.cycles / taken.cycles - 1:+.0%} cycles"
    if taken.cycles <= NEAR * way.cycles:
        return "within 1 %, but later"
    if candidates.expands(way) and not candidates.expands(taken):
        return "weights larger than at int8 size"
    if way.constants_bytes > taken.constants_bytes:
        return f"fewer cycles, but {way.constants_bytes - taken.constants_bytes:+,} bytes"
    return "fewer cycles, but not worth its code, or above the RAM limit"


def show_explanation(ops: list[dict[str, Any]]) -> None:
    plans = list(dict.fromkeys(op["plan"] for op in ops))
    for plan in plans:
        show_plan([op for op in ops if op["plan"] == plan], f" of {plan}" if len(plans) > 1 else "")
    note("\nInstructions and cycles are estimates by the core's cost table; `offramp profile` counts them.")


def show_plan(ops: list[dict[str, Any]], of_plan: str) -> None:
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
    stored = [
        (
            f"{i} {op['op']}",
            *(op["weights"][key] for key in ("int8_bytes", "zeros", "stored", "constants_bytes", "why")),
        )
        for i, op in enumerate(ops)
        if "weights" in op
    ]
    if stored:
        print_table(f"\nweights{of_plan}", ("op", "int8", "zeros", "stored", "constants", "why"), stored)
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
    print_table(f"\nways of serving each op{of_plan}", (*columns, "why"), rows)
