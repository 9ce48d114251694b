"""The binary convolution: its reference against TensorFlow Lite Micro on signs, its kernel against the reference."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from offramp.frontends import tflite
from offramp.ir import Op, Quantization, Tensor
from offramp.ops import OPS, ShapeError, binary_conv_2d
from offramp.ops.conv_2d_tile import PARAMS
from offramp.ops.gemm import Window
from offramp.reference import Reference
from tests.kernel_call import KernelRunner, Refused, call_kernel
from tests.oracle.binary import binary, binary_graph
from tests.oracle.case import Grid
from tests.oracle.weighted import conv_2d


def signs(rng: np.random.Generator, values: np.ndarray) -> np.ndarray:
    return np.where(values > 0, 1, -1)


def test_reference_on_signs_is_a_convolution() -> None:
    """Where the input is 1 and -1 and its zero point 0, TensorFlow Lite Micro's CONV_2D says the same."""
    seen = 0
    for case in conv_2d(4, lambda op, seed: SignGrid(op, seed, thin=signs)):
        graph = tflite.load(case.model, case.name)
        [op] = graph.ops
        assert graph.tensors[op.inputs[0]].quant.zero_point == 0
        ours = graph.with_ops((dataclasses.replace(op, kind="binary_conv_2d"),))
        [found] = Reference(ours).run(case.inputs)
        np.testing.assert_array_equal(found, case.expected()[0][0], case.name)
        seen += len(np.unique(found)) > 1
    assert seen > 30


class SignGrid(Grid):
    """Inputs of 1 and -1 with zero point 0."""

    def zero_point(self, dtype: str = "int8") -> int:
        return 0

    def data(self, tensor: object, near: int | None = None) -> np.ndarray:
        return np.asarray(self.rng.choice((-1, 1), tensor.shape), np.int8)  # type: ignore[attr-defined]


def test_kernel_equals_the_reference() -> None:
    varied = 0
    for case in binary(1):
        right = Reference(case.graph).run(case.inputs)[0]
        np.testing.assert_array_equal(KernelRunner(case.graph).run(case.inputs)[0], right, case.name)
        varied += len(np.unique(right)) > 2
    assert varied > 20


def test_hostile_blocks_stay_inside() -> None:
    rng = np.random.default_rng(3)
    ran = refused = 0
    for case in binary(2):
        tensors, [op] = case.graph.tensors, case.graph.ops
        [step] = OPS[op.kind].steps(op, list(tensors[:3]), [tensors[3]]) or []
        for i in range(8):
            params = bytearray(step.params)
            start = PARAMS.size if i % 2 else 0
            for at in rng.integers(start, len(params), 3):
                params[at] = int(rng.choice((0, 1, 127, 128, 255, int(rng.integers(256)))))
            try:
                call_kernel(
                    dataclasses.replace(step, params=bytes(params)),
                    [("s8", case.inputs[0].tobytes())],
                    ("s8", bytes(tensors[3].bytes)),
                )
                ran += 1
            except Refused:
                refused += 1
    assert ran > 100 and refused > 50


def test_weights_are_signs() -> None:
    x = Tensor("input", (1, 4, 4, 8), "s8", Quantization((0.1,), (0,)))
    with pytest.raises(ShapeError, match="weights holds other values"):
        binary_graph("g", Window(), x, np.full((2, 1, 1, 8), 2), np.zeros(2), Quantization((0.1,), (0,)))


def test_weights_take_a_seventh_of_int8s_block() -> None:
    """Of a hidden layer: bits against the convolution's block."""
    rng = np.random.default_rng(1)
    for out_c, k, in_c in ((64, 3, 64), (32, 3, 32), (64, 1, 64), (128, 1, 128)):
        x = Tensor("input", (1, 6, 6, in_c), "s8", Quantization((0.1,), (0,)))
        weights = rng.choice((-1, 1), (out_c, k, k, in_c))
        graph = binary_graph(
            "g", Window(padding="same"), x, weights, np.zeros(out_c), Quantization((1.0,), (0,))
        )
        [op] = graph.ops
        tensors = graph.tensors
        [bits] = OPS[op.kind].steps(op, list(tensors[:3]), [tensors[3]]) or []
        [dense] = (
            OPS["conv_2d"].steps(
                Op("conv_2d", "", op.inputs, op.outputs, op.attributes), list(tensors[:3]), [tensors[3]]
            )
            or []
        )
        head = PARAMS.size + 12 * out_c
        assert bits.kernel is binary_conv_2d.KERNEL
        assert 7 * (len(bits.params) - head) <= len(dense.params)
