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
HINT_TRIALS, HINT_ROUNDS = 2, 5  # of the search for a limit that can be met


class Trials:
    """How many more plans may be made."""

    def __init__(self, most: int) -> None:
        self.left = most

    def taken(self) -> bool:
        """Whether there was one more."""
        self.left -= 1
        return self.left >= 0


def within(limit: int, planner: Planner, plan: Callable[[Graph], Planner]) -> Planner:
    """A plan whose arena and state have at most `limit` bytes, made of `planner` by `plan`; UserError if none is
    found."""
    least, state = least_bytes(planner), planner.ram_bytes - planner.arena_bytes
    found = banded(limit - state, planner, plan, Trials(MAX_TRIALS)) if limit >= least else None
    if found is None:
        most = state + mended(max(limit, least) - state, planner, plan)
        why = f"its inputs or outputs alone take {least} bytes; " if limit < least else ""
        raise UserError(
            f"{planner.graph.name}: arena and state take {most} bytes in the smallest plan that was found, "
            f"--ram-limit allows {limit} bytes",
            f"{why}try --ram-limit {most}, or a smaller model",
        )
    return found if found is planner else found.refined()


def least_bytes(planner: Planner) -> int:
    """Of arena and state, whatever is banded: inputs lie there together, and each output, whole."""
    graph, state = planner.graph, planner.ram_bytes - planner.arena_bytes
    ports = {i for i in (*graph.inputs, *graph.outputs) if planner.in_arena(i)}
    sizes = {i: graph.tensors[i].bytes for i in ports if planner.in_arena(planner.place_of(i))}
    return state + max((sum(sizes.get(i, 0) for i in set(graph.inputs)), *sizes.values()))


def mended(low: int, planner: Planner, plan: Callable[[Graph], Planner]) -> int:
    """The least arena that a short search above `low` finds."""
    most, trials = planner.arena_bytes, Trials(HINT_TRIALS)
    for _ in range(HINT_ROUNDS):
        other = banded((low + most) // 2, planner, plan, trials)
        low, most = (low, other.arena_bytes) if other else ((low + most) // 2, most)
    return most


def banded(limit: int, planner: Planner, plan: Callable[[Graph], Planner], trials: Trials) -> Planner | None:
    """The first of more and more banded plans that keeps the limit.

    The first op that is over it is helped by the stretch around it that computes least again.
    """
    while planner.arena_bytes > limit:
        graph, during = planner.graph, planner.bytes_during()
        first = next((i for i, n in enumerate(during) if n > limit), during.index(max(during)))
        for macs, chain in chains(graph, first):
            if not may_fit(planner, chain, limit):
                continue
            if not trials.taken():
                return None
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
