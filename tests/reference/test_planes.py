"""Weights in two planes of nibbles: bits of the int8 layer with both, of 16 times the upper plane with that alone."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from offramp import boards
from offramp.errors import UserError
from offramp.frontends import tflite
from offramp.ir import Graph
from offramp.kernels import candidates
from offramp.plan import make_plan
from offramp.plan.planes import with_planes
from offramp.reference import Reference
from tests.kernel_call import Refused, call_kernel
from tests.oracle.planes import cases, in_planes, planes

BOARD = boards.load("posix")


def run(graph: Graph, data: np.ndarray) -> tuple[str, np.ndarray]:
    """Kernel and output of a layer stored in planes."""
    planned = with_planes(graph)
    [op] = planned.ops
    [[step]] = list(candidates(planned, op, BOARD.core, ("generic",)))
    tensors = planned.tensors
    operands = [("s8", data.tobytes()), *(("u8", tensors[i].data.tobytes()) for i in step.inputs[1:])]
    out = tensors[step.outputs[0]]
    return step.kernel.name, np.frombuffer(
        call_kernel(step, operands, ("s8", bytes(out.bytes))), np.int8
    ).reshape(out.shape)


def test_both_ways_equal_the_reference() -> None:
    served = dict.fromkeys(("conv_2d_planes", "conv_2d_high"), 0)
    for case, graph in planes(6):
        name, found = run(graph, case.inputs[0])
        np.testing.assert_array_equal(found, Reference(graph).run(case.inputs)[0], case.name)
        served[name] += 1
    assert min(served.values()) > 100


def test_plans_hold_the_same_upper_plane_and_half_the_bytes() -> None:
    case = next(c for c in cases(6) if "5x5x32_to32" in c.name)
    whole = in_planes(tflite.load(case.model, case.name))
    both, high = make_plan(whole, BOARD), make_plan(in_planes(whole, upper_alone=True), BOARD)
    two, one = ([t.tensor.data.tobytes() for t in p.tensors if t.memory == "constant"] for p in (both, high))
    assert one == two[:1] and len(two) == 2
    assert len(one[0]) == 32 * 32 // 2


def test_a_family_stores_the_upper_plane_once() -> None:
    case = next(c for c in cases(6) if "5x5x32_to32" in c.name)
    whole = in_planes(tflite.load(case.model, case.name))
    half = in_planes(whole, upper_alone=True)
    family = make_plan(dataclasses.replace(whole, members=(half,)), BOARD)
    apart = [len(make_plan(graph, BOARD).constants) for graph in (whole, half)]
    assert len(family.members) == 1
    assert len(family.constants) <= sum(apart) - 32 * 32 // 2


def test_weights_that_planes_do_not_hold_are_refused() -> None:
    graph = in_planes(tflite.load(next(cases(6)).model, "g"))
    w = graph.ops[0].inputs[1]
    tensors = list(graph.tensors)
    tensors[w] = dataclasses.replace(tensors[w], data=np.full(tensors[w].shape, 127, np.int8))
    graph = dataclasses.replace(graph, tensors=tuple(tensors))
    with pytest.raises(UserError, match="a weight of 127, planes of nibbles hold 119 at most"):
        make_plan(graph, BOARD)


def test_hostile_planes_stay_inside() -> None:
    rng = np.random.default_rng(8)
    for case, whole in list(planes(6))[::10]:
        graph = with_planes(whole)
        [op] = graph.ops
        [[step]] = list(candidates(graph, op, BOARD.core, ("generic",)))
        out = graph.tensors[step.outputs[0]]
        sizes = [graph.tensors[i].bytes for i in step.inputs[1:]]
        for less in (0, 4):
            given = [("u8", rng.bytes(n - less)) for n in sizes]
            operands = [("s8", case.inputs[0].tobytes()), *given]
            if less:
                with pytest.raises(Refused):
                    call_kernel(step, operands, ("s8", bytes(out.bytes)))
            else:
                call_kernel(step, operands, ("s8", bytes(out.bytes)))
