"""Makes the planner take a certain one of the ways in which a kernel set serves an op."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from offramp.kernels import candidates, compact_ways, dsp
from offramp.ops import Step
from offramp.plan.cost import CostTable

DSP_WAYS = max(map(len, dsp.DENSE.values()))  # whatever the weights


@contextmanager
def preferring(way: int) -> Iterator[None]:
    """Within it the dsp set offers its way of this number first, where an op has so many."""
    turned = {kind: (*lowers[way:], *lowers[:way]) for kind, lowers in dsp.LOWER.items()}
    with patch.dict(dsp.LOWER, turned), without_costs():
        yield


@contextmanager
def without_costs() -> Iterator[None]:
    """Within it the first way is taken, whatever it costs."""
    with (
        patch("offramp.plan.choose.cost_table", lambda core: CostTable({})),
        patch("offramp.plan.choose.uncosted", lambda found, named: found[0]),
    ):
        yield


@contextmanager
def taking(kernel: str) -> Iterator[None]:
    """Within it the planner takes the way by this kernel, called set/name, where an op has it, else the first."""

    def turned(*arguments: Any) -> list[list[Step]]:
        graph, op, *_ = arguments
        found = [*candidates(*arguments), *compact_ways(graph, op)]
        return sorted(found, key=lambda way: f"{way[0].kernel.set}/{way[0].kernel.name}" != kernel)

    with patch("offramp.plan.choose.candidates", turned), without_costs():
        yield
