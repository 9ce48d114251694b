"""Brings an arena under a limit: stretches of layers run in bands of rows, where it must be and as little as may be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from offramp.errors import UserError
from offramp.ir import Graph
from offramp.plan.bands import Chain, begins, chains, in_bands, live_bytes

if TYPE_CHECKING:
    from offramp.plan.plan import Planner

MAX_TRIALS = 60  # plans made before giving up
ROUNDS = 5  # of the search for the limit that can be met


def within(limit: int, planner: Planner, plan: Callable[[Graph], Planner]) -> Planner:
    """A plan whose arena and state have at most `limit` bytes, made of `planner` by `plan`; UserError if none is
    found."""
    state = planner.ram_bytes - planner.arena_bytes
    found = banded(limit - state, planner, plan)
    if found is None:
        low, most = limit - state, planner.arena_bytes
        for _ in range(ROUNDS):
            other = banded((low + most) // 2, planner, plan)
            low, most = (low, other.arena_bytes) if other else ((low + most) // 2, most)
        raise UserError(
            f"{planner.graph.name}: arena and state take {most + state} bytes at least, "
            f"--ram-limit allows {limit} bytes",
            f"try --ram-limit {most + state}, or a smaller model",
        )
    return found if found is planner else found.refined()


def banded(limit: int, planner: Planner, plan: Callable[[Graph], Planner]) -> Planner | None:
    """The first of more and more banded plans that keeps the limit.

    The first op that is over it is helped by the stretch around it that computes least again.
    """
    trials = 0
    while planner.arena_bytes > limit:
        graph, during = planner.graph, planner.bytes_during()
        first = next((i for i, n in enumerate(during) if n > limit), during.index(max(during)))
        for macs, chain in chains(graph, first):
            if trials == MAX_TRIALS:
                return None
            if not may_fit(planner, chain, limit):
                continue
            trials += 1
            other = plan(told(in_bands(graph, chain), graph, chain, macs))
            if other.arena_bytes <= limit or settled(other, limit, len(graph.ops) - 1 - chain.last):
                planner = other
                break
        else:
            return None
    return planner


def may_fit(planner: Planner, chain: Chain, limit: int) -> bool:
    """Whether the chain's input and output and what a band holds between leave any hope."""
    graph = planner.graph
    source, result = graph.ops[chain.first].inputs[0], graph.ops[chain.last].outputs[0]
    held = graph.tensors[source].bytes if planner.in_arena(planner.place_of(source)) else 0
    return max(held + live_bytes(graph, chain), graph.tensors[result].bytes) <= limit


def settled(planner: Planner, limit: int, behind: int) -> bool:
    """Whether what is over the limit is among the last `behind` ops."""
    during = planner.bytes_during()
    return max(during) > limit and all(n <= limit for n in during[: len(during) - behind])


def told(after: Graph, before: Graph, chain: Chain, macs: int) -> Graph:
    """With what was done in the metadata."""
    first, last = before.ops[chain.first], before.ops[chain.last]
    n = len(begins(before, chain))
    text = f"{first.name} to {last.name} in {n} bands ({macs:,} MACs computed again)"
    known = before.metadata.get("bands")
    return replace(after, metadata={**before.metadata, "bands": f"{known}; {text}" if known else text})
