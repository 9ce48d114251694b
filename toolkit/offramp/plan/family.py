"""Plans a graph and its members: one plan for each, with one block of constants and one arena."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from offramp.boards import Board
from offramp.errors import UserError
from offramp.ir import CASCADE_MARGIN, GATE, Graph, Tensor
from offramp.kernels import choose_sets
from offramp.plan.arena import NOWHERE, aligned
from offramp.plan.options import Options
from offramp.plan.plan import Constants, Plan, Planner, planner_for
from offramp.plan.widest import with_widest


def make_plan(graph: Graph, board: Board, options: Options = Options()) -> Plan:  # noqa: B008
    """The plan of `graph` for `board`, with those of its members; UserError where an op has no kernel, the arena does
    not fit, or members do not take and give what the graph does."""
    if not graph.members:
        constants = Constants()
        return with_constants(planner_for(graph, board, options).plan(constants), constants)
    check_members(graph)
    graph = with_widest(graph, choose_sets(options.kernels, board.kernels))
    family = planned(graph, board, options, [None] * (1 + len(graph.members)))
    most = options.flash_limit
    if most is not None and len(family.constants) > most:
        sizes = [sum(map(aligned, plan.pieces.values())) for plan in family.every]
        family = planned(graph, board, options, [most * n // sum(sizes) for n in sizes])
    check_fit(family, board, options)
    return family


def planned(graph: Graph, board: Board, options: Options, flash_limits: list[int] | list[None]) -> Plan:
    """All plans, the constants of each within its limit if that can be."""
    family = (graph, *graph.members)
    each = [options_of(member, graph, options, n) for member, n in zip(family, flash_limits, strict=True)]

    def planner(index: int, inputs_at: tuple[int, ...] = ()) -> Planner:
        return planner_for(family[index], board, each[index], inputs_at)

    planners = with_inputs_together([planner(i) for i in range(len(family))], planner)
    check_inputs(planners)
    constants = Constants()
    plans = [planner.plan(constants) for planner in planners]
    first, *members = (with_constants(plan, constants) for plan in plans)
    return replace(first, members=tuple(members), margin=margin(graph), gate=gate_of(graph))


def with_inputs_together(
    free: list[Planner], planner: Callable[[int, tuple[int, ...]], Planner]
) -> list[Planner]:
    """Inputs lie at one place, so that they are written once for whichever plan runs: where they lie best for one of
    the plans, the largest first, as the others have room to spare."""
    best = free
    least = max(p.arena_bytes for p in free)
    places = dict.fromkeys(p.inputs_at for p in sorted(free, key=lambda p: -p.arena_bytes))
    for n, at in enumerate(places):
        tried = [p if p.inputs_at == at else planner(i, at) for i, p in enumerate(free)]
        if n == 0 or arena_of(tried) < arena_of(best):
            best = tried
        if arena_of(best) == least:
            break
    return best


def arena_of(planners: Sequence[Planner]) -> int:
    return max(p.arena_bytes for p in planners)


def with_constants(plan: Plan, constants: Constants) -> Plan:
    return replace(plan, constants=bytes(constants.data))


def options_of(member: Graph, graph: Graph, options: Options, flash_limit: int | None) -> Options:
    """A member's inputs go by its own names; RAM is what the states of the others leave."""
    names = [graph.tensors[i].name for i in graph.inputs]
    own = [member.tensors[i].name for i in member.inputs]
    callers = tuple(own[names.index(name)] if name in names else name for name in options.caller_inputs)
    ram = options.ram_limit
    if ram is not None:
        ram -= sum(state_bytes(other) for other in (graph, *graph.members) if other is not member)
    keep = options.keep_inputs or is_gate(member, graph)
    return replace(options, keep_inputs=keep, caller_inputs=callers, flash_limit=flash_limit, ram_limit=ram)


def is_gate(member: Graph, graph: Graph) -> bool:
    """Whether it chooses which of the others runs; inputs are still there for that when it has run."""
    return member is not graph and member.name == graph.metadata.get(GATE)


def gate_of(graph: Graph) -> int:
    """1 + its number among the plans; 0: there is none."""
    return 1 + len(graph.members) if any(is_gate(m, graph) for m in graph.members) else 0


