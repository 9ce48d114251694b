"""A RAM limit that no plan can keep is refused without a search, and no limit that one keeps is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from offramp import boards
from offramp.errors import UserError
from offramp.frontends import load_model
from offramp.ir import Graph
from offramp.passes import optimize
from offramp.plan import Options
from offramp.plan import limit as limits
from offramp.plan.limit import MAX_TRIALS, Trials, banded, least_bytes
from offramp.plan.plan import Planner, planner_for
from tests.emulator.test_bands import deep_net
from tests.random_nets import random_net

AN386 = boards.load("mps2_an386")
SOAK = pytest.mark.soak
NETS = [
    *(pytest.param(deep_net, i, id=f"deep {i}", marks=[] if i < 3 else SOAK) for i in range(12)),
    *(pytest.param(random_net, i, id=f"random {i}", marks=[] if i < 4 else SOAK) for i in range(24)),
]


def seen_by_within(
    graph: Graph, monkeypatch: pytest.MonkeyPatch
) -> tuple[Planner, Callable[[Graph], Planner]]:
    """What a limit's search begins with."""
    found = []

    def within(limit: int, planner: Planner, plan: Callable[[Graph], Planner]) -> Planner:
        found.append((planner, plan))
        return planner

    monkeypatch.setattr("offramp.plan.plan.within", within)
    planner_for(graph, AN386, Options(ram_limit=1))
    return found[0]


@pytest.mark.parametrize(("net", "seed"), NETS)
def test_nothing_that_can_be_met_is_below_the_bound(
    net: Callable[[int], Graph], seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever kernels and bands are chosen: the whole search runs at limits about the bound and above."""
    graph = net(seed)
    for options in (Options(), Options(optimize="ram"), Options(keep_inputs=True)):
        usual = planner_for(graph, AN386, options)
        assert least_bytes(usual) <= usual.ram_bytes
    planner, plan = seen_by_within(graph, monkeypatch)
    least, state = least_bytes(planner), planner.ram_bytes - planner.arena_bytes
    for limit in (least // 2, least - 1, (least + planner.ram_bytes) // 2):
        found = banded(limit - state, planner, plan, Trials(MAX_TRIALS))
        assert found is None or (found.ram_bytes <= limit and limit >= least)


@pytest.mark.parametrize(
    "model", ["pretrainedResnet_quant", "kws_ref_model", pytest.param("vww_96_int8", marks=SOAK)]
)
def test_a_limit_below_the_bound_makes_no_more_than_a_hint_s_plans(
    model: str, shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planner, plan = seen_by_within(
        optimize(load_model(shared_data / f"mlperf_tiny/{model}.tflite"))[0], monkeypatch
    )
    made = []

    def counted(graph: Graph) -> Planner:
        made.append(graph)
        return plan(graph)

    for limit in (0, least_bytes(planner) - 1):
        made.clear()
        with pytest.raises(UserError, match=f"--ram-limit allows {limit} bytes") as refused:
            limits.within(limit, planner, counted)
        assert len(made) <= limits.HINT_TRIALS
        assert f"its inputs or outputs alone take {least_bytes(planner)} bytes" in refused.value.hint
