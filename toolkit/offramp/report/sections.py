"""The sections of a report, each from the JSON that has its figures; what is absent is left out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from offramp.report import svg
from offramp.report.choices import choice_sections
from offramp.report.material import Data, Material
from offramp.report.page import Report, Section, Table

PARTS = {"input": 2, "output of step": 0, "scratch": 4, "output": 1}
"""Colours in the arena, by how its things are named."""


def report_on(material: Material, title: str = "") -> Report:
    name = title or model_name(material)
    sections = [
        *(arena_section(material.inspect) if material.inspect else ()),
        *(flash_section(m, material) for m in material.bench),
        *layer_sections(material),
        *(profile_section(material.profile) if material.profile else ()),
        *choice_sections(material),
    ]
    return Report(name, facts(material), sections)


def model_name(material: Material) -> str:
    known = [material.pack, material.inspect, *material.bench, material.profile, material.advise]
    names = [str(data["model"]) for data in known if data]
    return f"{names[0].rsplit('/', 1)[-1]}: report" if names else "Report"


def facts(material: Material) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for m in material.bench:
        where = material.place(m)
        if m["instructions_per_inference"] is not None:
            found.append((f"instructions, {where}", m["instructions_per_inference"]))
        found += [(f"image, {where}", f"{sum(m['flash_bytes'].values()):,} bytes")]
        found.append((f"RAM, {where}", f"{ram(m):,} bytes: arena, state, static data, stack"))
        found.append(("compiler", m["compiler"]))
    if material.pack:
        found.append(("kernels", ", ".join(f"{k} x{n}" for k, n in material.pack["kernels"].items())))
    described = material.inspect or material.pack
    if described:
        metadata = described["metadata"]
        found += [(key, metadata[key]) for key in ("source", "source_sha256", "offramp") if key in metadata]
    return list(dict.fromkeys(found))


def ram(m: Data) -> int:
    return int(m["arena_bytes"] + m["state_bytes"] + m["static_ram_bytes"] + (m["stack_bytes"] or 0))


def arena_section(found: Data) -> list[Section]:
    extents = sorted(found["arena"], key=lambda e: (e["first"], e["offset"]))
    if not extents:
        return []
    drawn = [
        svg.Box(
            *(e["first"], e["last"] + 1, e["offset"], e["offset"] + e["bytes"]),
            part_of(e["what"]),
            f"{e['what']}: {e['bytes']:,} bytes at {e['offset']:,}, steps {e['first']} to {e['last']}",
        )
        for e in extents
    ]
    n = len(found["steps"])
    occupied = [(i if i < n else "end", *occupancy(extents, i)) for i in range(n + 1)]
    rows = [(e["what"], e["offset"], e["bytes"], e["first"], e["last"]) for e in extents]
    return [
        Section(
            "Arena over time",
            [
                f"{found['arena_bytes']:,} bytes of arena, {found['state_bytes']:,} of state. Blue are results of "
                "steps, green inputs, orange the outputs, grey scratch; what lies in one place at one time is one "
                "thing under two names, or a step that works in place.",
            ],
            svg.boxes(drawn, f"step, {n} of them and the end", "bytes"),
            [
                Table(("step", "bytes that live", "highest byte in use"), occupied, "Occupancy by step"),
                Table(("what", "offset", "bytes", "first step", "last step"), rows, "What lies where"),
            ],
        )
    ]


def part_of(what: str) -> int:
    return next(part for start, part in PARTS.items() if what.startswith(start))


def occupancy(extents: Sequence[Data], step: int) -> tuple[int, int]:
    """(bytes that some live extent covers, end of the last one) while a step runs."""
    alive = sorted(
        (e["offset"], e["offset"] + e["bytes"]) for e in extents if e["first"] <= step <= e["last"]
    )
    covered = end = 0
    for start, stop in alive:
        covered += max(0, stop - max(start, end))
        end = max(end, stop)
    return covered, end


def flash_section(m: Data, material: Material) -> Section:
    parts = list(m["flash_bytes"].items())
    whole = sum(n for _, n in parts)
    rows = [(name, n, 100 * n / whole) for name, n in parts] + [("in all", whole, 100.0)]
    marked = Table(("part", "bytes", "%"), rows[:-1], marked=True)
    others = [
        ("arena", m["arena_bytes"]),
        ("state", m["state_bytes"]),
        ("static data", m["static_ram_bytes"]),
    ]
    others += [("stack, most used", m["stack_bytes"])] if m["stack_bytes"] else []
    return Section(
        material.titled("Flash", m),
        [f"An image of {whole:,} bytes with its model, kernels of this model alone, {m['compiler']}."],
        svg.stack(parts, material.titled("flash", m)),
        [marked, Table(("RAM", "bytes"), others)],
    )


def layer_sections(material: Material) -> list[Section]:
    sections = [measured_layers(m, material) for m in material.bench if m["steps"]]
    if not sections and material.pack and material.pack.get("ops"):
        sections = [planned_layers(material.pack)]
    return sections


def measured_layers(m: Data, material: Material) -> Section:
    """Exact instructions; bytes where the blob's steps are the same."""
    steps, blob = m["steps"], material.inspect
    known = (
        blob["steps"] if blob and [s["kernel"] for s in blob["steps"]] == [s["kernel"] for s in steps] else []
    )
    whole = m["instructions_per_inference"] or 0
    rows, drawn = [], []
    for i, step in enumerate(steps):
        n, bytes_ = step["instructions"], known[i]["params_bytes"] if known else None
        share = 100 * n / whole if n is not None and whole else None
        a_mac = n / step["macs"] if n is not None and step["macs"] else None
        scratch = known[i]["scratch_bytes"] if known else None
        name = known[i]["name"] if known else step["op"]
        rows.append((i, step["kernel"], name, step["macs"], n, share, a_mac, bytes_, scratch))
        drawn.append((f"{i} {step['kernel'].rsplit('/', 1)[-1]}", [n or 0, bytes_ or 0]))
    columns = ("", "kernel", "name", "MACs", "instructions", "%", "a MAC", "bytes", "scratch")
    return Section(
        material.titled("Layers", m),
        [
            "Instructions are exact counts of the emulator, on seeded random input. Bytes are parameters in the blob."
        ],
        svg.bars(drawn, ("instructions", "bytes")),
        [Table(columns, rows)],
    )


