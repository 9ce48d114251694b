"""Reads a blob on the host: what it holds, in plain records."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from offramp.blob import header
from offramp.errors import UserError
from offramp.ir import CONFIDENCES
from offramp.kernels import ALL_KERNELS
from offramp.ofg import DTYPE_NAMES, text
from offramp.plan import Bound, Certificate
from offramp.plan.arena import aligned
from offramp.schema import fb

Block = bytes
MEMORY_NAMES = {v: k for k, v in vars(fb.Memory).items() if not k.startswith("_")}
CORE_NAMES = {code: name for name, code in header.CORES.items()}
KERNEL_NAMES = {k.id: f"{k.set}/{k.name}" for k in ALL_KERNELS}


@dataclass(frozen=True)
class Port:
    """An input or output. `memory` is arena, state, or input for one that stays in the caller's memory."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    bytes: int
    memory: str
    scale: float
    zero_point: int


@dataclass(frozen=True)
class StepRecord:
    op: str
    name: str
    kernel: str
    packing: int
    macs: int
    params_bytes: int
    scratch_bytes: int


@dataclass(frozen=True)
class StageRecord:
    """Steps up to an exit, its head last, or up to the end. Instructions are proved upper bounds; 0: unknown."""

    first_step: int
    n_steps: int
    head_steps: int
    instructions: int
    head_instructions: int


@dataclass(frozen=True)
class ExitRecord:
    """`port`: what the exit gives in place of output 0; its name is the exit's."""

    port: Port
    confidence: str
    threshold: int


@dataclass(frozen=True)
class PlanRecord:
    """One plan. Of the constants it refers to, `own_bytes` are its alone, `shared_bytes` other plans' too."""

    name: str
    instructions: int
    """Of one inference, estimated or proven; 0: unknown."""
    arena_bytes: int
    state_bytes: int
    own_bytes: int
    shared_bytes: int
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    steps: tuple[StepRecord, ...]
    certificate: Certificate | None
    metadata: dict[str, str]
    exits: tuple[ExitRecord, ...]
    stages: tuple[StageRecord, ...]
    """One more than there are exits."""

    @property
    def macs(self) -> int:
        return sum(s.macs for s in self.steps)


@dataclass(frozen=True)
class Blob:
    """`margin`: an answer of a cascade whose two largest values differ by less is unsure; 0: the blob does not say.

    `gate`: 1 + the number of the plan that chooses among the others; 0: none.
    """

    name: str
    format: str
    core: str
    crc: int
    bytes: int
    constants_bytes: int
    plans: tuple[PlanRecord, ...]
    labels: tuple[str, ...]
    metadata: dict[str, str]
    margin: int
    gate: int
    front_end: Block
    """Parameters of what makes input 0 of raw samples; empty: there is none."""

    @property
    def inputs(self) -> tuple[Port, ...]:
        return self.plans[0].inputs

    @property
    def outputs(self) -> tuple[Port, ...]:
        return self.plans[0].outputs

    @property
    def steps(self) -> tuple[StepRecord, ...]:
        """Of plan 0."""
        return self.plans[0].steps

    @property
    def arena_bytes(self) -> int:
        """What the largest plan asks for: all run in one arena."""
        return max(plan.arena_bytes for plan in self.plans)

    @property
    def state_bytes(self) -> int:
        """Of all plans: each instance has its own."""
        *others, last = self.plans
        return sum(aligned(plan.state_bytes) for plan in others) + last.state_bytes

    @property
    def kernels(self) -> tuple[str, ...]:
        """Those of all plans, each once."""
        return tuple(dict.fromkeys(step.kernel for plan in self.plans for step in plan.steps))

    def plan_index(self, wanted: str, path: str | Path) -> int:
        """Of a plan by its number or name; UserError where there is none, or there are several."""
        names = [plan.name for plan in self.plans]
        if wanted.isdecimal() and int(wanted) < len(names):
            return int(wanted)
        if names.count(wanted) == 1:
            return names.index(wanted)
        raise UserError(
            f"{path}: {names.count(wanted) or 'no'} plan{'s are' if wanted in names else ' is'} called {wanted!r}",
            self.choices,
        )

    @property
    def choices(self) -> str:
        """The plans that give answers and the policies that choose among them, for a person."""
        gate = self.gate - 1
        plans = ", ".join(f"{i} {plan.name}" for i, plan in enumerate(self.plans) if i != gate)
        policies = f"budget:N, cascade[:MARGIN[:NAME]]{', gate' if self.gate else ''}"
        return f"plans, by number or name: {plans}" + (f"; policies: {policies}" if self.plans[1:] else "")


