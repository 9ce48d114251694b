"""What exits are worth and cost on given rows: shares, mean, worst case, accuracy, curve."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from offramp.compress.accuracy import checked_labels, input_rows
from offramp.compress.exits.calibrate import (
    Calibrated,
    Evidence,
    Judged,
    evidence_of_classes,
    evidence_of_errors,
    judge,
)
from offramp.compress.exits.heads import is_detector
from offramp.compress.exits.points import op_macs
from offramp.compress.rounding import real_values
from offramp.errors import UserError
from offramp.ir import Graph
from offramp.ops.op import Array
from offramp.passes.rewrite import without_unused
from offramp.reference import run_all

# Graph -> cost of a run that leaves by each exit, and of one to the end, in one unit.
Costs = Callable[[Graph], Sequence[float]]


def macs_by_exit(graph: Graph) -> list[float]:
    """MACs of a run that leaves by each exit, heads on the way included, and of one to the end."""
    producers, done, found = graph.producers(), set[int](), []
    for outputs in [
        *[{graph.outputs[e.answer], graph.outputs[e.estimate]} for e in graph.exits],
        graph.own_outputs,
    ]:
        waiting = [producers[t] for t in outputs if t in producers]
        while waiting:
            op = waiting.pop()
            if op not in done:
                done.add(op)
                waiting += [producers[t] for t in graph.ops[op].inputs if t in producers]
        found.append(float(sum(op_macs(graph, graph.ops[op]) for op in done)))
    return found


def without_exits(graph: Graph) -> Graph:
    """The same graph, its runs all going to the end: the bits of its own outputs are the same."""
    return without_unused(replace(graph, outputs=graph.own_outputs, exits=()))


def evidence_on(graph: Graph, x: Array, y: Array | None, normal: float | None = None) -> Evidence:
    """What exits and end of an integer graph say of rows x [n, ...] in real numbers.

    Of a detector `normal` is the largest error that is taken as normal; else labels y [n] are needed.
    """
    if graph.is_float:
        raise UserError(
            f"{graph.name} is a float graph", "its exits have no thresholds before it is quantized"
        )
    found = run_all(graph, *input_rows(graph, x))
    estimates = [found[e.estimate] for e in graph.exits]
    if is_detector(graph):
        output = real_values(found[0], graph.tensors[graph.outputs[0]])
        return evidence_of_errors(estimates, errors(x, output), normal)
    if y is None:
        raise UserError(
            "exits of a classifier need labels, the data has none", "add an array y [n] of class numbers"
        )
    answers, labels = [found[e.answer] for e in graph.exits], checked_labels(graph, y, len(x))
    return replace(evidence_of_classes(answers, found[0], labels), estimates=estimates)


def errors(x: Array, output: Array) -> Array:
    """[n]: mean square of the difference between rows and what the graph makes of them."""
    squares = (x.reshape(output.shape) - output) ** 2
    return np.asarray(squares.mean(axis=tuple(range(1, squares.ndim))))


def judge_exits(graph: Graph, x: Array, y: Array | None) -> Judged:
    """A graph's own exits and thresholds on rows that chose nothing; cost is MACs."""
    e = graph.exits
    return judge(
        evidence_on(graph, x, y), macs_by_exit(graph), e[0].confidence, [exit_.threshold for exit_ in e]
    )


def report(
    graph: Graph, evidence: Evidence, costs: Costs, family: Sequence[Sequence[int]] = ()
) -> dict[str, Any]:
    """Plain data for --json: exits, shares, costs, accuracy, and the curve over a family of thresholds.

    `evidence` must be of rows that chose nothing.
    """
    by_exit, without = list(costs(graph)), float(costs(without_exits(graph))[-1])
    kind, thresholds = graph.exits[0].confidence, [e.threshold for e in graph.exits]
    found = judge(evidence, by_exit, kind, thresholds)
    return {
        "confidence": kind,
        "exits": [e.name for e in graph.exits],
        "thresholds": thresholds,
        "costs": by_exit,
        "cost_without_exits": without,
        "saved": 1 - found.cost / without,
        "judged": found,
        "curve": curve(evidence, by_exit, kind, family),
    }


def curve(
    evidence: Evidence, costs: Sequence[float], kind: str, family: Sequence[Sequence[int]]
) -> list[dict[str, Any]]:
    """Accuracy and mean cost over the thresholds of a family, a row a point, each loss with its standard error."""
    found: list[tuple[Sequence[int], Judged]] = [(t, judge(evidence, costs, kind, t)) for t in family]
    return [
        {
            "thresholds": list(t),
            "cost": j.cost,
            "accuracy": j.accuracy,
            "lost": j.lost,
            "lost_stderr": j.lost_stderr,
        }
        for t, j in found
    ]


def described(graph: Graph, found: Calibrated, costs: Sequence[float], rows: int) -> str:
    """The line of a step: it is of rows that have chosen."""
    places = ", ".join(f"{e.name} {e.threshold}" for e in graph.exits)
    return (
        f"exits by {found.confidence} at {places}: {found.cost / costs[-1]:.0%} of the cost, {100 * found.lost:+.1f} "
        f"points lost, at most {100 * found.bound:.1f}, on the {rows} rows that chose"
    )
