"""Model cards: what each variant of a model is worth and costs, measured; as card.json and as Markdown."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from offramp.boards import Board
from offramp.compress.accuracy import input_rows
from offramp.compress.data import Rows
from offramp.ir import Graph
from offramp.ops import OPS
from offramp.pack import pack
from offramp.plan import Options, Plan
from offramp.reference import run_all
from offramp_host.emulated import outputs_on
from offramp_host.measure import measure

EMULATED_ROWS = 500


@dataclass(frozen=True)
class CardRow:
    """`weight_bytes`: of the weighted layers' parameter blocks in the blob, biases and scales included; of a float
    model 4 bytes a parameter. `emulator_equal`: rows whose outputs on the board equal the reference in every byte."""

    variant: str
    accuracy: float
    stderr: float
    samples: int
    weight_bytes: int
    blob_bytes: int | None
    macs: int
    instructions: dict[str, int] = field(default_factory=dict)
    emulator_equal: str | None = None


def card_row(
    name: str,
    graph: Graph,
    rows: Rows,
    boards: Sequence[Board],
    options: Options,
    emulated: int = EMULATED_ROWS,
) -> CardRow:
    """Measures a graph on labelled rows through the reference and, where it is of integers, on emulated boards.

    The blob is the first board's, and so are the rows that are run in the emulator.
    """
    x, y = rows.labelled("a model card")
    given = x if graph.is_float else input_rows(graph, x)[0]
    outputs = run_all(graph, given)[0]
    right = outputs.reshape(len(x), -1).argmax(axis=1) == y
    accuracy = float(right.mean())
    error = float(np.sqrt(accuracy * (1 - accuracy) / len(x)))
    if graph.is_float:
        return CardRow(name, accuracy, error, len(x), float_bytes(graph), None, macs_of(graph))
    plan, blob = pack(graph, boards[0], options)
    counts = {board.name: instructions(graph, board, options) for board in boards}
    equal = equal_rows(boards[0], blob, given[:emulated], outputs[:emulated])
    weight_bytes = bytes_of_weights(plan)
    return CardRow(name, accuracy, error, len(x), weight_bytes, len(blob), plan.macs, counts, equal)


def bytes_of_weights(plan: Plan) -> int:
    """Of all plans, what is shared counted once: parameter blocks, and planes that are operands."""
    places = {}
    for each in plan.every:
        for step in each.steps:
            if step.macs:
                places[step.params] = step.params_bytes
                tensors = [each.tensors[i] for i in step.inputs if each.tensors[i].memory == "constant"]
                places |= {t.offset: t.tensor.bytes for t in tensors}
    return sum(places.values())


def instructions(graph: Graph, board: Board, options: Options) -> int:
    """Counted in the emulator."""
    found = measure(board, pack(graph, board, options)[1], name=graph.name).instructions_per_inference
    assert found is not None, board.name
    return found


def equal_rows(board: Board, blob: bytes, given: NDArray[Any], outputs: NDArray[Any]) -> str:
    found = outputs_on(board, blob, list(given))
    equal = sum(np.array_equal(a.reshape(-1), b.reshape(-1)) for a, b in zip(found, outputs, strict=True))
    return f"{equal} of {len(given)}"


def float_bytes(graph: Graph) -> int:
    return sum(t.bytes for t in graph.tensors if t.data is not None and t.dtype == "f32")


def macs_of(graph: Graph) -> int:
    total = 0
    for op in graph.ops:
        inputs = [graph.tensors[i] if i >= 0 else None for i in op.inputs]
        total += OPS[op.kind].macs(op.attributes, inputs, [graph.tensors[i] for i in op.outputs])
    return total


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
    return "\n".join(lines) + "\n"
