"""Sections that help to choose: variants by accuracy and cost, exits, boards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from offramp.report import svg
from offramp.report.material import Data, Material
from offramp.report.page import Section, Table

DRAWN = 24
"""Boards in a picture, at most."""


def choice_sections(material: Material) -> list[Section]:
    return [
        *(front_sections(material.card) if material.card else ()),
        *(exit_section(name, found) for name, found in material.exits.items()),
        *(leaving_section(m, material) for m in material.bench if m["exits"]),
        *(board_sections(material.advise) if material.advise else ()),
    ]


def front_sections(card: Sequence[Data]) -> list[Section]:
    """One for each measure of cost that the card has for at least two variants."""
    boards = list(dict.fromkeys(board for row in card for board in row["instructions"]))
    whole = card_table(card, boards)
    costs: list[tuple[str, list[Any]]] = [("blob, bytes", [row["blob_bytes"] for row in card])]
    costs += [(f"instructions, {boards[0]}", [mean_cost(row, boards[0]) for row in card])] if boards else []
    found: list[Section] = []
    for name, values in costs:
        known = [(i, value) for i, value in enumerate(values) if value]
        if len(known) > 1:
            table = short_table(card, known, name) if found else whole
            title = f"Accuracy over {name.split(',')[0]}"
            found.append(Section(title, [TEXT_OF_FRONT], front(card, known, name), [table]))
    exits = [row for row in card if row["exits"]]
    if found and exits:
        found.append(Section("Variants with exits", [], "", [exits_table(exits)]))
    return found or [Section("Variants", [], "", [whole])]


def card_table(card: Sequence[Data], boards: Sequence[str]) -> Table:
    """All of the card, numbered as in the pictures."""
    columns = (
        *("", "variant", "accuracy, %", "± %", "rows", "weights, bytes", "blob, bytes", "MACs"),
        *(f"instructions, {board}" for board in boards),
        "equal on the board",
    )
    rows = [
        (
            *(i, row["variant"], 100 * row["accuracy"], 100 * row["stderr"]),
            *(row[key] for key in ("samples", "weight_bytes", "blob_bytes", "macs")),
            *(row["instructions"].get(board) for board in boards),
            row["emulator_equal"],
        )
        for i, row in enumerate(card)
    ]
    return Table(columns, rows)


def short_table(card: Sequence[Data], known: Sequence[tuple[int, int]], name: str) -> Table:
    """What a picture shows, where the whole table stands elsewhere."""
    rows = [
        (i, card[i]["variant"], value, 100 * card[i]["accuracy"], 100 * card[i]["stderr"])
        for i, value in known
    ]
    return Table(("", "variant", name, "accuracy, %", "± %"), rows)


TEXT_OF_FRONT = (
    "Numbers are those of the table; bars are standard errors; the line joins variants that no other beats in both. "
    "With exits, instructions are a mean run's."
)


def mean_cost(row: Data, board: str) -> int | None:
    """Instructions of a mean run: by exits as estimated, else counted."""
    value = row["exits"]["mean_instructions"] if row["exits"] else row["instructions"].get(board)
    return None if value is None else int(value)


def front(card: Sequence[Data], known: Sequence[tuple[int, int]], name: str) -> str:
    dots, best = [], []
    most = float("-inf")
    for i, cost in sorted(known, key=lambda pair: (pair[1], -card[pair[0]]["accuracy"])):
        accuracy = 100 * card[i]["accuracy"]
        dots.append(svg.Dot(cost, accuracy, str(i), 100 * card[i]["stderr"]))
        if accuracy > most:
            most = accuracy
            best.append((float(cost), accuracy))
    return svg.scatter(dots, name, "accuracy, %", best)


def exits_table(rows: Sequence[Data]) -> Table:
    columns = (
        *("variant", "leave by exit, to the end, %", "mean", "95 % at most", "worst", "without exits"),
        "accuracy without exits, %",
    )
    cells = [
        (
            *(row["variant"], ", ".join(f"{100 * share:.1f}" for share in row["exits"]["shares"])),
            *(row["exits"][key] for key in ("mean_instructions", "p95_instructions", "worst_instructions")),
            row["exits"]["instructions_without_exits"],
            100 * row["exits"]["accuracy_without_exits"],
        )
        for row in rows
    ]
    return Table(columns, cells, "Instructions are estimates")


def exit_section(name: str, found: Data) -> Section:
    """The trade-off curve of a variant's exits."""
    judged = found["judged"]
    curve = sorted(found["curve"], key=lambda p: p["cost"])
    line = [(p["cost"], 100 * p["accuracy"]) for p in curve]
    band = [
        (p["cost"], 100 * (p["accuracy"] - p["lost_stderr"]), 100 * (p["accuracy"] + p["lost_stderr"]))
        for p in curve
    ]
    dots = [
        svg.Dot(judged["cost"], 100 * judged["accuracy"], "chosen"),
        svg.Dot(found["cost_without_exits"], 100 * judged["accuracy_last"], "no exits", hollow=True),
    ]
    return Section(
        f"Exits of {name}",
        [
            f"By {found['confidence']}, on {judged['rows']:,} rows that chose nothing: {100 * found['saved']:.1f} % "
            f"fewer instructions (estimates) than without exits, {100 * judged['lost']:+.2f} points lost by leaving. "
            "The band is one standard error of that loss.",
        ],
        svg.scatter(dots, "mean instructions, estimate", "accuracy, %", line, band),
        [shares_table(found), curve_table(curve)],
    )


