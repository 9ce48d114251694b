"""Model cards: what each variant of a model is worth and costs, measured; as card.json and as Markdown."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from offramp.boards import Board
from offramp.cli.exits import card_entry, exits_report
from offramp.compress.accuracy import accuracy, input_rows
from offramp.compress.cascade import judged_by_margin
from offramp.compress.data import Rows
from offramp.compress.exits.judging import judge_exits
from offramp.compress.gating import judged_by_gate
from offramp.exits import LAST, answers
from offramp.ir import CASCADE_MARGIN, Graph
from offramp.pack import pack
from offramp.passes.rewrite import macs
from offramp.plan import Options, Plan
from offramp_host.emulated import outputs_on
from offramp_host.measure import measure

EMULATED_ROWS = 500
COUNTS = ("mean_instructions", "p95_instructions", "worst_instructions", "instructions_without_exits")


@dataclass(frozen=True)
class CardRow:
    """A variant, or one plan of a family, which `variant` then names behind the family.

    `weight_bytes`: of the weighted layers' parameter blocks that the plan reads, biases and scales included; of a float
    model 4 bytes a parameter. `blob_bytes`: with all plans. `emulator_equal`: rows whose outputs on the board equal the
    reference in every byte. `exits`: shares of the rows by exit and to the end, estimated instructions on the first
    board, accuracy by them and without; None where the graph has none.
    """

    variant: str
    accuracy: float
    stderr: float
    samples: int
    weight_bytes: int
    blob_bytes: int | None
    macs: int
    instructions: dict[str, int] = field(default_factory=dict)
    emulator_equal: str | None = None
    exits: dict[str, Any] | None = None


def card_rows(
    name: str,
    graph: Graph,
    rows: Rows,
    boards: Sequence[Board],
    options: Options,
    emulated: int = EMULATED_ROWS,
) -> list[CardRow]:
    """Measures a graph on labelled rows through the reference and, where it is of integers, on emulated boards.

    The blob is the first board's, and so are the rows that are run in the emulator. A family has a row a plan; one that
    a gate decides over has one more, and so has one that states a margin for a cascade.
    """
    x, y = rows.labelled("a model card")
    if graph.is_float:
        return [CardRow(name, *judged(graph, x, y), float_bytes(graph), None, macs(graph))]
    plan, blob = pack(graph, boards[0], options)
    counts = {board.name: instructions(graph, board, options) for board in boards}
    given = input_rows(graph, x[:emulated])[0]
    found = [
        CardRow(
            f"{name}, plan {each.name}" if plan.members else name,
            *judged(member, x, y),
            bytes_of_weights(each),
            len(blob),
            each.macs,
            {board: of_plans[i] for board, of_plans in counts.items()},
            equal_rows(boards[0], blob, i, given, answered(member, given)),
            card_entry(exits_report(member, rows, boards[0])) if member.exits else None,
        )
        for i, (member, each) in enumerate(zip((graph, *graph.members), plan.every, strict=True))
        if i + 1 != plan.gate
    ]
    by_margin = [cascade_row(name, graph, x, y, found)] if CASCADE_MARGIN in graph.metadata else []
    by_gate = [gate_row(name, graph, x, y, plan, found, counts)] if plan.gate else []
    return [*found, *by_margin, *by_gate]


def cascade_row(
    name: str, graph: Graph, x: NDArray[Any], y: NDArray[Any], rows: Sequence[CardRow]
) -> CardRow:
    """The cheapest, and where unsure the first too: means over the rows."""
    found, again = judged_by_margin(graph, x, y)
    cheap, dear = min(reversed(rows), key=lambda row: row.macs), rows[0]
    mean = {board: round(n + again * dear.instructions[board]) for board, n in cheap.instructions.items()}
    return CardRow(
        f"{name}, {graph.name} where unsure",
        *(found.value, found.stderr, found.samples),
        dear.weight_bytes,
        dear.blob_bytes,
        round(cheap.macs + again * dear.macs),
        mean,
    )


def gate_row(
    name: str,
    graph: Graph,
    x: NDArray[Any],
    y: NDArray[Any],
    plan: Plan,
    rows: Sequence[CardRow],
    counts: dict[str, list[int]],
) -> CardRow:
    """The family under its gate: means over the rows, the gate's own run included."""
    found, shares = judged_by_gate(graph, x, y)
    gate = plan.every[plan.gate - 1]

    def mean(of_widths: Sequence[int], of_gate: int) -> int:
        return round(float(np.dot(shares, of_widths))) + of_gate

    return CardRow(
        f"{name}, by the gate",
        *(found.value, found.stderr, found.samples),
        bytes_of_weights(gate),
        rows[0].blob_bytes,
        mean([row.macs for row in rows], gate.macs),
        {board: mean(n[: len(rows)], n[plan.gate - 1]) for board, n in counts.items()},
    )


