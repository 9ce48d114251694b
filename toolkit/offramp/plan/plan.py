"""Makes the plan that a blob holds: everything the device would otherwise have to decide."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass, field

from offramp.boards import Board
from offramp.errors import UserError
from offramp.ir import Graph, Op, Tensor
from offramp.kernels import candidates, choose_sets
from offramp.ops import OPS, Kernel, ShapeError, Step
from offramp.ops.op import SAME_START, SCRATCH_ON_INPUT
from offramp.ops.strided_copy import copy_step
from offramp.plan.arena import Buffer, aligned, alive, peak, place
from offramp.plan.certificate import Certificate
from offramp.plan.order import order, users_of

MAX_CALLER_INPUTS = 4  # OFR_MAX_CALLER_INPUTS of offramp.h


@dataclass(frozen=True)
class Options:
    """What a user may ask of a plan."""

    kernels: str = "auto"  # auto, or the name of a set
    keep_inputs: bool = False  # inputs survive a run
    caller_inputs: tuple[str, ...] = ()  # names of inputs that stay in the caller's memory
    passes: bool = True  # graph passes run before planning


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
    initial: tuple[StateInit, ...]
    constants: bytes
    arena_bytes: int
    state_bytes: int
    labels: tuple[str, ...] = ()
    metadata: dict[str, str] = field(default_factory=dict)
    buffers: tuple[tuple[Buffer, int], ...] = ()  # arena buffers with their offsets, for reports
    certificate: Certificate | None = None

    @property
    def macs(self) -> int:
        return sum(s.macs for s in self.steps)


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


def make_plan(graph: Graph, board: Board, options: Options = Options()) -> Plan:
    """The plan of `graph` for `board`; UserError where an op has no kernel or the arena does not fit."""
    return Planner(graph, board, options).plan()


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
    """One planning run. `root` maps a tensor to the tensor whose memory it shares."""

    def __init__(self, graph: Graph, board: Board, options: Options) -> None:
        self.graph, self.board, self.options = graph, board, options
        check_caller_inputs(graph, options.caller_inputs)
        sets = choose_sets(options.kernels, board.kernels)
        self.ops = [graph.ops[i] for i in order(graph)]
        self.root: dict[int, int] = {}
        self.state = {v.name: v.initial for v in graph.variables}  # its initial tensor stands for the state
        self.steps: list[tuple[Op, Step]] = []
        for op in self.ops:
            self.steps += [(op, step) for step in self.lower(op, sets)]
        self.last = self.last_uses()
        self.share_memory()

    def lower(self, op: Op, sets: tuple[str, ...]) -> list[Step]:
        if op.kind == "read_variable":
            source = self.state[op.attributes.variable]
            if not self.may_read_in_place(op):
                return [copy_step(source, op.outputs[0], self.graph.tensors[op.outputs[0]])]
            self.root[op.outputs[0]] = source
            return []
        if op.kind == "assign_variable":
            return [
                copy_step(op.inputs[0], self.state[op.attributes.variable], self.graph.tensors[op.inputs[0]])
            ]
        if OPS[op.kind].is_view and not self.crosses_ports(op):
            self.root[op.outputs[0]] = op.inputs[0]
            return []
        if OPS[op.kind].is_view:
            return [copy_step(op.inputs[0], op.outputs[0], self.graph.tensors[op.inputs[0]])]
        try:
            return next(candidates(self.graph, op, self.board.core, sets))
        except ShapeError as error:
            raise UserError(
                f"{self.graph.name}: {op.kind} ({op.name}): {error}",
                "no kernel takes it: split or shrink the layer",
            ) from error

    def may_read_in_place(self, read: Op) -> bool:
        """Whether all who use the value, as it is or under another shape, run before the variable changes."""
        position = {id(op): i for i, op in enumerate(self.ops)}
        users = users_of(self.graph, self.graph.ops.index(read), self.graph.consumers())
        values = {
            *read.outputs,
            *(t for u in users if OPS[self.graph.ops[u].kind].is_view for t in self.graph.ops[u].outputs),
        }
        changes = [
            i
            for i, op in enumerate(self.ops)
            if op.kind == "assign_variable"
            and op.attributes.variable == read.attributes.variable
            and i > position[id(read)]
        ]
        last_user = max((position[id(self.graph.ops[u])] for u in users), default=0)
        return not values & set(self.graph.outputs) and all(last_user <= change for change in changes[:1])

    def crosses_ports(self, op: Op) -> bool:
        """A view whose source is constant, state or another port must be a copy if it is an output."""
        if op.outputs[0] not in self.graph.outputs:
            return False
        source = self.place_of(op.inputs[0])
        return source in self.graph.outputs or not self.in_arena(source)

    def place_of(self, tensor: int) -> int:
        while tensor in self.root:
            tensor = self.root[tensor]
        return tensor

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
        for t in self.graph.outputs:
            last[self.place_of(t)] = len(self.steps)
        if self.options.keep_inputs:
            for t in self.graph.inputs:
                last[self.place_of(t)] = len(self.steps)
        return last

    def share_memory(self) -> None:
        """Lays outputs over inputs that die with the step, where the kernel works in place.

        Over inputs of other lengths too, if the arena gets smaller by it.
        """
        self.write_state_directly()
        apart = (self.root, self.last)
        arenas = []
        for other_lengths in (False, True):
            self.root, self.last = dict(apart[0]), dict(apart[1])
            self.on_input: dict[int, int] = {}
            self.lay_over(other_lengths)
            _, arena_bytes = place([b for _, b in self.buffers()])
            arenas.append((arena_bytes, other_lengths, self.root, self.last, self.on_input))
        _, _, self.root, self.last, self.on_input = min(arenas, key=lambda a: a[:2])

    def lay_over(self, other_lengths: bool) -> None:
        for i, (_, step) in enumerate(self.steps):
            overlaps = step.kernel.in_place & step.overlaps
            out = self.place_of(step.outputs[0])
            for k, t in enumerate(step.inputs):
                place = self.place_of(t)
                same = self.graph.tensors[t].bytes == self.graph.tensors[step.outputs[0]].bytes
                wanted = (1 << k if same else 0) | (
                    SAME_START << k if k < 3 and (same or other_lengths) else 0
                )
                dies = self.last[place] == i and self.in_arena(place) and self.in_arena(out)
                first = not any(out == self.place_of(o) for _, s in self.steps[:i] for o in s.outputs)
                if overlaps & wanted and dies and first and place != out:
                    self.last[place] = self.last[out]
                    self.root[out] = place
                    break
                if k == 0 and overlaps & SCRATCH_ON_INPUT and dies and place != out:
                    self.on_input[i] = place

    def write_state_directly(self) -> None:
        """A value made only to be assigned is written into the state, if nobody reads the old state later."""
        kept: list[tuple[Op, Step]] = []
        for i, (op, step) in enumerate(self.steps):
            if op.kind == "assign_variable" and self.made_for_state(i, step):
                self.root[step.inputs[0]] = step.outputs[0]
            else:
                kept.append((op, step))
        self.steps = kept
        self.last = self.last_uses()

    def made_for_state(self, i: int, step: Step) -> bool:
        value, state = step.inputs[0], step.outputs[0]
        if (
            value in self.root
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

    def buffers(self) -> Iterator[tuple[int, Buffer]]:
        """(place or -1 - step for scratch, buffer) of everything in the arena."""
        first: dict[int, int] = {self.place_of(t): 0 for t in self.graph.inputs}
        for i, (_, step) in enumerate(self.steps):
            for t in (*step.inputs, *step.outputs):
                first.setdefault(self.place_of(t), i)
        for t in self.graph.outputs:
            first.setdefault(self.place_of(t), len(self.steps))
        most = {place_: self.graph.tensors[place_].bytes for place_ in first}
        for t in self.root:
            most[self.place_of(t)] = max(most.get(self.place_of(t), 0), self.graph.tensors[t].bytes)
        scratch = {place_: self.steps[i][1].scratch_bytes for i, place_ in self.on_input.items()}
        for place_, start in first.items():
            if self.in_arena(place_):
                source = self.graph.tensors[place_]
                last = self.last.get(place_, start)
                yield place_, Buffer(source.name, most[place_], start, last, scratch.get(place_, 0))
        for i, (op, step) in enumerate(self.steps):
            if step.scratch_bytes and i not in self.on_input:
                yield -1 - i, Buffer(f"scratch of {op.name}", step.scratch_bytes, i, i)

    def plan(self) -> Plan:
        keyed = list(self.buffers())
        offsets, arena_bytes = place([b for _, b in keyed])
        self.offsets = {key: offset for (key, _), offset in zip(keyed, offsets, strict=True)}
        self.check_fit([b for _, b in keyed], arena_bytes)
        self.constants = Constants()
        initial = self.place_state()
        self.index: dict[int, int] = {}
        self.tensors: list[PlannedTensor] = []
        steps = tuple(self.planned_step(i, op, step) for i, (op, step) in enumerate(self.steps))
        inputs = tuple(self.tensor_index(t) for t in self.graph.inputs)
        outputs = tuple(self.tensor_index(t) for t in self.graph.outputs)
        return Plan(
            self.graph.name,
            self.board.core.name,
            tuple(self.tensors),
            steps,
            inputs,
            outputs,
            initial,
            bytes(self.constants.data),
            arena_bytes,
            self.state_bytes,
            self.graph.labels,
            dict(self.graph.metadata),
            tuple((b, offset) for (_, b), offset in zip(keyed, offsets, strict=True)),
        )

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
            return PlannedTensor(t, "state", self.offsets[place_])
        if source.data is not None:
            return PlannedTensor(t, "constant", self.constants.add(source.data.tobytes()))
        if source.name in self.options.caller_inputs:
            return PlannedTensor(t, "input", 0, self.options.caller_inputs.index(source.name))
        return PlannedTensor(t, "arena", self.offsets[place_])

    def check_fit(self, buffers: list[Buffer], arena_bytes: int) -> None:
        region = self.board.arena
        state = sum(aligned(self.graph.tensors[v.initial].bytes) for v in self.graph.variables)
        wanted = arena_bytes + state
        if wanted <= region.size:
            return
        _, step = peak(buffers)
        tensors = ", ".join(f"{b.name} ({b.bytes})" for b in alive(buffers, step))
        op = self.steps[min(step, len(self.steps) - 1)][0]
        raise UserError(
            f"{self.graph.name} does not fit {self.board.name}: arena and state need {wanted} bytes, region "
            f"{region.name} has {region.size}, {wanted - region.size} too few; alive at the peak, step {step} "
            f"({op.kind} {op.name}): {tensors}",
            "choose a board with more RAM (`offramp boards`) or a smaller model",
        )
