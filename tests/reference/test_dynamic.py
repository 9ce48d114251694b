"""The dynamic layer keeps its error bound against exact arithmetic, and its kernel equals the reference."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from offramp.ir import Graph, Quantization, Tensor
from offramp.ops import OPS, ShapeError
from offramp.ops.fixed_point import activation_range
from offramp.ops.verify import verify
from offramp.reference import Reference
from tests.dynamic_layers import layers
from tests.kernel_call import KernelRunner
from tests.reference.test_ops_c import stay_inside

SEED = 1
CASES = list(layers(SEED))


def exact(graph: Graph, x: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """What real numbers give, in steps of the output before its clamp, and the bound that the operator states."""
    source, weights, *bias, out = graph.tensors
    assert weights.data is not None
    rows, w = x.reshape(-1, weights.shape[1]).astype(float), weights.data.astype(float)
    unit = source.quant.scale * np.array(weights.quant.scales) / out.quant.scale
    added = bias[0].data if bias else 0
    y = (rows @ w.T + added) * unit
    most = np.maximum(np.abs(rows).max(axis=1, keepdims=True), 1)
    bound = unit * most / 254 * (1 + 2**-7) * np.abs(w).sum(axis=1) + np.abs(y) * 2**-15 + 0.5
    return y, bound


def test_error_bound() -> None:
    far = 0
    for graph, x in CASES:
        verify(graph, graph.name)
        y, bound = exact(graph, x)
        out = graph.tensors[-1]
        low, high = activation_range(graph.ops[0].attributes.activation, out.quant.scale, 0, "s16")
        found = Reference(graph).run([x])[0].reshape(y.shape)
        off = np.abs(found - np.clip(y, low, high))
        assert (off <= bound + 1e-6 * np.abs(y)).all(), graph.name
        far += bool((off > 0.1 * bound).any())
    assert far > len(CASES) // 4  # the bound is near enough to say something


@pytest.mark.parametrize("most", [30, 300, 3000, 30000])
def test_quiet_rows_keep_their_precision(most: int) -> None:
    """The error is a share of the row's own range, whatever the input's scale was made for."""
    random = np.random.default_rng(most)
    plain = [g for g, _ in CASES if g.ops[0].attributes.activation == "none"]
    graph = next(g for g in plain if g.tensors[0].shape == (3, 64) and g.tensors[1].shape == (32, 64))
    source = graph.tensors[0].quant
    fine = dataclasses.replace(
        graph.tensors[-1], quantization=Quantization((source.scale * most / 800,), (0,))
    )
    graph = dataclasses.replace(graph, tensors=(*graph.tensors[:-1], fine))
    x = random.integers(-most, most + 1, (3, 64)).astype(np.int16)
    y, _ = exact(graph, x)
    found = Reference(graph).run([x])[0]
    inside = np.abs(y) < 32000
    assert inside.sum() > inside.size // 3
    error = np.abs(found - np.clip(y, -32768, 32767))[inside]
    assert error.mean() < 0.01 * np.abs(y[inside]).mean()


def test_kernel_equals_reference() -> None:
    for graph, x in CASES:
        np.testing.assert_array_equal(
            KernelRunner(graph).run([x])[0], Reference(graph).run([x])[0], graph.name
        )


def test_hostile_parameters_stay_inside() -> None:
    stay_inside("dynamic_fully_connected", [graph for graph, _ in CASES[::3]])


def test_int8_is_refused() -> None:
    graph, _ = CASES[0]
    x = dataclasses.replace(graph.tensors[0], dtype="s8")
    with pytest.raises(ShapeError, match="s16 is needed: fully_connected serves s8"):
        OPS["dynamic_fully_connected"].shapes(graph.ops[0].attributes, [x, graph.tensors[1]])


def test_a_bias_out_of_range_is_refused() -> None:
    graph, x = next((g, x) for g, x in CASES if g.tensors[2].dtype == "s64")
    bias = graph.tensors[2]
    large = Tensor(bias.name, bias.shape, "s64", None, np.full(bias.shape, 1 << 40, np.int64))
    with pytest.raises(ShapeError, match=r"at most 2\^39"):
        Reference(dataclasses.replace(graph, tensors=(*graph.tensors[:2], large, graph.tensors[-1]))).run([x])
