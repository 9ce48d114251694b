"""Int16 activations, int4 weights and dynamic layers: references equal to the oracle, kernels to the references."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from offramp.frontends import tflite
from offramp.ir import Graph, Op, Quantization, Tensor
from offramp.ops import OPS
from offramp.ops.conv_2d_s16 import FITTING, INT64
from offramp.ops.fully_connected import FullyConnected
from offramp.ops.verify import verify
from offramp.reference import Reference
from tests.kernel_call import KernelRunner
from tests.oracle import int16
from tests.reference.test_ops import LEAST_CASES, SEED, as_oracle, at_edges
from tests.reference.test_ops_c import loaded, stay_inside

SHARE = 5  # one case in so many by default, all in a soak
each_op = pytest.mark.parametrize("op", int16.OPS)


def check_reference(op: str, step: int) -> None:
    for case in list(int16.OPS[op](SEED))[::step]:
        graph = tflite.load(case.model, case.name)
        verify(graph, case.name)
        reference = Reference(graph)
        for row, expected in zip(case.rows, case.expected(), strict=True):
            found = reference.run(at_edges(graph, row))
            for tensor, value, right in zip(graph.outputs, found, expected, strict=True):
                mine = as_oracle(graph.tensors[tensor], value, right.dtype)
                assert mine.shape == right.shape and mine.dtype == right.dtype, case.name
                np.testing.assert_array_equal(mine, right, case.name)


@each_op
def test_reference_equals_oracle(op: str) -> None:
    check_reference(op, SHARE)


@pytest.mark.soak
@each_op
def test_reference_equals_oracle_in_full(op: str) -> None:
    check_reference(op, 1)


def check_kernels(op: str, in_place: bool, step: int) -> None:
    for case in list(int16.OPS[op](SEED))[::step]:
        graph = tflite.load(case.model, case.name)
        reference, kernels = Reference(graph), KernelRunner(graph)
        for row in case.rows:
            inputs = at_edges(graph, row)
            for right, found in zip(reference.run(inputs), kernels.run(inputs, in_place), strict=True):
                assert found.dtype == right.dtype
                np.testing.assert_array_equal(found, right, case.name)


in_place_or_not = pytest.mark.parametrize("in_place", [False, True])


@in_place_or_not
@each_op
def test_kernels_equal_reference(op: str, in_place: bool) -> None:
    check_kernels(op, in_place, SHARE)


@pytest.mark.soak
@in_place_or_not
@each_op
def test_kernels_equal_reference_in_full(op: str, in_place: bool) -> None:
    check_kernels(op, in_place, 1)


@each_op
def test_hostile_parameters_stay_inside(op: str) -> None:
    stay_inside(op, loaded(itertools.islice(int16.OPS[op](SEED), 0, None, SHARE)))


@pytest.mark.soak
@each_op
def test_hostile_parameters_stay_inside_in_full(op: str) -> None:
    stay_inside(op, loaded(int16.OPS[op](SEED)))


# Taps of -128, bias, kind of sums: |sum| at most 2^31 - 1 or 2^31, over one block of int32 and over several.
EDGES = (
    (508, (1 << 31) - 1 - (508 << 22), FITTING),
    (508, (1 << 31) - (508 << 22), INT64),
    (508, -((1 << 31) - 1 - (508 << 22)), FITTING),
    (1024, 0, INT64),
    (4096, 1 << 44, INT64),
    (65532, -(1 << 44), INT64),
)


@pytest.mark.parametrize(("taps", "bias", "sums"), EDGES)
@pytest.mark.parametrize("value", [-32768, 32767])
def test_sums_at_the_edge_of_int32(taps: int, bias: int, sums: int, value: int) -> None:
    weights = np.full((2, taps), -128, np.int8)
    unit = Quantization((1.0,), (0,))
    tensors = (
        Tensor("x", (1, taps), "s16", unit),
        Tensor("w", weights.shape, "s8", unit, weights),
        Tensor("b", (2,), "s64", None, np.array([bias, -bias], np.int64)),
        Tensor("y", (1, 2), "s16", Quantization((2.0 ** (30 if abs(bias) > 1 << 40 else 20),), (0,))),
    )
    op = Op("fully_connected", "edge", (0, 1, 2), (3,), FullyConnected())
    graph = Graph("edge", tensors, (op,), (0,), (3,))
    [step] = OPS[op.kind].steps(op, list(tensors[:3]), [tensors[3]]) or []
    assert step.kernel.params.unpack(step.params)["sums"] == sums
    x = np.full((1, taps), value, np.int16)
    exact = -128 * value * taps + np.array([[bias, -bias]])
    right = np.floor(exact / tensors[3].quant.scale + 0.5)
    np.testing.assert_array_equal(KernelRunner(graph).run([x])[0], right)
    np.testing.assert_array_equal(Reference(graph).run([x])[0], right)


def test_grids_are_large_enough() -> None:
    assert {op: n for op, grid in int16.OPS.items() if (n := len(list(grid(SEED)))) < LEAST_CASES} == {}
