"""Chooses how each op is served: the cheapest way by the cost table, within what the user wants and allows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from offramp.boards import Board
from offramp.errors import UserError
from offramp.ir import Graph, Op, Tensor
from offramp.kernels import candidates, choose_sets, compact_ways
from offramp.ops import OPS, Kernel, ShapeError, Step
from offramp.ops.compressed import fits_nibbles, zero_fraction
from offramp.ops.op import elements
from offramp.plan.arena import aligned
from offramp.plan.cost import Cost, CostTable, cost_table
from offramp.plan.options import Options

NEAR = 1.01
"""Ways within 1 % of the cheapest cost the same, and the first of them is taken: figures stay stable."""
WORTH = {"balanced": 1e-2 / 1024, "speed": 1e-3 / 1024, "flash": 1e-2 / 1024, "ram": 1e-2 / 1024}
"""What a byte of kernel code must save, as a share of the whole inference."""
SAVED = {"balanced": 1e-2 / 1024, "speed": 0.0, "flash": 0.0, "ram": 1e-2 / 1024}
"""What a byte of constants below the weights at int8 is worth, as a share of the whole inference; `flash` counts all
bytes first."""
EXPANSION = 4
"""What `speed` allows: the constants of the graph so many times."""


@dataclass(frozen=True)
class Way:
    """One way of serving an op; all costs are estimates, None where a kernel has no row in the table."""

    steps: tuple[Step, ...]
    constants_bytes: int
    cost: Cost | None = None
    flash_cycles: float = 0.0
    """For reading what lies in flash, beside the core's own cycles."""
    saved_bytes: int = 0
    """By which all constants are fewer than the weights alone at int8."""
    compact: bool = False
    """Only for `flash` and where a limit asks for it."""

    @property
    def cycles(self) -> float:
        return (self.cost.cycles if self.cost else 0.0) + self.flash_cycles

    @property
    def instructions(self) -> float:
        return self.cost.instructions if self.cost else 0.0

    @property
    def scratch_bytes(self) -> int:
        return max((step.scratch_bytes for step in self.steps), default=0)

    @property
    def kernels(self) -> frozenset[Kernel]:
        return frozenset(step.kernel for step in self.steps)


@dataclass(frozen=True)
class Weights:
    """What reports say of an op's weights."""

    bytes: int
    """At int8."""
    zeros: float
    """The share of them."""
    nibbles: bool
    """Whether all are in [-8, 7]."""


@dataclass(frozen=True)
class Candidates:
    """An op's ways, in the order of the kernel sets."""

    op: Op
    ways: tuple[Way, ...]
    int8_bytes: int | None
    """What constants at int8 size take at most; None where the op has no weights."""
    weights: Weights | None = None

    def expands(self, way: Way) -> bool:
        return self.int8_bytes is not None and way.constants_bytes > self.int8_bytes


Chosen = Mapping[int, Way]
"""By index of the op in the graph."""
Rank = Callable[[Way], Any]


@dataclass(frozen=True)
class Pressure:
    """The arena of a choice with the state, and the ops that run while most of it lives."""

    ram_bytes: int
    peak_bytes: int
    ops: tuple[int, ...]


def needs_kernels(op: Op) -> bool:
    return op.kind not in ("read_variable", "assign_variable") and not OPS[op.kind].is_view


def all_candidates(graph: Graph, board: Board, options: Options) -> dict[int, Candidates]:
    """For each op that needs kernels; UserError where it has none."""
    sets = choose_sets(options.kernels, board.kernels)
    table, named = cost_table(board.core.name), options.kernels != "auto"
    return {
        i: Candidates(
            op,
            tuple(ways(graph, op, board, sets, table, named)),
            int8_bytes(graph, op),
            weights_of(graph, op),
        )
        for i, op in enumerate(graph.ops)
        if needs_kernels(op)
    }


def ways(
    graph: Graph, op: Op, board: Board, sets: tuple[str, ...], table: CostTable, named: bool
) -> list[Way]:
    """One alone, unless all have costs: the first if a set was named, else generic's where it has one."""
    try:
        found = [way(graph, steps, board, table) for steps in candidates(graph, op, board.core, sets, named)]
        tensor = weights_tensor(graph, op)
        most = tensor.bytes if tensor is not None else 0
        found = [replace(w, saved_bytes=max(0, most - w.constants_bytes)) for w in found]
        if not named:
            compact = (way(graph, steps, board, table) for steps in compact_ways(graph, op))
            found += [
                replace(w, compact=True) for w in compact if w.constants_bytes < found[0].constants_bytes
            ]
    except ShapeError as error:
        raise UserError(
            f"{graph.name}: {op.kind} ({op.name}): {error}", "no kernel takes it: split or shrink the layer"
        ) from error
    return found if all(w.cost for w in found) else [uncosted(found, named)]