def state_bytes(graph: Graph) -> int:
    return sum(aligned(graph.tensors[v.initial].bytes) for v in graph.variables)


def margin(graph: Graph) -> int:
    text = graph.metadata.get(CASCADE_MARGIN, "0")
    if not text.isdecimal() or int(text) > 255:
        raise UserError(
            f"{graph.name}: the metadata entry {CASCADE_MARGIN} is {text!r}, it must be a whole number from 0 to 255",
            "it is a difference of two int8 values of output 0",
        )
    return int(text)


def check_members(graph: Graph) -> None:
    """UserError unless every member takes and gives what the graph does."""
    for member in graph.members:
        if member.members:
            raise UserError(
                f"{graph.name}: its member {member.name} has members itself",
                "a family is one graph and its members",
            )
        ports = [("input", graph.inputs, member.inputs), ("output", graph.own_outputs, member.own_outputs)]
        if is_gate(member, graph):
            check_gate(graph, member)
            ports.pop()
        for kind, ours, theirs in ports:
            if len(ours) != len(theirs):
                raise UserError(
                    f"{member.name} has {len(theirs)} {kind}s, {graph.name} of the same family has {len(ours)}",
                    "members of a family take and give the same tensors",
                )
            for i, (a, b) in enumerate(zip(ours, theirs, strict=True)):
                check_alike(f"{kind} {i}", graph, graph.tensors[a], member, member.tensors[b])


def check_gate(graph: Graph, gate: Graph) -> None:
    outputs = [gate.tensors[i] for i in gate.outputs]
    scores = math.prod(outputs[0].shape) if len(outputs) == 1 and outputs[0].dtype == "s8" else 0
    if gate is not graph.members[-1] or scores != len(graph.members):
        raise UserError(
            f"{graph.name}: the gate {gate.name} is member {graph.members.index(gate) + 1} of {len(graph.members)} and "
            f"has {len(outputs)} outputs, {scores} int8 scores",
            f"a gate is the last member and has one int8 output of {len(graph.members)} scores, one a graph",
        )
    if gate.variables or gate.exits:
        raise UserError(f"{graph.name}: the gate {gate.name} has state or exits", "take a graph without them")


def check_alike(which: str, graph: Graph, ours: Tensor, member: Graph, theirs: Tensor) -> None:
    for what, a, b in (
        ("shape", ours.shape, theirs.shape),
        ("type", ours.dtype, theirs.dtype),
        ("quantization", quantized(ours), quantized(theirs)),
    ):
        if a != b:
            raise UserError(
                f"{which} of {member.name} ({theirs.name}) has the {what} {b}, that of {graph.name} "
                f"({ours.name}) {a}",
                "members of a family take and give the same tensors: quantize them with the same scales",
            )


def quantized(tensor: Tensor) -> str:
    q = tensor.quantization
    return f"{q.scale:.9g}, zero point {q.zero_point}" if q else "none"


def check_inputs(planners: Sequence[Planner]) -> None:
    """UserError where several inputs find no place that all plans can have them at."""
    graph = planners[0].graph
    for planner in planners:
        if planner.arena_bytes == NOWHERE or planner.inputs_at != planners[0].inputs_at:
            name = graph.tensors[graph.inputs[0]].name
            raise UserError(
                f"{graph.name}: its inputs and those of {planner.graph.name} cannot lie at the same places",
                f"leave one in the caller's memory: --input {name}=caller",
            )


def check_fit(family: Plan, board: Board, options: Options) -> None:
    """Each plan fits by itself: the largest arena and all states together."""
    arena = max(plan.arena_bytes for plan in family.every)
    states = sum(aligned(plan.state_bytes) for plan in family.every)
    most = board.arena.size if options.ram_limit is None else min(options.ram_limit, board.arena.size)
    if arena + states > most:
        raise UserError(
            f"{family.name} does not fit {board.name}: the largest arena has {arena} bytes, the states of "
            f"{len(family.every)} plans {states} bytes; {most} bytes are allowed, {arena + states - most} too few",
            "choose a board with more RAM (`offramp boards`) or fewer members",
        )
