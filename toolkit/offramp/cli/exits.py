"""What `offramp compress` and cards say of exits: instructions from the plan, a table, the curve as a picture."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import accumulate
from typing import Any

from offramp.boards import Board
from offramp.cli.output import print_table
from offramp.compress.data import Rows
from offramp.compress.exits.calibrate import Judged
from offramp.compress.exits.judging import Costs, evidence_on, macs_by_exit, report
from offramp.ir import Graph
from offramp.pack import pack
from offramp.plan import Options
from offramp.search.plot import import_pyplot


def instructions_by_exit(board: Board) -> Costs:
    """Estimated instructions of a run by each exit and to the end; MACs where the board's cost table lacks a kernel."""

    def costs(graph: Graph) -> Sequence[float]:
        plan, _ = pack(graph, board, Options())
        if not plan.exits:
            return [float(plan.instructions or plan.macs)]
        stages = [stage.instructions for stage in plan.stages]
        return [float(n) for n in accumulate(stages)] if all(stages) else macs_by_exit(graph)

    return costs


def exits_report(
    graph: Graph, rows: Rows, board: Board, family: Sequence[Sequence[int]] = (), normal: float | None = None
) -> dict[str, Any]:
    """On rows that chose nothing; keys as offramp.compress.exits.judging.report has them."""
    return report(graph, evidence_on(graph, rows.x, rows.y, normal), instructions_by_exit(board), family)


def card_entry(found: Mapping[str, Any]) -> dict[str, Any]:
    """What a model card says of exits."""
    judged: Judged = found["judged"]
    return {
        "shares": list(judged.shares),
        "mean_instructions": round(judged.cost),
        "worst_instructions": round(judged.worst),
        "p95_instructions": round(judged.p95),
        "accuracy": judged.accuracy,
        "accuracy_without_exits": judged.accuracy_last,
        "instructions_without_exits": round(found["cost_without_exits"]),
    }


def as_plain(found: Mapping[str, Any]) -> dict[str, Any]:
    """For --json."""
    return {**found, "judged": asdict(found["judged"])}


def print_exits(found: Mapping[str, Any], board: str) -> None:
    judged: Judged = found["judged"]
    names, thresholds = [*found["exits"], "the end"], [*found["thresholds"], ""]
    rows = [
        (name, threshold, f"{100 * share:.1f} %", round(cost))
        for name, threshold, share, cost in zip(names, thresholds, judged.shares, found["costs"], strict=True)
    ]
    print_table(
        f"exits by {found['confidence']}, {judged.rows} rows that chose nothing",
        ("behind", "threshold", "rows", f"instructions, {board}"),
        rows,
    )
    low, high = judged.lost_interval
    facts = [
        ("mean", f"{judged.cost:,.0f}, {found['saved']:.1%} less than without exits"),
        ("95 % of the rows", f"{judged.p95:,.0f} at most"),
        ("worst", f"{judged.worst:,.0f}; without exits {found['cost_without_exits']:,.0f}"),
        ("accuracy", f"{100 * judged.accuracy:.2f} ± {100 * judged.stderr:.2f} %"),
        (
            "lost by leaving",
            f"{100 * judged.lost:+.2f} ± {100 * judged.lost_stderr:.2f} points, 95 %: {100 * low:+.2f} to "
            f"{100 * high:+.2f}",
        ),
    ]
    print_table("", ("", ""), facts)


def curve_png(found: Mapping[str, Any], board: str) -> bytes:
    """Accuracy over mean instructions, with the loss's standard error; the chosen thresholds and no exits marked."""
    plt = import_pyplot()
    figure, axis = plt.subplots(figsize=(5.2, 4))
    judged: Judged = found["judged"]
    points = sorted(found["curve"], key=lambda p: p["cost"])
    x, y = [p["cost"] / 1e6 for p in points], [100 * p["accuracy"] for p in points]
    error = [100 * p["lost_stderr"] for p in points]
    axis.plot(x, y, color="0.5", linewidth=1)
    axis.fill_between(
        x, [a - e for a, e in zip(y, error, strict=True)], [a + e for a, e in zip(y, error, strict=True)],
        color="0.9", label="± standard error of the loss",
    )  # fmt: skip
    axis.scatter(
        [judged.cost / 1e6], [100 * judged.accuracy], s=40, color="#1f5fa8", zorder=3, label="chosen"
    )
    axis.scatter(
        [found["cost_without_exits"] / 1e6], [100 * judged.accuracy_last], s=40, facecolors="none", edgecolors="0.3",
        zorder=3, label="without exits",
    )  # fmt: skip
    axis.set_xlabel(f"mean instructions on {board}, millions (estimate)")
    axis.set_ylabel(f"accuracy on {judged.rows} rows that chose nothing, %")
    axis.grid(True, linewidth=0.4)
    axis.legend(loc="lower right", fontsize=8)
    figure.tight_layout()
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=120, metadata={"Software": None})
    plt.close(figure)
    return out.getvalue()
