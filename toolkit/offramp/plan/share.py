"""Which tensors share memory: parts of one another, and outputs over what dies, for the smallest arena."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from offramp.ir import Graph, Op
from offramp.ops import Step
from offramp.ops.op import SAME_START, SCRATCH_ON_INPUT, elements

PART_ALIGN = 4  # of a tensor's offset in its memory


@dataclass
class Places:
    """`root` maps a tensor to the one in whose memory it lies, `shift` bytes behind its start."""

    root: dict[int, int] = field(default_factory=dict)
    shift: dict[int, int] = field(default_factory=dict)

    def of(self, tensor: int) -> int:
        while tensor in self.root:
            tensor = self.root[tensor]
        return tensor

    def shift_of(self, tensor: int) -> int:
        bytes_ = 0
        while tensor in self.root:
            bytes_ += self.shift.get(tensor, 0)
            tensor = self.root[tensor]
        return bytes_

    def put(self, tensor: int, place: int, shift: int = 0) -> None:
        self.root[tensor], self.shift[tensor] = place, shift


def parts_of(graph: Graph, op: Op) -> list[tuple[int, int]]:
    """(part, first byte) for ops whose inputs or outputs lie one behind another in the whole; else none."""
    if op.kind == "strided_slice":
        whole, parts = op.inputs[0], op.outputs
        a, shape = op.attributes, graph.tensors[op.inputs[0]].shape
        axis = next((i for i, n in enumerate(shape) if a.length[i] != n), 0)
        if any(n != 1 for n in shape[:axis]) or a.length[axis + 1 :] != shape[axis + 1 :]:
            return []
        if any(s != 1 for s, n in zip(a.stride, a.length, strict=True) if n != 1):
            return []
        start = a.begin[axis]
    elif op.kind in ("split", "concatenation"):
        whole, parts = (op.inputs[0], op.outputs) if op.kind == "split" else (op.outputs[0], op.inputs)
        axis, shape, start = op.attributes.axis, graph.tensors[whole].shape, 0
        if any(n != 1 for n in shape[:axis]):
            return []
    else:
        return []
    at = start * graph.tensors[whole].bytes // elements(shape) * elements(shape[axis + 1 :])
    found = []
    for part in parts:
        found.append((part, at))
        at += graph.tensors[part].bytes
    return found if all(first % PART_ALIGN == 0 for _, first in found) else []


@dataclass(frozen=True)
class Overlap:
    """An output, or scratch, of a step laid over a place that has served."""

    step: int
    over: int
    how: str  # output | rows | scratch
    same_length: bool


@dataclass
class Sharing:
    """One way of sharing: places, the last step that touches each, and steps whose scratch begins on an input."""

    places: Places
    last: dict[int, int]
    refused: frozenset[Overlap]
    other_lengths: bool
    on_input: dict[int, int] = field(default_factory=dict)
    overlaps: list[Overlap] = field(default_factory=list)


@dataclass(frozen=True)
class Sharer:
    graph: Graph
    steps: Sequence[Step]
    places: Places
    last: dict[int, int]
    in_arena: Callable[[int], bool]

    def sharing(self, refused: frozenset[Overlap], other_lengths: bool) -> Sharing:
        """All overlaps that the kernels allow but the refused, from the first step to the last.

        `other_lengths`: over places of other lengths too.
        """
        places = Places(dict(self.places.root), dict(self.places.shift))
        s = Sharing(places, dict(self.last), refused, other_lengths)
        written: set[int] = set()
        for i, step in enumerate(self.steps):
            for overlap in self.possible(s, i, step, written):
                if overlap in refused or not (other_lengths or overlap.same_length):
                    continue
                s.overlaps.append(overlap)
                if overlap.how == "scratch":
                    s.on_input[i] = overlap.over
                    continue
                out = places.of(step.outputs[0])
                s.last[overlap.over] = max(s.last[overlap.over], s.last[out])
                places.put(out, overlap.over)
                break
            written.update(places.of(t) for t in step.outputs)
        return s

    def possible(self, s: Sharing, i: int, step: Step, written: set[int]) -> Iterator[Overlap]:
        out = s.places.of(step.outputs[0])
        fresh = out not in written and self.in_arena(out) and s.places.shift_of(step.outputs[0]) == 0
        if fresh and sum(s.places.of(other.outputs[0]) == out for other in self.steps) > 1:
            alive = {s.places.of(t) for other in self.steps[i:] for t in other.inputs} & (
                written | {s.places.of(t) for t in self.graph.inputs}
            )
            for place in sorted(alive - {out}):
                if self.in_arena(place) and self.follows(s, i, out, place):
                    yield Overlap(i, place, "rows", False)
        for k, t in enumerate(step.inputs):
            place = s.places.of(t)
            if s.last[place] != i or not self.in_arena(place) or place == out or s.places.shift_of(t) != 0:
                continue
            same = self.graph.tensors[t].bytes == self.graph.tensors[step.outputs[0]].bytes
            if fresh and self.may_lie_on(s, step, k, same):
                yield Overlap(i, place, "output", same)
            alone = all(s.places.of(other) != place for other in step.inputs[1:])
            if k == 0 and alone and step.kernel.in_place & step.overlaps & SCRATCH_ON_INPUT:
                yield Overlap(i, place, "scratch", True)

    def may_lie_on(self, s: Sharing, step: Step, k: int, same: bool) -> bool:
        """Whether the kernel takes output 0 where input k begins, and no other part of that place in its way."""
        allowed = step.kernel.in_place & step.overlaps
        out_bytes = self.graph.tensors[step.outputs[0]].bytes
        for j, t in enumerate(step.inputs):
            shift = s.places.shift_of(t)
            if s.places.of(t) != s.places.of(step.inputs[k]) or shift >= out_bytes:
                continue
            bits = (1 << j if same else 0) | (SAME_START << j if j < 3 else 0)
            if shift != 0 or not allowed & bits:
                return False
        return True

    def follows(self, s: Sharing, i: int, out: int, place: int) -> bool:
        """Whether `out`, written from step i on, may begin where `place` begins: its bytes are done with by then."""
        if s.last[place] >= len(self.steps):
            return False
        writes = [w for w in self.touches(s, i, out) if w[1]]
        return not any(
            touch[0] >= write[0] and touch[2] < write[3] and write[2] < touch[3]
            for touch in self.touches(s, i, place)
            for write in writes
        )

    def touches(self, s: Sharing, i: int, place: int) -> list[tuple[int, bool, int, int]]:
        """(step, whether it writes, first byte, end) of all that touches a place from step i on."""
        found = []
        for j, step in enumerate(self.steps[i:], i):
            for writes, tensors in ((False, step.inputs), (True, step.outputs)):
                for t in tensors:
                    if s.places.of(t) == place:
                        at = s.places.shift_of(t)
                        found.append((j, writes, at, at + self.graph.tensors[t].bytes))
        return found
