"""Writes a plan as a blob."""

from __future__ import annotations

from typing import Any

import flatbuffers
import numpy as np

from offramp.blob import header
from offramp.ir import CONFIDENCES
from offramp.ofg import DTYPE_CODES, entry
from offramp.plan import Certificate, Plan, PlannedStep, PlannedTensor
from offramp.schema import aligned_bytes, fb, vector

UINT32_MAX = 0xFFFFFFFF


def write(plan: Plan) -> bytes:
    """The blob's bytes; equal plans give equal bytes."""
    b = flatbuffers.Builder(1 << 16)
    constants = aligned_bytes(b, plan.constants)
    plans = vector(b, [write_plan(b, p, p is plan) for p in plan.every])
    metadata = vector(b, [entry(b, k, v) for k, v in sorted(plan.metadata.items())])
    labels = vector(b, [b.CreateString(s) for s in plan.labels])
    name = b.CreateString(plan.name)
    front_end = aligned_bytes(b, plan.front_end) if plan.front_end else None
    fb.BlobStart(b)
    fb.BlobAddConstants(b, constants)
    fb.BlobAddPlans(b, plans)
    fb.BlobAddName(b, name)
    fb.BlobAddMetadata(b, metadata)
    fb.BlobAddLabels(b, labels)
    fb.BlobAddMargin(b, plan.margin)
    fb.BlobAddGate(b, plan.gate)
    if front_end is not None:
        fb.BlobAddFrontEnd(b, front_end)
    b.Finish(fb.BlobEnd(b))
    generic = all(s.kernel.set == "generic" for p in plan.every for s in p.steps)
    minor = header.FAMILIES if plan.members else header.PLAIN
    if any(p.exits for p in plan.every):
        minor = header.EXITS
    if plan.gate:
        minor = header.GATES
    if plan.front_end:
        minor = header.FRONT_ENDS
    return header.with_header(bytes(b.Output()), "any" if generic else plan.core, minor)


def write_plan(b: Any, plan: Plan, is_first: bool) -> int:
    """Of a blob with one plan, name and metadata are those of the blob."""
    of_family = bool(plan.members) or not is_first
    dims, starts = dims_of(plan.tensors)
    operands: list[int] = []
    step_operands = []
    for step in plan.steps:
        step_operands.append(len(operands))
        operands += [*step.inputs, *step.outputs]
    inputs = vector(b, [port(b, plan.tensors[i]) for i in plan.inputs])
    outputs = vector(b, [port(b, plan.tensors[i]) for i in plan.outputs])
    vectors = {
        "Dims": b.CreateNumpyVector(np.array(dims, np.int32)),
        "Tensors": write_tensors(b, plan.tensors, starts),
        "Operands": u16(b, operands),
        "Steps": write_steps(b, plan.steps, step_operands),
        "Segments": write_segments(b, plan),
        "Inputs": u16(b, plan.inputs),
        "Outputs": u16(b, plan.outputs),
        "Initial": write_initial(b, plan),
        "InputPorts": inputs,
        "OutputPorts": outputs,
    }
    if plan.names:
        vectors["StepInfos"] = vector(b, [step_info(b, s) for s in plan.steps])
    if plan.certificate is not None:
        vectors |= {
            "Bounds": write_bounds(b, plan.certificate),
            "Certificate": write_certificate(b, plan.certificate),
        }
    if plan.exits:
        vectors["Exits"] = write_exits(b, plan)
        vectors["ExitPorts"] = vector(b, [port(b, plan.tensors[e.answer], e.name) for e in plan.exits])
    if of_family:
        vectors["Name"] = b.CreateString(plan.name)
    if not is_first:
        vectors["Metadata"] = vector(b, [entry(b, k, v) for k, v in sorted(plan.metadata.items())])
    fb.PlanStart(b)
    for name, offset in vectors.items():
        getattr(fb, f"PlanAdd{name}")(b, offset)
    fb.PlanAddArenaBytes(b, plan.arena_bytes)
    fb.PlanAddStateBytes(b, plan.state_bytes)
    if of_family:
        proven = plan.certificate.inference.most if plan.certificate else 0
        fb.PlanAddInstructions(b, proven or min(plan.instructions, UINT32_MAX))
    return int(fb.PlanEnd(b))


def dims_of(tensors: tuple[PlannedTensor, ...]) -> tuple[list[int], list[int]]:
    """All axes one after another, equal shapes stored once; where each tensor's begin."""
    dims: list[int] = []
    known: dict[tuple[int, ...], int] = {}
    starts = []
    for t in tensors:
        shape = t.tensor.shape
        if shape not in known:
            known[shape] = len(dims)
            dims += shape
        starts.append(known[shape])
    return dims, starts


