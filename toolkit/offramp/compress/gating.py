"""What a family does whose gate names the graph that answers: see `GATE` in offramp.ir."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from offramp.compress.accuracy import Accuracy, accuracy, input_rows
from offramp.ir import GATE, Graph
from offramp.reference import run_all

Array = NDArray[Any]


def widths(family: Graph) -> list[Graph]:
    """Those that answer, the gate left out, each without members."""
    graphs = (family, *family.members)
    return [replace(g, members=()) for g in graphs if g is family or g.name != family.metadata.get(GATE)]


def named(gate: Graph, x: Array) -> Array:
    """Of rows x [n, ...] in real numbers the place of the graph that the gate names: of equal scores the first."""
    found: Array = run_all(gate, input_rows(gate, x)[0])[0].reshape(len(x), -1).argmax(axis=1)
    return found


def judged_by_gate(family: Graph, x: Array, y: Array) -> tuple[Accuracy, Array]:
    """The family's accuracy under its gate, and the shares of the rows that each width answers."""
    every, chosen = widths(family), named(family.members[-1], x)
    right = np.zeros(len(x), bool)
    for i, graph in enumerate(every):
        rows = chosen == i
        if rows.any():
            right[rows] = accuracy(graph, x[rows], y[rows]).right
    shares: Array = np.bincount(chosen, minlength=len(every)) / len(x)
    return Accuracy(right), shares