def shares_table(found: Data) -> Table:
    """How many rows leave by each exit, and what a run to there costs."""
    thresholds = [*found["thresholds"], None]
    shares = [100 * share for share in found["judged"]["shares"]]
    rows = list(zip([*found["exits"], "the end"], thresholds, shares, found["costs"], strict=True))
    return Table(("behind", "threshold", "rows, %", "instructions, est."), rows)


def curve_table(curve: Sequence[Data]) -> Table:
    rows = [
        (
            *(", ".join(map(str, p["thresholds"])), p["cost"]),
            *(100 * p[key] for key in ("accuracy", "lost", "lost_stderr")),
        )
        for p in curve
    ]
    return Table(("thresholds", "mean, est.", "accuracy, %", "lost, points", "±"), rows, "The curve")


def leaving_section(m: Data, material: Material) -> Section:
    """How measured rows left, and what each stage takes."""
    columns = ("up to", "steps", "instructions", "of them the head")
    stages = [
        (s["name"], s["n_steps"], s["instructions"], s["head_instructions"] if s["head_steps"] else None)
        for s in m["stages"]
    ]
    return Section(
        material.titled("Stages", m),
        ["Exact counts, on seeded random input."],
        svg.bars([(name, [n or 0]) for name, _, n, _ in stages], ("instructions",)),
        [Table(columns, stages)],
    )


def board_sections(found: Data) -> list[Section]:
    answers = found["answers"]
    fit = [
        (
            *(
                a["verdict"],
                a["board"],
                a["variant"],
                a["flash_bytes"],
                a["flash_room_bytes"],
                a["ram_bytes"],
            ),
            *(a["ram_room_bytes"], "; ".join(a["why"])),
        )
        for a in answers
    ]
    columns = (
        *("meets", "board", "variant", "flash, est.", "flash of the board", "RAM, est."),
        *("RAM of the board", "why"),
    )
    asked = ", ".join(f"{key} {value:g}" for key, value in found["limits"].items() if value is not None)
    sections = [
        Section(
            "Boards",
            [f"Limits asked for: {asked}." if asked else "No limits were asked for but the boards' own."],
            tables=[Table(columns, fit)],
        )
    ]
    timed = [a for a in answers if a["latency_ms"] is not None]
    if timed:
        sections.append(predicted(found, timed))
    return sections


def predicted(found: Data, timed: Sequence[Data]) -> Section:
    several = len({a["variant"] for a in timed}) > 1
    drawn = [
        (
            f"{a['variant']} {a['board']}" if several else a["board"],
            a["latency_range_ms"][0],
            a["latency_ms"],
            a["latency_range_ms"][1],
        )
        for a in timed
    ]
    rows = [
        (
            *(a["board"], a["variant"], a["latency_ms"], *a["latency_range_ms"], a["energy_uj"]),
            *(a["energy_range_uj"] or (None, None)),
            *(a["mean_ma"], a["battery_days"]),
        )
        for a in timed
    ]
    columns = (
        *("board", "variant", "ms, est.", "from", "to", "µJ, est.", "from", "to"),
        *("mean mA, est.", "battery days, est."),
    )
    errors = {f"Error of times: {a['latency_error']}." for a in timed}
    errors |= {f"Error of energies: {a['energy_error']}." for a in timed if a["energy_error"]}
    return Section(
        "Predicted time and energy",
        [
            "All figures are estimates. The range is where the true figure lies if the estimate errs as those of "
            "published results did, point by point in docs/estimates.md.",
            *([f"The picture has the first {DRAWN} of {len(drawn)}."] if len(drawn) > DRAWN else []),
        ],
        svg.ranges(drawn[:DRAWN], "ms, est."),
        [Table(columns, rows)],
        [*sorted(errors), *found["assumptions"]],
    )
