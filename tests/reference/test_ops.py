"""Every operator's integer reference equals TensorFlow Lite Micro bit for bit, over the oracle's grids."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from offramp.frontends import tflite
from offramp.ir import DTYPES, Graph, Tensor
from offramp.ops.verify import verify
from offramp.reference import Reference
from tests.oracle import cases

SEED = 1
LEAST_CASES = 50


@pytest.mark.parametrize("op", cases.OPS)
def test_reference_equals_oracle(op: str) -> None:
    count = 0
    for case in cases.OPS[op](SEED):
        graph = tflite.load(case.model, case.name)
        verify(graph, case.name)
        reference = Reference(graph)
        for row, expected in zip(case.rows, case.expected(), strict=True):
            found = reference.run(at_edges(graph, row))
            for tensor, value, right in zip(graph.outputs, found, expected, strict=True):
                mine = as_oracle(graph.tensors[tensor], value, right.dtype)
                assert mine.shape == right.shape and mine.dtype == right.dtype, case.name
                np.testing.assert_array_equal(mine, right, case.name)
        count += 1
    assert count >= LEAST_CASES


def at_edges(graph: Graph, row: list[NDArray]) -> list[NDArray]:
    """What a host feeds: float32 inputs quantized, for the graph starts behind QUANTIZE."""
    tensors = [graph.tensors[i] for i in graph.inputs]
    return [quantized(t, x) if x.dtype == np.float32 else x for t, x in zip(tensors, row, strict=True)]


def quantized(tensor: Tensor, x: NDArray) -> NDArray:
    q = tensor.quant
    ratio = x / np.float32(q.scale)
    rounded = np.copysign(np.floor(np.abs(ratio) + np.float32(0.5)), ratio) + q.zero_point
    info = np.iinfo(DTYPES[tensor.dtype])
    return np.clip(rounded, info.min, info.max).astype(info.dtype)


def as_oracle(tensor: Tensor, value: NDArray, dtype: np.dtype) -> NDArray:
    """Integers as they are; where the oracle answers in float32, behind DEQUANTIZE, the real values."""
    if dtype != np.float32:
        return value
    q = tensor.quant
    return ((value.astype(np.int32) - q.zero_point) * np.float64(np.float32(q.scale))).astype(np.float32)
