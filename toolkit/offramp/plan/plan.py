"""Makes the plan that a blob holds: everything the device would otherwise have to decide."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from offramp.boards import Board
from offramp.errors import UserError
from offramp.ir import Exit, Graph, Op, Tensor
from offramp.ops import OPS, Kernel, Step
from offramp.ops.op import elements
from offramp.ops.strided_copy import copy_step
from offramp.plan.arena import ALIGN, Buffer, aligned, alive, live_bytes, peak, place, place_greedily
from offramp.plan.certificate import Certificate
from offramp.plan.choose import Candidates, Chosen, Pressure, choose
from offramp.plan.cost import Cost, cost_table
from offramp.plan.fuse import fused
from offramp.plan.limit import within
from offramp.plan.options import Options
from offramp.plan.order import order, users_of
from offramp.plan.planes import with_planes
from offramp.plan.share import Overlap, Places, Sharer, Sharing, parts_of
from offramp.plan.stages import PlannedExit, Stage, by_stage, cuts, decision

MAX_SHARINGS = 100  # ways of sharing memory that are tried
MAX_CALLER_INPUTS = 4  # OFR_MAX_CALLER_INPUTS of offramp.h


@dataclass(frozen=True)
class PlannedTensor:
    """A tensor's place. `offset` is in `memory`; for input memory it is 0 and `bound` is the caller's slot."""

    tensor: Tensor
    memory: str  # constant | arena | state | input
    offset: int
    bound: int = 0


@dataclass(frozen=True)
class PlannedStep:
    op: str
    name: str
    kernel: Kernel
    packing: int
    inputs: tuple[int, ...]  # indices into Plan.tensors
    outputs: tuple[int, ...]
    params: int  # offset in Plan.constants
    params_bytes: int
    scratch: int
    scratch_bytes: int
    macs: int


@dataclass(frozen=True)
class StateInit:
    """First value of a variable: `source` is an offset in the constants, or None for the byte `fill`."""

    offset: int
    bytes: int
    source: int | None
    fill: int


@dataclass(frozen=True)
class Plan:
    name: str
    core: str
    tensors: tuple[PlannedTensor, ...]
    steps: tuple[PlannedStep, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    """Of a run that goes to its end."""
    initial: tuple[StateInit, ...]
    constants: bytes
    arena_bytes: int
    state_bytes: int
    labels: tuple[str, ...] = ()
    metadata: dict[str, str] = field(default_factory=dict)
    certificate: Certificate | None = None
    instructions: int = 0
    """Of one inference, estimated; 0: the core's cost table lacks a kernel."""
    cost: Cost | None = None
    """The same with cycles and bytes read from flash."""
    exits: tuple[PlannedExit, ...] = ()
    stages: tuple[Stage, ...] = ()
    """One more than there are exits."""
    members: tuple[Plan, ...] = ()
    """Of a family: plans of the graph's members. They have the same constants, and their inputs lie where these lie."""
    gate: int = 0
    """Of a family: 1 + the number of the plan that chooses which of the others runs; 0: there is none."""
    margin: int = 0
    """Of a family: an answer whose two largest values differ by less is unsure; 0: no such number is known."""
    front_end: bytes = b""
    """Parameters of what makes input 0 of raw samples, as the device reads them; empty: there is none."""
    names: bool = True
    """Whether the blob holds each step's operator, name and MACs."""
    # For reports: arena buffers with their offsets, the ways that ops could be served and those that are taken.
    buffers: tuple[tuple[Buffer, int], ...] = ()
    candidates: Mapping[int, Candidates] = field(default_factory=dict)
    chosen: Chosen = field(default_factory=dict)

    @property
    def macs(self) -> int:
        return sum(s.macs for s in self.steps)

    @property
    def every(self) -> tuple[Plan, ...]:
        """All plans of the blob, this one first."""
        return (self, *self.members)

    @property
    def pieces(self) -> dict[int, int]:
        """Of the constants, what this plan refers to: offset -> bytes."""
        found = {step.params: step.params_bytes for step in self.steps}
        found |= {t.offset: t.tensor.bytes for t in self.tensors if t.memory == "constant"}
        return found | {init.source: init.bytes for init in self.initial if init.source is not None}

    @property
    def least_arena_bytes(self) -> int:
        """What lives at the worst step: no placement of these buffers takes less."""
        return peak([b for b, _ in self.buffers])[0]


