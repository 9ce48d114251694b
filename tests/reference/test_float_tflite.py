"""Float .tflite files: hybrid and half-precision weights, batch normalization as products and sums, open batch."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from offramp import ofg
from offramp.errors import UserError
from offramp.frontends import lite, tflite
from offramp.ir import Graph
from offramp.reference import run_all
from tests import three_forms
from tests.oracle.case import NONE, RELU, SAME, constant
from tests.oracle.tflite_writer import Operator, Subgraph, Tensor, write

R = np.random.default_rng(6)
CONV = {"StrideH": 1, "StrideW": 1, "DilationHFactor": 1, "DilationWFactor": 1, "Padding": SAME}
DENSE = {"FusedActivationFunction": NONE, "WeightsFormat": 0}


def real(*shape: int) -> np.ndarray:
    return R.normal(size=shape).astype(np.float32)


def f32(name: str, *shape: int) -> Tensor:
    return Tensor(name, shape, "float32")


def held(name: str, data: np.ndarray) -> Tensor:
    return constant(name, data, str(data.dtype))


def model(tensors: list[Tensor], *operators: Operator) -> bytes:
    return write(Subgraph(tensors, operators, ["x"], ["y"]))


def conv(reads: str, result: str, activation: int = NONE) -> Operator:
    return Operator(
        "CONV_2D", reads.split(), [result], "Conv2DOptions", {**CONV, "FusedActivationFunction": activation}
    )


def pair(kind: str, reads: str, result: str, activation: int = NONE) -> Operator:
    options = f"{kind.capitalize()}Options"
    return Operator(kind, reads.split(), [result], options, {"FusedActivationFunction": activation})


def agrees(data: bytes, graph: Graph, *shape: int) -> None:
    x = real(3, *shape)
    wanted = lite.run(data, x)[0]
    assert np.abs(run_all(graph, x)[0] - wanted).max() <= 1e-5 * max(1, np.abs(wanted).max())


@pytest.mark.parametrize("behind", [True, False])
def test_batch_norm_is_folded(behind: bool) -> None:
    """MUL and ADD behind a convolution go into it; before one they stay, as one layer that has a scale a channel."""
    tensors = [f32("x", 1, 5, 6, 4), held("w", real(3, 3, 3, 4)), held("b", real(3)), f32("y", 1, 5, 6, 3)]
    n = 3 if behind else 4
    middle = [f32("m", 1, 5, 6, n), f32("a", 1, 5, 6, n), held("scale", real(n)), held("shift", real(n))]
    steps = [pair("MUL", "x scale", "m"), pair("ADD", "shift m", "a", RELU), conv("a w b", "y")]
    if behind:
        middle.append(f32("c", 1, 5, 6, 3))
        steps = [conv("x w b", "c"), pair("MUL", "c scale", "m"), pair("ADD", "shift m", "y", RELU)]
    data = model([*tensors, *middle], *steps)
    graph = tflite.load(data, "m.tflite")
    assert [op.kind for op in graph.ops] == ["conv_2d"] if behind else ["depthwise_conv_2d", "conv_2d"]
    assert graph.ops[0].attributes.activation == "relu"
    agrees(data, graph, 5, 6, 4)


@pytest.mark.parametrize("scales", [1, 7])
def test_hybrid_weights_become_real(scales: int) -> None:
    whole = R.integers(-127, 128, (7, 12)).astype(np.int8)
    scale = np.abs(real(scales)) / 50 + 1e-3
    weights = Tensor("w", (7, 12), "int8", scale if scales > 1 else float(scale[0]), data=whole)
    operator = Operator("FULLY_CONNECTED", ["x", "w", None], ["y"], "FullyConnectedOptions", DENSE)
    graph = tflite.load(model([f32("x", 1, 12), weights, f32("y", 1, 7)], operator), "m.tflite")
    found = graph.tensors[graph.ops[0].inputs[1]]
    assert found.dtype == "f32" and found.quantization is None
    np.testing.assert_array_equal(
        found.data, (whole * scale.astype(np.float64).reshape(-1, 1)).astype(np.float32)
    )
    assert graph.metadata["dequantized"].startswith("1 ")


@pytest.mark.parametrize("kind", ["float16", "int8"])
def test_dequantized_constants(kind: str) -> None:
    weights = real(7, 12).astype(np.float16)
    stored = Tensor("s", (7, 12), "float16", data=weights)
    if kind == "int8":
        stored = Tensor("s", (7, 12), "int8", 0.5, 3, data=R.integers(-127, 128, (7, 12)).astype(np.int8))
    wanted = weights.astype(np.float32) if kind == "float16" else (stored.data.astype(np.float32) - 3) / 2  # type: ignore[union-attr]
    steps = [
        Operator("DEQUANTIZE", ["s"], ["w"]),
        Operator("FULLY_CONNECTED", ["x", "w", None], ["y"], "FullyConnectedOptions", DENSE),
    ]
    data = model([f32("x", 1, 12), stored, f32("w", 7, 12), f32("y", 1, 7)], *steps)
    graph = tflite.load(data, "m.tflite")
    np.testing.assert_array_equal(graph.tensors[graph.ops[0].inputs[1]].data, wanted)
    agrees(data, graph, 12)


def test_padding_with_a_fraction_is_refused() -> None:
    pads = held("p", np.array([[0, 0], [1, 1]], np.int32))
    tensors = [f32("x", 1, 4), pads, held("v", np.float32([0.5])), f32("y", 1, 6)]
    with pytest.raises(UserError, match="pads with"):
        tflite.load(model(tensors, Operator("PADV2", ["x", "p", "v"], ["y"])), "m.tflite")


def test_canonical_is_settled() -> None:
    """A canonical graph stays as it is, and its file gives it again."""
    from offramp.passes.canonical import canonical

    graph = tflite.load(three_forms.as_tflite(three_forms.network()), "m.tflite")
    assert ofg.dump(canonical(graph)) == ofg.dump(graph)
    assert ofg.dump(ofg.load(ofg.dump(graph), "m.ofg")) == ofg.dump(graph)


def test_names_do_not_matter() -> None:
    """Other names, and operands the other way round, give the same graph."""

    def residual(names: dict[str, str], swap: bool) -> Any:
        tensors = [f32("x", 1, 5, 6, 4), *TENSORS, f32("c", 1, 5, 6, 4), f32("y", 1, 5, 6, 4)]
        renamed = [replace(t, name=names.get(t.name, t.name)) for t in tensors]
        reads = ["x", names.get("c", "c")]
        ops = [conv("x w b", reads[1]), pair("ADD", " ".join(reads[::-1] if swap else reads), "y")]
        return replace(tflite.load(model(renamed, *ops), "m.tflite"), metadata={})

    first, second = residual({}, False), residual({"c": "other"}, True)
    assert ofg.dump(first) == ofg.dump(second)


TENSORS = [held("w", real(4, 3, 3, 4)), held("b", real(4))]
