"""Orders ops for the smallest peak of live activations: shortest path over sets of ops done, peak as length."""

from __future__ import annotations

import heapq

from offramp.ir import Graph
from offramp.ops import OPS

MAX_STATES = 20_000  # beyond this the file's own order stands


def dependencies(graph: Graph) -> list[set[int]]:
    """For each op the ops that must run before it: data, and accesses to a variable in their order."""
    producers = graph.producers()
    consumers = graph.consumers()
    before: list[set[int]] = [{producers[t] for t in op.inputs if t in producers} for op in graph.ops]
    last_access: dict[str, list[int]] = {}
    for i, op in enumerate(graph.ops):
        if op.kind not in ("read_variable", "assign_variable"):
            continue
        earlier = last_access.setdefault(op.attributes.variable, [])
        if op.kind == "assign_variable":
            # Whoever uses a value read before this assignment runs before it: a read may be a view of the state.
            before[i].update(earlier, (r for e in earlier for r in users_of(graph, e, consumers) if r < i))
        else:
            before[i].update(e for e in earlier if graph.ops[e].kind == "assign_variable")
        earlier.append(i)
    return before


def users_of(graph: Graph, op: int, consumers: dict[int, list[int]]) -> set[int]:
    """Ops that use an op's outputs, also under another shape."""
    direct = {c for t in graph.ops[op].outputs for c in consumers.get(t, [])}
    through_views = (users_of(graph, c, consumers) for c in direct if OPS[graph.ops[c].kind].is_view)
    return direct.union(*through_views)


def order(graph: Graph) -> list[int]:
    """Op indices in an order that respects dependencies and has the least peak found."""
    before = dependencies(graph)
    consumers = graph.consumers()
    arena = {t for op in graph.ops for t in op.outputs} | set(graph.inputs)
    size = {t: graph.tensors[t].bytes for t in arena}
    n = len(graph.ops)
    users = {
        t: sum(1 << c for c in set(consumers.get(t, []))) | ((1 << n) if t in graph.outputs else 0)
        for t in arena
    }
    needs = [sum(1 << b for b in deps) for deps in before]
    made = [(1 << i, op.outputs) for i, op in enumerate(graph.ops)]

    def live(done: int) -> int:
        """Bytes of tensors that exist after `done` and that someone still needs."""
        exist = [t for bit, outputs in made if done & bit for t in outputs]
        return sum(size[t] for t in (*exist, *graph.inputs) if users[t] & ~done)

    heap: list[tuple[int, int, int, int, tuple[int, ...]]] = [(0, 0, 0, live(0), ())]
    seen: set[int] = set()
    while heap and len(seen) < MAX_STATES:
        peak, _, done, held, path = heapq.heappop(heap)
        if len(path) == n:
            return list(path)
        if done in seen:
            continue
        seen.add(done)
        for i in range(n):
            if done >> i & 1 or needs[i] & ~done:
                continue
            after = done | 1 << i
            during = held + sum(size[t] for t in graph.ops[i].outputs)
            heapq.heappush(heap, (max(peak, during), -len(path) - 1, after, live(after), (*path, i)))
    return list(range(n))