def judged(graph: Graph, x: NDArray[Any], y: NDArray[Any]) -> tuple[float, float, int]:
    """Accuracy, its standard error, and the rows."""
    if graph.exits and not graph.is_float:
        by_exits = judge_exits(graph, x, y)
        return by_exits.accuracy, by_exits.stderr, by_exits.rows
    found = accuracy(graph, x, y)
    return found.value, found.stderr, found.samples


def answered(graph: Graph, given: NDArray[Any]) -> list[NDArray[Any]]:
    """What a run gives for each row: the answer of the exit by which it leaves."""
    found = answers(graph, given)
    every = [found.last, *found.exits]
    left = found.left([e.threshold for e in graph.exits])
    return [every[exit_ - LAST][i] for i, exit_ in enumerate(left)]


def bytes_of_weights(plan: Plan) -> int:
    """Parameter blocks, and planes that are operands; what steps share counts once."""
    places = {}
    for step in plan.steps:
        if step.macs:
            places[step.params] = step.params_bytes
            tensors = [plan.tensors[i] for i in step.inputs if plan.tensors[i].memory == "constant"]
            places |= {t.offset: t.tensor.bytes for t in tensors}
    return sum(places.values())


def instructions(graph: Graph, board: Board, options: Options) -> list[int]:
    """Of each plan, counted in the emulator."""
    found = measure(board, pack(graph, board, options)[1], name=graph.name)
    counts = [p.instructions_per_inference for p in found.plans] or [found.instructions_per_inference]
    assert None not in counts, board.name
    return [n for n in counts if n is not None]


def equal_rows(
    board: Board, blob: bytes, plan: int, given: NDArray[Any], wanted: Sequence[NDArray[Any]]
) -> str:
    found = outputs_on(board, blob, list(given), plan=plan)
    equal = sum(np.array_equal(a.reshape(-1), b.reshape(-1)) for a, b in zip(found, wanted, strict=True))
    return f"{equal} of {len(given)}"


def float_bytes(graph: Graph) -> int:
    return sum(t.bytes for t in graph.tensors if t.data is not None and t.dtype == "f32")


def as_json(rows: Sequence[CardRow]) -> str:
    return json.dumps([asdict(row) for row in rows], indent=2) + "\n"


def as_markdown(rows: Sequence[CardRow], boards: Sequence[str] | None = None) -> str:
    """The table of a card, with instructions on these boards; without them, on all that it has."""
    if boards is None:
        boards = list(dict.fromkeys(board for row in rows for board in row.instructions))
    counts = [f"instructions, {board}" for board in boards]
    names = ["variant", "accuracy", "weights, bytes", "blob, bytes", "MACs", *counts, "equal on the board"]
    lines = [f"| {' | '.join(names)} |", "|" + "---|" * len(names)]
    for row in rows:
        cells = [
            row.variant,
            f"{100 * row.accuracy:.2f} ± {100 * row.stderr:.2f} %",
            f"{row.weight_bytes:,}",
            "" if row.blob_bytes is None else f"{row.blob_bytes:,}",
            f"{row.macs:,}",
            *(f"{row.instructions[b]:,}" if b in row.instructions else "" for b in boards),
            row.emulator_equal or "",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, *lines_of_exits([row for row in rows if row.exits])]) + "\n"


def lines_of_exits(rows: Sequence[CardRow]) -> list[str]:
    """A second table: what exits save, instructions estimated on the first board."""
    if not rows:
        return []
    names = [
        "leaves by exit, to the end",
        "mean",
        "95 % at most",
        "worst",
        "without exits",
        "accuracy without exits",
    ]
    lines = ["", f"| {' | '.join(['exits', *names])} |", "|" + "---|" * (1 + len(names))]
    for row in rows:
        assert row.exits is not None
        counts = [f"{row.exits[key]:,}" for key in COUNTS]
        shares = ", ".join(f"{100 * share:.1f}" for share in row.exits["shares"]) + " %"
        cells = [row.variant, shares, *counts, f"{100 * row.exits['accuracy_without_exits']:.2f} %"]
        lines.append(f"| {' | '.join(cells)} |")
    return lines
