"""Makes the planner take a certain one of the ways in which a kernel set serves an op."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

from offramp.kernels import dsp
from offramp.plan.cost import CostTable

DSP_WAYS = max(map(len, dsp.LOWER.values()))


@contextmanager
def preferring(way: int) -> Iterator[None]:
    """Within it the dsp set offers its way of this number first, where an op has so many."""
    turned = {kind: (*lowers[way:], *lowers[:way]) for kind, lowers in dsp.LOWER.items()}
    with patch.dict(dsp.LOWER, turned), without_costs():
        yield


@contextmanager
def without_costs() -> Iterator[None]:
    """Within it the first way is taken, whatever it costs."""
    with patch("offramp.plan.choose.cost_table", lambda core: CostTable({})):
        yield