def uncosted(found: Sequence[Way], named: bool) -> Way:
    portable = [w for w in found if all(kernel.set == "generic" for kernel in w.kernels)]
    return (found if named else portable or found)[0]


def way(graph: Graph, steps: Sequence[Step], board: Board, table: CostTable) -> Way:
    constants = sum(aligned(len(step.params)) for step in steps) + sum(
        aligned(graph.tensors[t].bytes)
        for step in steps
        if step.kernel.group == "compressed"  # whose weights may be operands
        for t in step.inputs
        if graph.tensors[t].data is not None
    )
    total = Cost()
    for step in steps:
        cost = table.cost(step, elements(graph.tensors[step.outputs[0]].shape))
        if cost is None:
            return Way(tuple(steps), constants)
        total += cost
    return Way(tuple(steps), constants, total, board.code.read_cycles_per_byte * total.flash_bytes)


def weights_tensor(graph: Graph, op: Op) -> Tensor | None:
    """The constant weights of a layer."""
    if op.kind not in ("conv_2d", "depthwise_conv_2d", "fully_connected"):
        return None
    found = [graph.tensors[t] for t in op.inputs[1:2] if t >= 0]
    return found[0] if found and found[0].data is not None else None


def weights_of(graph: Graph, op: Op) -> Weights | None:
    tensor = weights_tensor(graph, op)
    if tensor is None or tensor.data is None or tensor.dtype != "s8":
        return None
    return Weights(tensor.bytes, zero_fraction(tensor.data), fits_nibbles(tensor.data))


def int8_bytes(graph: Graph, op: Op) -> int | None:
    """1.3 times the weights, and 32 bytes for each channel's bias, scale and what else a kernel wants of it, 128 for
    the step."""
    tensor = weights_tensor(graph, op)
    if tensor is None:
        return None
    return tensor.bytes * 13 // 10 + 32 * graph.tensors[op.outputs[0]].shape[-1] + 128


def choose(
    graph: Graph, board: Board, options: Options, pressure: Callable[[Chosen], Pressure]
) -> tuple[dict[int, Candidates], Chosen]:
    """All candidates, and the way that is taken of each op."""
    found = all_candidates(graph, board, options)
    choice = Choice(found, cost_table(board.core.name), options.optimize)
    chosen = choice.best()
    if options.optimize == "speed":
        constants = sum(t.bytes for t in graph.tensors if t.data is not None)
        chosen = choice.limit_constants(chosen, EXPANSION * constants)
    if options.flash_limit is not None:
        chosen = choice.limit_constants(chosen, options.flash_limit, compact=True)
    most = board.arena.size if options.ram_limit is None else min(options.ram_limit, board.arena.size)
    return found, choice.limit_ram(chosen, 0 if options.optimize == "ram" else most, pressure)


