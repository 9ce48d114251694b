"""Graphs as modules and back: values as the float reference's, weights to the bit."""
# ruff: noqa: E402

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
torch.set_num_threads(1)

from offramp import ofg
from offramp.compress.dequantize import dequantize
from offramp.compress.train.module import initialize, to_graph, to_module
from offramp.errors import UserError
from offramp.frontends import load_model
from offramp.ir import Graph, Op, Quantization, Tensor
from offramp.ops.add import Add
from offramp.ops.gemm import Window
from offramp.ops.mean import Mean
from offramp.ops.op import NoAttributes
from offramp.ops.pool_2d import Pool
from offramp.ops.resize import Resize
from offramp.ops.softmax import Softmax
from offramp.ops.table import Table
from offramp.ops.transpose import Transpose
from offramp.reference import run_all
from offramp.resources import root
from tests.float_nets import FloatNet, digits_net
from tests.random_nets import Net, random_net

WAYS = [{}, {"with_batch_norm": True}, {"dense_as_convolution": True}]


def assert_equal_values(graph: Graph, module: Any, rows: int = 3) -> None:
    shape = graph.tensors[graph.inputs[0]].shape[1:]
    x = np.random.default_rng(0).normal(0, 1, (rows, *shape)).astype(np.float32)
    found = [value.detach().numpy() for value in module.eval()(torch.from_numpy(x))]
    for expected, value in zip(run_all(graph, x), found, strict=True):
        assert np.allclose(value, expected, rtol=1e-5, atol=1e-5 * max(1, float(abs(expected).max())))


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("seed", range(12))
def test_random_nets(seed: int, way: dict[str, bool]) -> None:
    graph = dequantize(random_net(seed))
    module = to_module(graph, **way)
    assert_equal_values(graph, module)
    if not way.get("with_batch_norm"):
        assert ofg.dump(to_graph(module)) == ofg.dump(graph)


WINDOWS = [
    {"stride_h": 2, "stride_w": 2},
    {"stride_h": 2, "dilation_w": 2, "padding": "valid"},
    {"padding": "explicit", "pads": (1, 0, 2, 3), "stride_w": 3},
    {"dilation_h": 3, "dilation_w": 2},
]


@pytest.mark.parametrize("window", WINDOWS, ids=str)
@pytest.mark.parametrize("activation", ["none", "relu", "relu6", "relu_n1_to_1"])
def test_windows(window: dict[str, Any], activation: str) -> None:
    net = FloatNet(9, 10, 4)
    a = net.conv(0, 6, activation=activation, **window)
    b = net.depthwise(0, activation=activation, **window)
    grouped = net.weighted(
        "conv_2d", 0, (8, 3, 3, 2), Window(activation=activation, **{"padding": "same"} | window)
    )
    many = net.weighted("depthwise_conv_2d", 0, (1, 3, 3, 8), Window(activation=activation, **window))
    graph = net.graph(a, b, grouped, many)
    assert_equal_values(graph, to_module(graph))
    assert ofg.dump(to_graph(to_module(graph))) == ofg.dump(graph)


OPERATORS = [
    ("average_pool_2d", Pool(3, 2, 2, 1, "same", "relu")),
    ("average_pool_2d", Pool(2, 3, 2, 2)),
    ("max_pool_2d", Pool(3, 2, 2, 2, "same")),
    ("max_pool_2d", Pool(3, 2, 1, 2, "explicit", "none", (1, 0, 2, 1))),
    ("average_pool_2d", Pool(3, 3, 2, 1, "explicit", "none", (0, 1, 1, 2))),
    ("mean", Mean((1,))),
    ("mean", Mean((2, 3), keep_dims=True)),
    ("mean", Mean((3,))),
    ("softmax", Softmax(0.5)),
    ("transpose", Transpose((0, 3, 1, 2))),
    ("resize_nearest_neighbor", Resize(5, 13, half_pixel_centers=True)),
    ("resize_bilinear", Resize(11, 3)),
    ("resize_bilinear", Resize(4, 14, align_corners=True)),
    ("logistic", NoAttributes()),
    ("tanh", NoAttributes()),
    ("hard_swish", NoAttributes()),
]