def read(data: bytes, path: str | Path) -> Blob:
    """What a blob says of itself; UserError where it is none, damaged or of an unknown format."""
    if data[:4] != header.MAGIC:
        raise UserError(f"{path}: not an Offramp blob (no OFR1 mark)", "make one with `offramp pack`")
    try:
        h = header.parse(data)
    except (struct.error, ValueError) as error:
        raise UserError(f"{path}: truncated in its header, {len(data)} bytes", "pack it again") from error
    if h.major != header.FORMAT_MAJOR or h.minor > header.FORMAT_MINOR:
        raise UserError(
            f"{path}: blob format {h.major}.{h.minor}, this version reads {header.FORMAT_MAJOR}.{header.FORMAT_MINOR}",
            "pack it again, or update offramp",
        )
    wanted = header.LAYOUT.size + h.flatbuffer_bytes + h.trailer_bytes
    if len(data) != wanted:
        raise UserError(
            f"{path}: {len(data)} bytes, its header says {wanted} bytes", "transfer or pack it again"
        )
    if header.crc_of(data, h.flatbuffer_bytes) != h.crc:
        raise UserError(f"{path}: checksum differs, the file is damaged", "transfer or pack it again")
    try:
        return records(data, h)
    except (struct.error, IndexError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(f"{path}: damaged blob ({error})", "pack it again") from error


def records(data: bytes, h: header.Header) -> Blob:
    root = fb.Blob.GetRootAs(data[header.LAYOUT.size :], 0)
    plans = [root.Plans(i) for i in range(root.PlansLength())]
    users = Counter(offset for plan in plans for offset in pieces(plan))
    if not plans:
        raise ValueError("no plan")
    return Blob(
        text(root.Name()),
        f"{h.major}.{h.minor}",
        CORE_NAMES.get(h.core, f"unknown core {h.core}"),
        h.crc,
        len(data),
        root.ConstantsLength(),
        tuple(plan_record(root, plan, i, users) for i, plan in enumerate(plans)),
        tuple(text(root.Labels(i)) for i in range(root.LabelsLength())),
        entries(root),
        root.Margin(),
        root.Gate(),
        bytes(root.FrontEndAsNumpy()) if root.FrontEndLength() else b"",
    )


def plan_record(root: Any, plan: Any, index: int, users: Mapping[int, int]) -> PlanRecord:
    """`users`: how many plans refer to the constants at an offset."""
    shared = sum(n for offset, n in pieces(plan).items() if users[offset] > 1)
    return PlanRecord(
        text(plan.Name() if plan.Name() is not None else root.Name()),
        plan.Instructions(),
        plan.ArenaBytes(),
        plan.StateBytes(),
        sum(pieces(plan).values()) - shared,
        shared,
        tuple(port(plan, plan.Inputs(i), plan.InputPorts(i)) for i in range(plan.InputsLength())),
        tuple(port(plan, plan.Outputs(i), plan.OutputPorts(i)) for i in range(plan.OutputsLength())),
        tuple(step(plan, i) for i in range(plan.StepsLength())),
        certificate(plan),
        entries(plan if index else root),
        tuple(exit_record(plan, i) for i in range(plan.ExitsLength())),
        tuple(stage_record(plan, i) for i in range(plan.SegmentsLength())),
    )


def exit_record(plan: Any, i: int) -> ExitRecord:
    e = plan.Exits(i)
    return ExitRecord(port(plan, e.Answer(), plan.ExitPorts(i)), CONFIDENCES[e.Confidence()], e.Threshold())


def stage_record(plan: Any, i: int) -> StageRecord:
    s, head, head_instructions = plan.Segments(i), 0, 0
    if i < plan.ExitsLength():
        e = plan.Exits(i)
        head, head_instructions = s.FirstStep() + s.NSteps() - e.Head(), e.Instructions()
    return StageRecord(s.FirstStep(), s.NSteps(), head, s.Argument(), head_instructions)


def pieces(plan: Any) -> dict[int, int]:
    """Of the constants, what a plan refers to: offset -> bytes."""
    steps = [plan.Steps(i) for i in range(plan.StepsLength())]
    tensors = [plan.Tensors(i) for i in range(plan.TensorsLength())]
    initial = [plan.Initial(i) for i in range(plan.InitialLength())]
    found = {s.Params(): s.ParamsBytes() for s in steps}
    found |= {t.Offset(): t.Bytes() for t in tensors if t.Memory() == fb.Memory.constant}
    return found | {init.Source(): init.Bytes() for init in initial if init.Source() != 0xFFFFFFFF}


def entries(table: Any) -> dict[str, str]:
    found = [table.Metadata(i) for i in range(table.MetadataLength())]
    return {text(entry.Key()): text(entry.Value()) for entry in found}


def certificate(plan: Any) -> Certificate | None:
    found = plan.Certificate()
    if found is None:
        return None
    if plan.BoundsLength() != plan.StepsLength():
        raise ValueError(f"{plan.BoundsLength()} bounds for {plan.StepsLength()} steps")
    bounds = [plan.Bounds(i) for i in range(plan.BoundsLength())]
    return Certificate(
        tuple(Bound(bound.Most(), bound.Least()) for bound in bounds),
        Bound(found.Most(), found.Least()),
        found.StackBytes(),
        found.RamBytes(),
        text(found.Compiler()),
        text(found.CodeSha256()),
    )


def port(plan: Any, tensor: int, info: Any) -> Port:
    t = plan.Tensors(tensor)
    shape = tuple(int(plan.Dims(t.Dims() + i)) for i in range(t.Rank()))
    return Port(
        text(info.Name()),
        shape,
        DTYPE_NAMES[t.Dtype()],
        t.Bytes(),
        MEMORY_NAMES[t.Memory()],
        float(info.Scale()),
        int(info.ZeroPoint()),
    )


def step(plan: Any, i: int) -> StepRecord:
    s, info = plan.Steps(i), plan.StepInfos(i)
    kernel = KERNEL_NAMES.get(s.Kernel(), f"kernel {s.Kernel():#06x}")
    op, name, macs = (text(info.Op()), text(info.Name()), info.Macs()) if info else (kernel, "", 0)
    return StepRecord(
        op,
        name,
        kernel,
        s.Packing(),
        macs,
        s.ParamsBytes(),
        s.ScratchBytes(),
    )