class Choice:
    """One choosing: what is best by itself, then what limits ask for."""

    def __init__(self, found: Mapping[int, Candidates], table: CostTable, optimize: str) -> None:
        self.found, self.table, self.optimize = found, table, optimize
        least = sum(min(map(self.cost, c.ways)) for c in found.values())
        self.worth = WORTH[optimize] * least  # what a byte of code must save
        self.saved = SAVED[optimize] * least  # what a byte of constants below int8 size is worth

    def best(self) -> dict[int, Way]:
        """Each op's best way with the kernels that are worth their code.

        From all that are best somewhere kernels go, one or those that share code, or give way to another, while that
        lowers the total.
        """
        every = frozenset(k for c in self.found.values() for w in c.ways for k in w.kernels)
        chosen = self.best_with(every)
        assert chosen is not None
        while True:
            used = kernels_of(chosen)
            others: list[frozenset[Kernel]] = [
                frozenset(),
                *(frozenset({k}) for k in sorted_by_id(every - used)),
            ]
            less = [
                c for gone in self.sharing(chosen) for k in others if (c := self.best_with((used - gone) | k))
            ]
            best = min(less, key=self.total, default=chosen)
            if self.total(best) >= self.total(chosen):
                return chosen
            chosen = best

    def sharing(self, chosen: Chosen) -> list[frozenset[Kernel]]:
        """Of the kernels in use each alone, and those that share a piece of code."""
        kernels = sorted_by_id(kernels_of(chosen))
        users: dict[str, list[Kernel]] = {}
        for kernel in kernels:
            for piece in self.table.code(kernel):
                users.setdefault(piece, []).append(kernel)
        return list(dict.fromkeys(map(frozenset, ([k] for k in kernels)))) + list(
            dict.fromkeys(map(frozenset, users.values()))
        )

    def best_with(self, kernels: frozenset[Kernel]) -> dict[int, Way] | None:
        """None where they do not serve all ops."""
        chosen = {}
        for i, of_op in self.found.items():
            allowed = [w for w in self.open_to(of_op) if w.kernels <= kernels]
            if not allowed:
                return None
            chosen[i] = self.pick(allowed)
        return chosen

    def open_to(self, of_op: Candidates) -> Sequence[Way]:
        """The ways whose constants are not too large, whatever kernels there are; all where they all are."""
        ways = [w for w in of_op.ways if self.optimize == "flash" or not w.compact]
        if self.optimize == "speed":
            return ways
        return [w for w in ways if not of_op.expands(w)] or ways

    def pick(self, allowed: Sequence[Way]) -> Way:
        if self.optimize == "flash":
            least = min(w.constants_bytes for w in allowed)
            allowed = [w for w in allowed if w.constants_bytes == least]
        best = min(allowed, key=self.measure)
        most = self.measure(best) + (NEAR - 1) * self.cost(best)
        return next(w for w in allowed if self.measure(w) <= most)

    def cost(self, way: Way) -> float:
        """Cycles; for `speed` instructions, which are known better, and what reading flash costs beside them."""
        return way.instructions + way.flash_cycles if self.optimize == "speed" else way.cycles

    def measure(self, way: Way) -> float:
        """Cost, less what the constants are worth that it saves."""
        return self.cost(way) - self.saved * way.saved_bytes

    def total(self, chosen: Chosen) -> tuple[float, float]:
        if self.optimize == "flash":
            return constants_of(chosen) + self.code(chosen), self.price(chosen)
        return self.price(chosen), 0

    def code(self, chosen: Chosen) -> int:
        return self.table.code_bytes(k for w in chosen.values() for k in w.kernels)

    def price(self, chosen: Chosen) -> float:
        """What the ops cost, and what the kernels' code must save."""
        return sum(map(self.measure, chosen.values())) + self.worth * self.code(chosen)

    def limit_constants(self, chosen: dict[int, Way], most: int, compact: bool = False) -> dict[int, Way]:
        """Smaller constants, those first whose price a byte is lowest, until all are within `most`."""
        while constants_of(chosen) > most:
            price = self.price(chosen)
            smaller = [
                ((self.price(chosen | {i: w}) - price) / (now.constants_bytes - w.constants_bytes), i, k)
                for i, now in chosen.items()
                for k, w in enumerate(self.found[i].ways)
                if w.constants_bytes < now.constants_bytes and (compact or not w.compact)
            ]
            if not smaller:
                break
            _, i, k = min(smaller)
            chosen = chosen | {i: self.found[i].ways[k]}
        return chosen

    def limit_ram(
        self, chosen: dict[int, Way], most: int, pressure: Callable[[Chosen], Pressure]
    ) -> dict[int, Way]:
        """Slower ways until RAM is within `most` or nothing lowers it; then faster ones again where they do no harm."""
        if pressure(chosen).ram_bytes <= most:
            return chosen
        least_scratch = {
            i: min(c.ways, key=lambda w: (w.scratch_bytes, w.cycles)) for i, c in self.found.items()
        }

        def rank(tried: Chosen) -> tuple[int, float]:
            return max(pressure(tried).ram_bytes, most), cycles_of(tried)

        found = min((self.lower_ram(c, most, pressure) for c in (chosen, least_scratch)), key=rank)
        for i, faster in sorted(chosen.items(), key=lambda item: item[1].cycles - found[item[0]].cycles):
            tried = found | {i: faster}
            found = tried if rank(tried) < rank(found) else found
        return found

    def lower_ram(
        self, chosen: dict[int, Way], most: int, pressure: Callable[[Chosen], Pressure]
    ) -> dict[int, Way]:
        """Other ways for the ops at the peak, one after the other."""

        def rank(tried: Chosen) -> tuple[int, int, int, float]:
            p = pressure(tried)
            return p.ram_bytes, p.peak_bytes, len(p.ops), cycles_of(tried)

        now = rank(chosen)
        best = now, chosen
        while now[0] > most:
            tried = [
                chosen | {i: w}
                for i in pressure(chosen).ops
                if i in self.found
                for w in self.found[i].ways
                if w is not chosen[i]
            ]
            ranked = [rank(t) for t in tried]
            if not ranked or min(ranked)[:3] >= now[:3]:
                break
            now = min(ranked)
            chosen = tried[ranked.index(now)]
            if now[0] < best[0][0]:
                best = now, chosen
        return best[1]


def kernels_of(chosen: Chosen) -> frozenset[Kernel]:
    return frozenset(k for w in chosen.values() for k in w.kernels)


def sorted_by_id(kernels: Iterable[Kernel]) -> list[Kernel]:
    return sorted(kernels, key=lambda k: k.id)


def cycles_of(chosen: Chosen) -> float:
    return sum(w.cycles for w in chosen.values())


def constants_of(chosen: Chosen) -> int:
    return sum(w.constants_bytes for w in chosen.values())
