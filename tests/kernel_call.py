"""Calls C kernels on the host directly: compiled once with UBSan, operands fenced by pages that fault."""

from __future__ import annotations

import ctypes
import functools
import mmap
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from offramp.build import cmsis_nn
from offramp.build.compilers import THIRD_PARTY
from offramp.ir import DTYPES, Graph, Op
from offramp.ops import OPS, Step
from offramp.ops.strided_copy import copy_step
from offramp.resources import root

DTYPE_CODES = {name: i for i, name in enumerate(("s8", "u8", "s16", "s32", "f32", "bool8", "s64"))}
FLAGS = (
    "-std=c11",
    "-O1",
    "-g",
    "-shared",
    "-fPIC",
    "-fsanitize=undefined",
    "-fno-sanitize-recover=undefined",
)
LIBRARY_PARTS = (
    "ConvolutionFunctions",
    "FullyConnectedFunctions",
    "PoolingFunctions",
    "NNSupportFunctions",
)
AREA = 1 << 20
CANARY, CANARIES = 0xA5, 64


class Operand(ctypes.Structure):
    _fields_ = [("data", ctypes.c_void_p), ("bytes", ctypes.c_uint32), ("dtype", ctypes.c_uint8)]


class Fault(ctypes.Structure):
    _fields_ = [
        ("step", ctypes.c_int32),
        ("tensor", ctypes.c_int32),
        ("found", ctypes.c_uint32),
        ("allowed", ctypes.c_uint32),
    ]


class Call(ctypes.Structure):
    _fields_ = [
        ("params", ctypes.c_void_p),
        ("params_bytes", ctypes.c_uint32),
        ("scratch_bytes", ctypes.c_uint32),
        ("scratch", ctypes.c_void_p),
        ("inputs", Operand * 4),
        ("outputs", Operand * 1),
        ("fault", ctypes.POINTER(Fault)),
    ]


class KernelRow(ctypes.Structure):
    _fields_ = [
        ("id", ctypes.c_uint16),
        ("packing", ctypes.c_uint16),
        ("params_bytes", ctypes.c_uint16),
        ("n_inputs", ctypes.c_uint8),
        ("n_outputs", ctypes.c_uint8),
        ("in_place", ctypes.c_uint8),
        ("check", ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(Call))),
        ("run", ctypes.CFUNCTYPE(None, ctypes.POINTER(Call))),
    ]


class Refused(Exception):
    """The kernel's check returned this status."""


@functools.cache
def library(kernels: str = "generic") -> ctypes.CDLL:
    """A kernel set that compiles here: generic, or cmsis_nn with the library's loops for cores without DSP."""
    firmware = root() / "firmware"
    includes = [f"-I{firmware}/include", f"-I{firmware}/src"]
    with tempfile.TemporaryDirectory() as folder:
        if kernels == "cmsis_nn":
            includes += compile_cmsis_nn(Path(folder))
        sources = [
            *map(str, (firmware / "kernels" / kernels).glob("*.c")),
            f"{firmware}/src/library_layer.c",
            *map(str, Path(folder).glob("*.o")),
        ]
        target = Path(folder) / "kernels.so"
        subprocess.run(["gcc", *FLAGS, *includes, *sources, "-o", str(target)], check=True)
        return ctypes.CDLL(str(target))


def compile_cmsis_nn(folder: Path) -> list[str]:
    """Arm's library as objects in `folder`, with UBSan too; the folders of its headers as gcc's options."""
    found = cmsis_nn.find()
    (folder / "arm_acle.h").write_text(
        "#define __clz __builtin_clz\n"
    )  # the one intrinsic of its plain loops
    includes = [f"-isystem{path}" for path in (*found.include_dirs, folder)]
    flags = [flag for flag in FLAGS if flag != "-shared"]
    sources = [str(p) for p in found.sources if p.parent.name in LIBRARY_PARTS]
    subprocess.run(["gcc", "-c", *flags, *THIRD_PARTY, *includes, *sources], cwd=folder, check=True)
    return includes


@functools.cache
def row(kernels: str, symbol: str) -> KernelRow:
    return KernelRow.in_dll(library(kernels), symbol)


@functools.cache
def area(slot: str) -> tuple[mmap.mmap, int]:
    """Memory of AREA bytes whose end meets a page without access, and its address; one a role, used again."""
    memory = mmap.mmap(-1, AREA + mmap.PAGESIZE)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(address + AREA), mmap.PAGESIZE, 0) == 0
    return memory, address


class Fenced:
    """An operand at the end of its area (to 16 bytes, the runtime's alignment), canaries on both sides."""

    def __init__(self, slot: str, content: bytes) -> None:
        self.memory, base = area(slot)
        self.size, self.slack = len(content), -len(content) % 16
        self.start = AREA - self.size - self.slack
        self.memory[self.start - CANARIES : AREA] = (
            bytes([CANARY]) * CANARIES + content + bytes([CANARY]) * self.slack
        )
        self.address = base + self.start

    def content(self) -> bytes:
        end = self.start + self.size
        around = self.memory[self.start - CANARIES : self.start] + self.memory[end:AREA]
        assert set(around) == {CANARY}, "a kernel wrote outside its operand"
        return self.memory[self.start : end]