def u16(b: Any, values: list[int] | tuple[int, ...]) -> int:
    return int(b.CreateNumpyVector(np.array(values, np.uint16)))


def write_tensors(b: Any, tensors: tuple[PlannedTensor, ...], starts: list[int]) -> int:
    fb.PlanStartTensorsVector(b, len(tensors))
    for t, start in reversed(list(zip(tensors, starts, strict=True))):
        memory = getattr(fb.Memory, t.memory)
        dtype = DTYPE_CODES[t.tensor.dtype]
        shape = t.tensor.shape
        fb.CreateBlobTensor(b, t.offset, t.tensor.bytes, start, len(shape), dtype, memory, 0, t.bound, 0)
    return int(b.EndVector())


def write_steps(b: Any, steps: tuple[PlannedStep, ...], operands: list[int]) -> int:
    fb.PlanStartStepsVector(b, len(steps))
    for s, first in reversed(list(zip(steps, operands, strict=True))):
        fb.CreateStep(
            b,
            s.kernel.id,
            s.packing,
            first,
            len(s.inputs),
            len(s.outputs),
            s.params,
            s.params_bytes,
            s.scratch,
            s.scratch_bytes,
        )
    return int(b.EndVector())


def write_segments(b: Any, plan: Plan) -> int:
    fb.PlanStartSegmentsVector(b, len(plan.stages))
    for i, stage in reversed(list(enumerate(plan.stages))):
        terminator = fb.Terminator.exit if i < len(plan.exits) else fb.Terminator.end
        most, _ = stage.proved(plan.certificate) if plan.exits else (0, 0)
        fb.CreateSegment(
            *(b, stage.first_step, stage.n_steps, terminator, 0, i if i < len(plan.exits) else 0, most)
        )
    return int(b.EndVector())


def write_exits(b: Any, plan: Plan) -> int:
    fb.PlanStartExitsVector(b, len(plan.exits))
    for e, stage in reversed(list(zip(plan.exits, plan.stages, strict=False))):
        _, most = stage.proved(plan.certificate)
        kind = CONFIDENCES.index(e.confidence)
        fb.CreateExit(b, e.answer, e.estimate, stage.head, e.threshold, most, kind, 0, 0)
    return int(b.EndVector())


def write_bounds(b: Any, certificate: Certificate) -> int:
    fb.PlanStartBoundsVector(b, len(certificate.steps))
    for bound in reversed(certificate.steps):
        fb.CreateStepBound(b, bound.most, bound.least)
    return int(b.EndVector())


def write_certificate(b: Any, certificate: Certificate) -> int:
    compiler, digest = b.CreateString(certificate.compiler), b.CreateString(certificate.code_sha256)
    fb.CertificateStart(b)
    fb.CertificateAddMost(b, certificate.inference.most)
    fb.CertificateAddLeast(b, certificate.inference.least)
    fb.CertificateAddStackBytes(b, certificate.stack_bytes)
    fb.CertificateAddRamBytes(b, certificate.ram_bytes)
    fb.CertificateAddCompiler(b, compiler)
    fb.CertificateAddCodeSha256(b, digest)
    return int(fb.CertificateEnd(b))


def write_initial(b: Any, plan: Plan) -> int:
    fb.PlanStartInitialVector(b, len(plan.initial))
    for init in reversed(plan.initial):
        source = 0xFFFFFFFF if init.source is None else init.source
        fb.CreateStateInit(b, init.offset, init.bytes, source, init.fill)
    return int(b.EndVector())


def port(b: Any, t: PlannedTensor, called: str = "") -> int:
    name = b.CreateString(called or t.tensor.name)
    fb.PortStart(b)
    fb.PortAddName(b, name)
    if t.tensor.quantization is not None:
        fb.PortAddScale(b, t.tensor.quantization.scale)
        fb.PortAddZeroPoint(b, t.tensor.quantization.zero_point)
    return int(fb.PortEnd(b))


def step_info(b: Any, step: PlannedStep) -> int:
    op, name = b.CreateString(step.op), b.CreateString(step.name)
    fb.StepInfoStart(b)
    fb.StepInfoAddOp(b, op)
    fb.StepInfoAddName(b, name)
    fb.StepInfoAddMacs(b, step.macs)
    return int(fb.StepInfoEnd(b))
