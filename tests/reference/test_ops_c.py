"""The generic C kernels equal the integer references bit for bit over the oracle's grids, also in place."""

from __future__ import annotations

import dataclasses
import mmap
import multiprocessing
import zlib
from collections.abc import Iterable, Iterator

import numpy as np
import pytest

from offramp.frontends import tflite
from offramp.ir import Graph
from offramp.ops import OPS, Step
from offramp.reference import Reference
from tests.kernel_call import KernelRunner, Refused, call_kernel, library
from tests.oracle import cases
from tests.oracle.cases import Case
from tests.reference.test_ops import SEED, at_edges

MUTANTS = 12  # of each step's parameter block
SECONDS = 60  # for all mutants of an operator


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("op", cases.OPS)
def test_kernels_equal_reference(op: str, in_place: bool) -> None:
    for case in cases.OPS[op](SEED):
        graph = tflite.load(case.model, case.name)
        reference, kernels = Reference(graph), KernelRunner(graph)
        for row in case.rows:
            inputs = at_edges(graph, row)
            for right, found in zip(reference.run(inputs), kernels.run(inputs, in_place), strict=True):
                assert found.dtype == right.dtype
                np.testing.assert_array_equal(found, right, case.name)


@pytest.mark.parametrize("op", ["ADD", "SUB", "SOFTMAX"])
def test_kernels_without_tables_equal_reference(op: str) -> None:
    for case in cases.OPS[op](SEED):
        graph = tflite.load(case.model, case.name)
        reference, kernels = Reference(graph), KernelRunner(graph, compact=True)
        for row in case.rows:
            inputs = at_edges(graph, row)
            np.testing.assert_array_equal(kernels.run(inputs)[0], reference.run(inputs)[0], case.name)


@pytest.mark.parametrize("op", cases.OPS)
def test_hostile_parameters_stay_inside(op: str) -> None:
    """Damaged parameter blocks are refused or stay inside their operands and block; else the fences fault."""
    stay_inside(op, loaded(cases.OPS[op](SEED)))


def loaded(grid: Iterable[Case]) -> Iterator[Graph]:
    for case in grid:
        yield tflite.load(case.model, case.name)


def stay_inside(op: str, graphs: Iterable[Graph]) -> None:
    library("generic")  # compiled in the parent
    log = mmap.mmap(-1, 4096)  # shared with the child
    child = multiprocessing.get_context("fork").Process(target=try_mutants, args=(op, graphs, log))
    child.start()
    child.join(SECONDS)
    child.kill()
    child.join()
    assert child.exitcode == 0, f"exit {child.exitcode} at {log[:].rstrip(bytes(1)).decode()}"


def try_mutants(op: str, graphs: Iterable[Graph], log: mmap.mmap) -> None:
    rng = np.random.default_rng(zlib.crc32(op.encode()))
    for graph in graphs:
        for step in steps_of(graph):
            out = graph.tensors[step.outputs[0]]
            inputs = [(graph.tensors[i].dtype, rng.bytes(graph.tensors[i].bytes)) for i in step.inputs]
            for params in mutants(step.params, rng):
                log[:512] = f"{graph.name} {step.kernel.name} {params[:120].hex()}".encode().ljust(
                    512, bytes(1)
                )
                damaged = dataclasses.replace(step, params=params)
                try:
                    call_kernel(damaged, inputs, (out.dtype, bytes(out.bytes)))
                except Refused as refusal:
                    assert -26 <= refusal.args[0] <= -1


def steps_of(graph: Graph) -> Iterator[Step]:
    for op in graph.ops:
        if op.kind.endswith("_variable") or OPS[op.kind].is_view:
            continue
        tensors = [graph.tensors[i] if i >= 0 else None for i in op.inputs]
        outputs = [graph.tensors[i] for i in op.outputs]
        yield from OPS[op.kind].steps(op, tensors, outputs) or []
        compact = OPS[op.kind].compact(op, tensors, outputs)
        yield from [compact] if compact else []


def mutants(params: bytes, rng: np.random.Generator) -> Iterator[bytes]:
    """One or two words of the block's head replaced, mostly by extremes; now and then another length."""
    for i in range(MUTANTS):
        block = bytearray(params)
        for _ in range(1 + i % 2):
            width = int(rng.choice((1, 2, 4)))
            at = int(rng.integers(0, min(len(block), 80) // width)) * width
            value = int(
                rng.choice(
                    (
                        0,
                        1,
                        2,
                        3,
                        0x7F,
                        0x80,
                        0xFF,
                        0x7FFF,
                        0x8000,
                        0xFFFF,
                        0x7FFFFFFF,
                        0x80000000,
                        0xFFFFFFFF,
                        int(rng.integers(0, 1 << 32)),
                    )
                )
            )
            old = int.from_bytes(block[at : at + width], "little")
            value = old + int(rng.integers(-2, 3)) if i % 3 == 0 else value
            block[at : at + width] = (value % (1 << 8 * width)).to_bytes(width, "little")
        yield bytes(block)