def call_kernel(
    step: Step, inputs: Sequence[tuple[str, bytes]], output: tuple[str, bytes], over_input: int | None = None
) -> bytes:
    """Checks and runs a step, operands are (dtype, bytes): the output's bytes, or Refused.

    `over_input`: the output lies on this input, as a planner may lay it.
    """
    kernel = row(step.kernel.set, step.kernel.symbol)
    assert kernel.id == step.kernel.id and kernel.in_place == step.kernel.in_place
    reads = [Fenced(f"input {i}", data) for i, (_, data) in enumerate(inputs)]
    params, scratch = Fenced("params", step.params), Fenced("scratch", bytes(step.scratch_bytes))
    target = reads[over_input] if over_input is not None else Fenced("output", output[1])
    fault = Fault()
    call = Call(
        params=params.address,
        params_bytes=params.size,
        scratch_bytes=scratch.size,
        scratch=scratch.address,
        fault=ctypes.pointer(fault),
    )
    for i, (memory, (dtype, _)) in enumerate(zip(reads, inputs, strict=True)):
        call.inputs[i] = Operand(memory.address, memory.size, DTYPE_CODES[dtype])
    call.outputs[0] = Operand(target.address, target.size, DTYPE_CODES[output[0]])
    assert len(reads) == kernel.n_inputs and params.size >= kernel.params_bytes
    status = kernel.check(ctypes.byref(call))
    if status != 0:
        raise Refused(status)
    kernel.run(ctypes.byref(call))
    for memory, (_, before) in zip(reads, inputs, strict=True):
        after = memory.content()
        assert memory is target or after == before, "a kernel wrote to its input"
    scratch.content()
    assert params.content() == step.params
    return target.content()


class KernelRunner:
    """Runs a graph op by op through the generic C kernels; state is kept from run to run.

    `compact`: by those with small constants, which every op must have.
    """

    def __init__(self, graph: Graph, compact: bool = False) -> None:
        self.graph, self.compact = graph, compact
        self.state = {v.name: graph.tensors[v.initial].data for v in graph.variables}

    def run(self, inputs: Sequence[NDArray[Any]], in_place: bool = False) -> list[NDArray[Any]]:
        g = self.graph
        values: dict[int, NDArray[Any]] = {i: t.data for i, t in enumerate(g.tensors) if t.data is not None}
        values.update(zip(g.inputs, inputs, strict=True))
        for op in g.ops:
            self.run_op(op, values, in_place)
        return [values[i] for i in g.outputs]

    def run_op(self, op: Op, values: dict[int, NDArray[Any]], in_place: bool) -> None:
        g, kind = self.graph, op.kind
        if kind == "read_variable":
            values[op.outputs[0]] = self.copied(self.state[op.attributes.variable], op.outputs[0])
        elif kind == "assign_variable":
            self.state[op.attributes.variable] = self.copied(values[op.inputs[0]], op.inputs[0])
        elif OPS[kind].is_view:
            values[op.outputs[0]] = values[op.inputs[0]].reshape(g.tensors[op.outputs[0]].shape)
        else:
            tensors = [g.tensors[i] if i >= 0 else None for i in op.inputs]
            outputs = [g.tensors[i] for i in op.outputs]
            compact = OPS[kind].compact(op, tensors, outputs)
            steps = (
                ([compact] if compact else None) if self.compact else OPS[kind].steps(op, tensors, outputs)
            )
            assert steps is not None, f"{op.name}: no generic kernel"
            for step in steps:
                self.run_step(step, values, in_place)

    def run_step(self, step: Step, values: dict[int, NDArray[Any]], in_place: bool) -> None:
        tensors = self.graph.tensors
        out = tensors[step.outputs[0]]
        before = values.get(step.outputs[0])
        output = (out.dtype, bytes([0x5A]) * out.bytes if before is None else before.tobytes())
        inputs = [(tensors[i].dtype, values[i].tobytes()) for i in step.inputs]
        over = next(
            (
                i
                for i, (_, data) in enumerate(inputs)
                if in_place and step.kernel.in_place >> i & 1 and len(data) == out.bytes
            ),
            None,
        )
        raw = call_kernel(step, inputs, output, over)
        values[step.outputs[0]] = np.frombuffer(raw, DTYPES[out.dtype]).reshape(out.shape)

    def copied(self, value: NDArray[Any], like: int) -> NDArray[Any]:
        tensor = self.graph.tensors[like]
        step = copy_step(like, like, tensor)
        raw = call_kernel(step, [(tensor.dtype, value.tobytes())], (tensor.dtype, bytes(tensor.bytes)))
        return np.frombuffer(raw, value.dtype).reshape(tensor.shape)