def planned_layers(pack: Data) -> Section:
    """As the planner estimates them, where nothing was measured."""
    taken = [(op, next(way for way in op["ways"] if way["taken"])) for op in pack["ops"]]
    rows = [
        (
            *(i, ", ".join(way["kernels"]), op["name"], way["instructions_estimate"], way["cycles_estimate"]),
            *(way["constants_bytes"], way["scratch_bytes"], way["why"]),
        )
        for i, (op, way) in enumerate(taken)
    ]
    drawn = [
        (f"{i} {op['op']}", [way["instructions_estimate"] or 0, way["constants_bytes"]])
        for i, (op, way) in enumerate(taken)
    ]
    columns = (
        *("", "kernels", "name", "instructions, est.", "cycles, est."),
        *("bytes", "scratch", "why this way"),
    )
    return Section(
        f"Layers on {pack['board']}, estimated",
        ["Nothing was measured: instructions and cycles are the planner's estimates."],
        svg.bars(drawn, ("instructions, est.", "bytes")),
        [Table(columns, rows)],
    )


def profile_section(found: Data) -> list[Section]:
    """Where an inference's cycles go, by the functions that take most."""
    whole = found["cost"]["cycles_estimate"] or 1
    rows = [
        (
            f["function"],
            c["instructions"],
            c["cycles_estimate"],
            100 * c["cycles_estimate"] / whole,
            c["flash_bytes"],
        )
        for f in found["functions"][:10]
        for c in (f["cost"],)
    ]
    steps = [(i, s["kernel"], s["cost"]["cycles_estimate"]) for i, s in enumerate(found["steps"])]
    return [
        Section(
            f"Cycles on {found['board']}, estimated",
            [
                f"Cycle model: {found['cycle_model']}. {found['cost']['instructions']:,} instructions are exact."
            ],
            svg.bars([(row[0], row[1:3]) for row in rows], ("instructions", "cycles, est.")),
            [
                Table(("function", "instructions", "cycles, est.", "%", "flash bytes read"), rows),
                Table(("", "kernel", "cycles, est."), steps, "By step"),
            ],
        )
    ]