class Constants:
    """The blob's constant block: 16-byte aligned pieces, equal ones stored once."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.known: dict[bytes, int] = {}

    def add(self, piece: bytes) -> int:
        if piece not in self.known:
            self.data += bytes(-len(self.data) % 16)
            self.known[piece] = len(self.data)
            self.data += piece
        return self.known[piece]


def planner_for(graph: Graph, board: Board, options: Options, inputs_at: tuple[int, ...] = ()) -> Planner:
    """The planned graph, members apart; UserError where an op has no kernel. `inputs_at`: where inputs in the arena are
    to lie, if that is given."""
    check_caller_inputs(graph, options.caller_inputs)

    def planner_of(graph: Graph) -> Planner:
        def served(chosen: Chosen) -> Planner:
            steps = {i: w.steps for i, w in chosen.items()}
            apart = Planner(graph, board, options, steps, inputs_at=inputs_at)
            if len(fused(graph, apart.steps)) == len(apart.steps):
                return apart
            joint = Planner(graph, board, options, steps, fuse=True, inputs_at=inputs_at)
            return joint if joint.arena_bytes < apart.arena_bytes else apart

        found, chosen = choose(graph, board, options, lambda chosen: served(chosen).pressure())
        return served(chosen).because(found, chosen)

    graph = with_planes(graph)
    ordered = by_stage(graph, order(graph))
    planner = planner_of(graph.with_ops(tuple(graph.ops[i] for i in ordered))).refined()
    if options.ram_limit is not None:
        planner = within(options.ram_limit, planner, planner_of)
    return planner


def check_caller_inputs(graph: Graph, wanted: tuple[str, ...]) -> None:
    names = [graph.tensors[i].name for i in graph.inputs]
    for name in wanted:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1, cutoff=0.3) or names[:1]
            raise UserError(
                f"{graph.name} has no input {name}; it has {', '.join(names)}",
                f"try --input {near[0]}=caller",
            )
    if len(wanted) > MAX_CALLER_INPUTS:
        raise UserError(
            f"{len(wanted)} inputs in the caller's memory, at most {MAX_CALLER_INPUTS}",
            "leave some in the arena",
        )


class Planner:
    """One planning run over ops in the order of their execution."""

    def __init__(
        self,
        graph: Graph,
        board: Board,
        options: Options,
        served: Mapping[int, Sequence[Step]],
        fuse: bool = False,
        inputs_at: tuple[int, ...] = (),
    ) -> None:
        """`served` holds, for each op that needs kernels, the chosen calls, by the op's index; `fuse`: those that one
        kernel serves together become one; `inputs_at`: where inputs in the arena are to lie."""
        self.graph, self.board, self.options, self.wanted_at = graph, board, options, inputs_at
        self.places = Places()
        self.state = {v.name: v.initial for v in graph.variables}  # its initial tensor stands for the state
        self.steps: list[tuple[Op, Step]] = []
        for i, op in enumerate(graph.ops):
            self.steps += [(op, step) for step in self.lower(i, served)]
        if fuse:
            self.steps = fused(self.graph, self.steps)
        self.last = self.last_uses()
        self.write_state_directly()
        self.apart = self.lives()
        self.sharer = Sharer(self.graph, [s for _, s in self.steps], self.places, self.last, self.in_arena)
        all_, some = (self.sharer.sharing(frozenset(), lengths) for lengths in (True, False))
        self.take(min(some, all_, key=self.rank), place_greedily)

    def refined(self) -> Planner:
        """With fewer overlaps where that is smaller, and the best offsets: what takes longer."""
        best, tries = self.sharing, MAX_SHARINGS
        while better := self.better(best, tries):
            best, tried = better
            tries -= tried
        self.take(best, place)
        return self

    def take(
        self, sharing: Sharing, place: Callable[[list[Buffer], tuple[int, ...]], tuple[list[int], int]]
    ) -> None:
        self.use(sharing)
        self.keyed = list(self.buffers())
        offsets, self.arena_bytes = place([b for _, b in self.keyed], self.wanted_at)
        self.offsets = {key: offset for (key, _), offset in zip(self.keyed, offsets, strict=True)}

    @property
    def inputs_at(self) -> tuple[int, ...]:
        """Offsets of the inputs in the arena; their buffers are the first."""
        return tuple(self.offsets[self.place_of(i)] for i in self.graph.inputs if self.in_arena(i))

    def lower(self, index: int, served: Mapping[int, Sequence[Step]]) -> Sequence[Step]:
        op = self.graph.ops[index]
        if op.kind == "read_variable":
            source = self.state[op.attributes.variable]
            if not self.may_read_in_place(op):
                return [copy_step(source, op.outputs[0], self.graph.tensors[op.outputs[0]])]
            self.places.put(op.outputs[0], source)
            return []
        if op.kind == "assign_variable":
            return [
                copy_step(op.inputs[0], self.state[op.attributes.variable], self.graph.tensors[op.inputs[0]])
            ]
        if OPS[op.kind].is_view and not self.crosses_ports(op):
            self.places.put(op.outputs[0], op.inputs[0])
            return []
        if OPS[op.kind].is_view:
            return [copy_step(op.inputs[0], op.outputs[0], self.graph.tensors[op.inputs[0]])]
        if self.takes_parts(op):
            return []
        return served[index]

    def takes_parts(self, op: Op) -> bool:
        """Whether the op's parts now lie in its whole, so that nothing is left to do."""
        parts = parts_of(self.graph, op)
        tensors = [part for part, _ in parts]
        whole = op.outputs[0] if op.kind == "concatenation" else op.inputs[0]
        outputs = {*self.graph.outputs, *(self.place_of(t) for t in self.graph.outputs)}
        if not parts or not self.in_arena(self.place_of(whole)) or outputs.intersection(tensors):
            return False
        if op.kind == "concatenation":
            made = {t for _, step in self.steps for t in step.outputs}
            if len(set(tensors)) < len(tensors) or not made.issuperset(tensors):
                return False
            if any(t in self.places.root for t in tensors):
                return False
        for part, shift in parts:
            self.places.put(part, whole, shift)
        return True

    def may_read_in_place(self, read: Op) -> bool:
        """Whether all who use the value, as it is or under another shape, run before the variable changes."""
        position = {id(op): i for i, op in enumerate(self.graph.ops)}
        users = users_of(self.graph, self.graph.ops.index(read), self.graph.consumers())
        values = {
            *read.outputs,
            *(t for u in users if OPS[self.graph.ops[u].kind].is_view for t in self.graph.ops[u].outputs),
        }
        changes = [
            i
            for i, op in enumerate(self.graph.ops)
            if op.kind == "assign_variable"
            and op.attributes.variable == read.attributes.variable
            and i > position[id(read)]
        ]
        last_user = max((position[id(self.graph.ops[u])] for u in users), default=0)
        return not values & set(self.graph.outputs) and all(last_user <= change for change in changes[:1])

    def crosses_ports(self, op: Op) -> bool:
        """A view whose source is constant, state, another port or an odd part must be a copy if it is an output."""
        if op.outputs[0] not in self.graph.outputs:
            return False
        source = self.place_of(op.inputs[0])
        odd = self.places.shift_of(op.inputs[0]) % ALIGN != 0
        return odd or source in self.graph.outputs or not self.in_arena(source)

    def place_of(self, tensor: int) -> int:
        return self.places.of(tensor)

    def in_arena(self, tensor: int) -> bool:
        t = self.graph.tensors[tensor]
        return (
            t.data is None and tensor not in self.state.values() and t.name not in self.options.caller_inputs
        )

    def last_uses(self) -> dict[int, int]:
        """Place -> last step that touches it; graph outputs live past the end."""
        last: dict[int, int] = {}
        for i, (_, step) in enumerate(self.steps):
            for t in (*step.inputs, *step.outputs):
                last[self.place_of(t)] = i
        for t, end in self.read_behind():
            last[self.place_of(t)] = end
        if self.options.keep_inputs:
            for t in self.graph.inputs:
                last[self.place_of(t)] = len(self.steps)
        return last

    def read_behind(self) -> list[tuple[int, int]]:
        """(output, the last step after which it is read): its exit's last, or past the end."""
        found = [(t, len(self.steps)) for t in self.graph.own_outputs]
        ends = [end for _, end in cuts(self.graph, [op for op, _ in self.steps])]
        for exit_, end in zip(self.graph.exits, ends, strict=False):
            found += [(self.graph.outputs[i], end - 1) for i in {exit_.answer, exit_.estimate}]
        return found

    def better(self, best: Sharing, tries: int) -> tuple[Sharing, int] | None:
        """A sharing with one overlap less that is smaller, and how many were tried."""
        most = self.rank(best)
        for n, overlap in enumerate(self.at_peak(best)[:tries], 1):
            other = self.sharer.sharing(best.refused | {overlap}, best.other_lengths)
            if self.rank(other) < most:
                return other, n
        return None

    def use(self, sharing: Sharing) -> None:
        self.sharing = sharing
        self.places, self.last, self.on_input = sharing.places, sharing.last, sharing.on_input

    def rank(self, sharing: Sharing) -> tuple[int, int]:
        """Bytes of the arena, and of what lives at its peak."""
        self.use(sharing)
        buffers = [b for _, b in self.buffers()]
        return place_greedily(buffers, self.wanted_at)[1], peak(buffers)[0]

    def at_peak(self, sharing: Sharing) -> list[Overlap]:
        """The overlaps on what lives when the most does."""
        self.use(sharing)
        keyed = list(self.buffers())
        _, step = peak([b for _, b in keyed])
        there = {key for key, b in keyed if b.first <= step <= b.last}
        return [o for o in sharing.overlaps if sharing.places.of(o.over) in there]

    def write_state_directly(self) -> None:
        """A value made only to be assigned is written into the state, if nobody reads the old state later."""
        kept: list[tuple[Op, Step]] = []
        for i, (op, step) in enumerate(self.steps):
            if op.kind == "assign_variable" and self.made_for_state(i, step):
                self.places.put(step.inputs[0], step.outputs[0])
            else:
                kept.append((op, step))
        self.steps = kept
        self.last = self.last_uses()

    def made_for_state(self, i: int, step: Step) -> bool:
        value, state = step.inputs[0], step.outputs[0]
        if (
            value in self.places.root
            or not self.in_arena(value)
            or value in (*self.graph.inputs, *self.graph.outputs)
        ):
            return False
        makers = [j for j, (_, s) in enumerate(self.steps) if value in s.outputs]
        users = [j for j, (_, s) in enumerate(self.steps) if value in map(self.place_of, s.inputs)]
        touches = [
            j
            for j, (_, s) in enumerate(self.steps)
            if j != i and state in map(self.place_of, (*s.inputs, *s.outputs))
        ]
        return len(makers) == 1 and users == [i] and all(j < makers[0] for j in touches)

    def lives(self) -> dict[int, tuple[int, list[int]]]:
        """Place -> its first step, and the bytes of it that live at each step from there on.

        A place grows as its parts are written, and lives whole until it is touched last.
        """
        ends: dict[int, dict[int, int]] = {}
        touches = [(0, t) for t in self.graph.inputs]
        touches += [(i, t) for i, (_, s) in enumerate(self.steps) for t in (*s.inputs, *s.outputs)]
        touches += [(step, t) for t, step in self.read_behind()]
        for i, t in touches:
            if self.in_arena(self.place_of(t)):
                found = ends.setdefault(self.place_of(t), {})
                end = self.places.shift_of(t) + self.graph.tensors[t].bytes
                found[i] = max(found.get(i, 0), end)
        lives = {}
        for place_, found in ends.items():
            first = min(found)
            steps = range(first, max(self.last.get(place_, first), first) + 1)
            lives[place_] = first, list(accumulate((found.get(i, 0) for i in steps), max))
        return lives

    def buffers(self) -> Iterator[tuple[int, Buffer]]:
        """(place or -1 - step for scratch, buffer) of everything in the arena."""
        sizes: dict[int, dict[int, int]] = {}
        for apart, (first, bytes_) in self.apart.items():
            found = sizes.setdefault(self.place_of(apart), {})
            for i, n in enumerate(bytes_, first):
                found[i] = max(found.get(i, 0), n)
        for i, place_ in self.on_input.items():
            sizes[place_][i] = max(sizes[place_][i], self.steps[i][1].scratch_bytes)
        for place_, found in sizes.items():
            first, last = min(found), max(found)
            bytes_ = [found[i] for i in range(first, last + 1)]
            name = self.graph.tensors[place_].name
            yield (
                place_,
                Buffer(name, max(bytes_), first, last, tuple(bytes_) if min(bytes_) < max(bytes_) else ()),
            )
        for i, (op, step) in enumerate(self.steps):
            if step.scratch_bytes and i not in self.on_input:
                yield -1 - i, Buffer(f"scratch of {op.name}", step.scratch_bytes, i, i)

    def pressure(self) -> Pressure:
        buffers = [b for _, b in self.buffers()]
        most, _ = peak(buffers)
        at_peak = [op for i, (op, _) in enumerate(self.steps) if live_bytes(buffers, i) == most]
        return Pressure(self.ram_bytes, most, tuple(map(self.graph.ops.index, at_peak)))

    @property
    def ram_bytes(self) -> int:
        """Arena and state."""
        state = sum(aligned(self.graph.tensors[v.initial].bytes) for v in self.graph.variables)
        return self.arena_bytes + state

    def because(self, candidates: Mapping[int, Candidates], chosen: Chosen) -> Planner:
        """Notes the ways that there were, for reports."""
        self.candidates, self.chosen = candidates, chosen
        return self

    def plan(self, constants: Constants) -> Plan:
        """UserError where the arena does not fit. What the plan needs is added to `constants`."""
        arena_buffers = tuple((b, self.offsets[key]) for key, b in self.keyed)
        self.check_fit([b for _, b in self.keyed])
        self.constants = constants
        initial = self.place_state()
        self.index: dict[int, int] = {}
        self.tensors: list[PlannedTensor] = []
        steps = tuple(self.planned_step(i, op, step) for i, (op, step) in enumerate(self.steps))
        inputs = tuple(self.tensor_index(t) for t in self.graph.inputs)
        outputs = tuple(self.tensor_index(t) for t in self.graph.own_outputs)
        exits = tuple(self.planned_exit(e) for e in self.graph.exits)
        return Plan(
            self.graph.name,
            self.board.core.name,
            tuple(self.tensors),
            steps,
            inputs,
            outputs,
            initial,
            bytes(self.constants.data),
            self.arena_bytes,
            self.state_bytes,
            self.graph.labels,
            dict(self.graph.metadata),
            instructions=self.instructions(0, len(self.steps)),
            cost=self.cost(),
            exits=exits,
            stages=self.stages(),
            buffers=arena_buffers,
            candidates=self.candidates,
            chosen=self.chosen,
        )

    def planned_exit(self, e: Exit) -> PlannedExit:
        answer, estimate = (self.tensor_index(self.graph.outputs[i]) for i in (e.answer, e.estimate))
        return PlannedExit(e.name, answer, estimate, e.confidence, e.threshold)

    def stages(self) -> tuple[Stage, ...]:
        found: list[Stage] = []
        begin = 0
        for i, (head, end) in enumerate(cuts(self.graph, [op for op, _ in self.steps])):
            until = [self.offsets[key] + b.bytes for key, b in self.keyed if b.first < max(end, 1)]
            found.append(
                Stage(
                    begin,
                    end - begin,
                    end - head,
                    aligned(max(until, default=0)),
                    self.instructions(begin, end),
                    self.instructions(head, end),
                    decision(self.graph, i) if i < len(self.graph.exits) else 0,
                )
            )
            begin = end
        return tuple(found)

    def instructions(self, first: int, end: int) -> int:
        """Of these steps, by the core's cost table; 0 where it lacks one."""
        costs = self.costs(first, end)
        return sum(round(cost.instructions) if cost else 0 for cost in costs) if all(costs) else 0

    def cost(self) -> Cost | None:
        """Of all steps."""
        costs = [cost for cost in self.costs(0, len(self.steps)) if cost is not None]
        return sum(costs, Cost()) if len(costs) == len(self.steps) else None

    def costs(self, first: int, end: int) -> list[Cost | None]:
        table = cost_table(self.board.core.name)
        return [
            table.cost(step, elements(self.graph.tensors[step.outputs[0]].shape))
            for _, step in self.steps[first:end]
        ]

    def planned_step(self, i: int, op: Op, step: Step) -> PlannedStep:
        return PlannedStep(
            op.kind,
            op.name,
            step.kernel,
            step.kernel.packing,
            tuple(self.tensor_index(t) for t in step.inputs),
            tuple(self.tensor_index(t) for t in step.outputs),
            self.constants.add(step.params),
            len(step.params),
            self.offsets.get(self.on_input.get(i, -1 - i), 0),
            step.scratch_bytes,
            step.macs,
        )

    def place_state(self) -> tuple[StateInit, ...]:
        """Gives each variable its place in the state area."""
        found: list[StateInit] = []
        self.state_bytes = 0
        for variable in self.graph.variables:
            data = self.graph.tensors[variable.initial].data
            assert data is not None
            raw = data.tobytes()
            uniform = len(set(raw)) <= 1
            found.append(
                StateInit(
                    self.state_bytes,
                    len(raw),
                    None if uniform else self.constants.add(raw),
                    raw[0] if uniform and raw else 0,
                )
            )
            self.offsets[variable.initial] = self.state_bytes
            self.state_bytes += aligned(len(raw))
        return tuple(found)

    def tensor_index(self, tensor: int) -> int:
        """The plan's index of a graph tensor, placed at first use."""
        if tensor not in self.index:
            self.index[tensor] = len(self.tensors)
            self.tensors.append(self.placed(tensor))
        return self.index[tensor]

    def placed(self, tensor: int) -> PlannedTensor:
        t, place_ = self.graph.tensors[tensor], self.place_of(tensor)
        source = self.graph.tensors[place_]
        if place_ in self.state.values():
            return PlannedTensor(t, "state", self.offsets[place_] + self.places.shift_of(tensor))
        if source.data is not None:
            return PlannedTensor(t, "constant", self.constants.add(source.data.tobytes()))
        if source.name in self.options.caller_inputs:
            return PlannedTensor(t, "input", 0, self.options.caller_inputs.index(source.name))
        return PlannedTensor(t, "arena", self.offsets[place_] + self.places.shift_of(tensor))

    def bytes_during(self) -> list[int]:
        """The most bytes that live while each op of the graph runs."""
        most = {id(op): 0 for op in self.graph.ops}
        for i, (op, _) in enumerate(self.steps):
            now = sum(aligned(b.bytes_at(i)) for _, b in self.keyed if b.first <= i <= b.last)
            most[id(op)] = max(most[id(op)], now)
        return list(most.values())

    def check_fit(self, buffers: list[Buffer]) -> None:
        region = self.board.arena
        wanted = self.ram_bytes
        if wanted <= region.size:
            return
        _, step = peak(buffers)
        tensors = ", ".join(f"{b.name} ({b.bytes} bytes)" for b in alive(buffers, step))
        op = self.steps[min(step, len(self.steps) - 1)][0]
        at_peak = f"alive at the peak, step {step} ({op.kind} {op.name}): {tensors}"
        raise UserError(
            f"{self.graph.name} does not fit {self.board.name}: arena and state need {wanted} bytes, region "
            f"{region.name} has {region.size} bytes, {wanted - region.size} too few; {at_peak}",
            "choose a board with more RAM (`offramp boards`) or a smaller model",
        )