@pytest.mark.parametrize(("kind", "attributes"), OPERATORS, ids=str)
def test_operators(kind: str, attributes: Any) -> None:
    net = FloatNet(7, 9, 5)
    graph = net.graph(net.op(kind, (0,), attributes))
    assert_equal_values(graph, to_module(graph))


@pytest.mark.parametrize("kind", ["add", "sub", "mul"])
@pytest.mark.parametrize("shape", [(), (5,), (1, 1, 1, 5), (1, 7, 9, 1)], ids=str)
@pytest.mark.parametrize("first", [False, True])
def test_constant_operands(kind: str, shape: tuple[int, ...], first: bool) -> None:
    net = FloatNet(7, 9, 5)
    operands = (net.constant(*shape), 0) if first else (0, net.constant(*shape))
    graph = net.graph(net.op(kind, operands, Add()))
    assert_equal_values(graph, to_module(graph))
    assert ofg.dump(to_graph(to_module(graph))) == ofg.dump(graph)


def test_shared_weights_become_one_a_layer() -> None:
    net = FloatNet(6, 6, 4)
    a = net.conv(0, 4)
    net.ops.append(replace(net.ops[-1], name="again", inputs=(a, *net.ops[-1].inputs[1:]), outputs=(a + 1,)))
    net.tensors.append(replace(net.tensors[a], name="last"))
    graph = net.graph(a + 1)
    module = to_module(graph)
    assert_equal_values(graph, module)
    with torch.no_grad():
        module.layers["1"].core.weight.add_(0.1)
    assert_equal_values(to_graph(module), module)


def test_batch_normalization_is_folded() -> None:
    module = to_module(digits_net(), with_batch_norm=True)
    for _ in range(5):
        module(torch.rand(16, 8, 8, 1) * 3)
    assert_equal_values(to_graph(module), module)


@pytest.mark.parametrize("seed", [3, 4])
def test_initialization_repeats(seed: int) -> None:
    graph = digits_net()
    one, two, other = (ofg.dump(initialize(graph, s)) for s in (seed, seed, seed + 1))
    assert one == two != other


def test_an_int8_model_dequantized_agrees_with_it() -> None:
    folder = Path(root() / "models/fashion_mnist")
    graph, rows = (
        load_model(folder / "fashion_mnist_int8.tflite"),
        np.load(folder / "test_images.npz")["x"][:100],
    )
    real = dequantize(graph)
    q = graph.tensors[graph.inputs[0]].quant
    (expected,) = run_all(graph, rows)
    x = torch.from_numpy(np.float32(q.scale * (rows.astype(np.float64) - q.zero_point)))
    found = to_module(real)(x)[0].detach().numpy()
    assert (found.argmax(1) == expected.argmax(1)).mean() >= 0.98
    assert np.abs(found - (expected.astype(float) + 128) / 256).mean() < 0.01


def test_what_cannot_be_trained_is_named() -> None:
    q = Quantization((0.1,), (0,))
    integers = Graph("m", (Tensor("a", (1, 4), "s8", q), Tensor("b", (1, 4), "s8", q)), (), (0,), (1,))
    relu = Op("relu", "rectify", (0,), (1,), NoAttributes())
    with pytest.raises(UserError, match=r"rectify.*b is s8"):
        to_module(integers.with_ops((relu,)))
    net = FloatNet(4, 4, 2)
    net.tensors[0] = Tensor("input", (3, 4, 4, 2), "f32")
    with pytest.raises(UserError, match="no batch"):
        to_module(net.graph(net.op("relu", (0,), NoAttributes())))
    table = Net()
    x = table.input(1, 4)
    with pytest.raises(UserError, match="table"):
        dequantize(table.graph([x], [table.op("table", (x,), Table(tuple(range(256))))]))
