"""Reads a blob on the host: what it holds, in plain records."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from offramp.blob import header
from offramp.errors import UserError
from offramp.kernels import ALL_KERNELS
from offramp.ofg import DTYPE_NAMES, text
from offramp.plan import Bound, Certificate
from offramp.schema import fb

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
class Blob:
    name: str
    format: str
    core: str
    crc: int
    bytes: int
    constants_bytes: int
    arena_bytes: int
    state_bytes: int
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    steps: tuple[StepRecord, ...]
    labels: tuple[str, ...]
    certificate: Certificate | None
    metadata: dict[str, str]

    @property
    def macs(self) -> int:
        return sum(s.macs for s in self.steps)


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
        raise UserError(f"{path}: {len(data)} bytes, its header says {wanted}", "transfer or pack it again")
    if header.crc_of(data, h.flatbuffer_bytes) != h.crc:
        raise UserError(f"{path}: checksum differs, the file is damaged", "transfer or pack it again")
    try:
        return records(data, h)
    except (struct.error, IndexError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(f"{path}: damaged blob ({error})", "pack it again") from error


def records(data: bytes, h: header.Header) -> Blob:
    root = fb.Blob.GetRootAs(data[header.LAYOUT.size :], 0)
    plan = root.Plans(0)
    return Blob(
        text(root.Name()),
        f"{h.major}.{h.minor}",
        CORE_NAMES.get(h.core, f"unknown core {h.core}"),
        h.crc,
        len(data),
        root.ConstantsLength(),
        plan.ArenaBytes(),
        plan.StateBytes(),
        tuple(port(plan, plan.Inputs(i), plan.InputPorts(i)) for i in range(plan.InputsLength())),
        tuple(port(plan, plan.Outputs(i), plan.OutputPorts(i)) for i in range(plan.OutputsLength())),
        tuple(step(plan, i) for i in range(plan.StepsLength())),
        tuple(text(root.Labels(i)) for i in range(root.LabelsLength())),
        certificate(plan),
        {text(root.Metadata(i).Key()): text(root.Metadata(i).Value()) for i in range(root.MetadataLength())},
    )


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
    return StepRecord(
        text(info.Op()),
        text(info.Name()),
        kernel,
        s.Packing(),
        info.Macs(),
        s.ParamsBytes(),
        s.ScratchBytes(),
    )
