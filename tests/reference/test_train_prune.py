"""Channels removed through every kind of tie between layers, and accuracy after it."""
# ruff: noqa: E402

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("torch_pruning")
torch.set_num_threads(1)

from offramp.compress.dequantize import dequantize
from offramp.compress.train.module import to_module
from offramp.compress.train.prune import COSTS, parameters, prune, remove_channels
from offramp.compress.training import Training
from offramp.errors import UserError
from offramp.frontends import load_model
from offramp.ir import Graph
from offramp.ops.concatenation import Concatenation
from offramp.ops.mul import Mul
from offramp.ops.pool_2d import Pool
from offramp.passes.rewrite import macs
from offramp.reference import run_all
from offramp.resources import root
from tests.float_nets import FloatNet, digits, digits_net, trained_digits
from tests.random_nets import random_net


def joined_net() -> Graph:
    """Concatenation, pools, a constant factor a channel, and a hidden dense layer over a map."""
    net = FloatNet(8, 8, 2)
    a = net.conv(0, 12)
    b = net.op("concatenation", (net.conv(a, 8), net.depthwise(a), a), Concatenation(3))
    c = net.op("mul", (b, net.constant(32, deviation=1)), Mul())
    d = net.op("max_pool_2d", (net.conv(c, 8, 1),), Pool(2, 2, 2, 2))
    return net.graph(net.dense(net.dense(net.flat(d), 16, "relu"), 3))


def dead(graph: Graph) -> tuple[Graph, dict[str, int]]:
    """The graph with all odd hidden channels of its layers zero, in and out, and the cost of the even ones."""
    tensors, left = list(graph.tensors), {"macs": 0, "parameters": 0}
    weighted = [op for op in graph.ops if op.kind in ("conv_2d", "depthwise_conv_2d", "fully_connected")]
    for op in weighted:
        data, bias = (np.array(tensors[i].data) for i in op.inputs[1:])
        inner = graph.producers().get(op.inputs[0]) is not None
        share, positions = 1.0, np.prod(graph.tensors[op.outputs[0]].shape[1:-1])
        if op.kind == "depthwise_conv_2d":
            data[..., 1::2] = 0
            share /= 2
        else:
            if inner:
                data[..., 1::2] = 0  # channels come last in a flattened map too, and their number is even
                share /= 2
            if op is not weighted[-1]:
                data[1::2] = 0
                share /= 2
        if op is not weighted[-1]:
            bias[1::2] = 0
        left["macs"] += round(data.size * positions * share)
        left["parameters"] += round(data.size * share) + (bias.size // (1 + (op is not weighted[-1])))
        for i, value in zip(op.inputs[1:], (data, bias), strict=True):
            tensors[i] = replace(tensors[i], data=value)
    return replace(graph, tensors=tuple(tensors)), left


NETS = {"mean": digits_net(), "flat": digits_net(flat=True), "joined": joined_net()}


@pytest.mark.parametrize("of", COSTS)
@pytest.mark.parametrize("name", NETS)
def test_dead_channels_go_and_values_stay(name: str, of: str) -> None:
    graph, left = dead(NETS[name])
    before = remove_channels(graph, 1.0, of)
    share = left[of] / COSTS[of](graph)
    found = remove_channels(graph, share, of, round_to=1)
    x = np.random.default_rng(0).normal(0, 1, (5, *graph.tensors[0].shape[1:])).astype(np.float32)
    for a, b, c in zip(run_all(graph, x), run_all(found, x), run_all(before, x), strict=True):
        assert np.allclose(a, b, atol=1e-5) and np.allclose(a, c, atol=1e-5)
    assert COSTS[of](found) == left[of]


@pytest.mark.parametrize("seed", range(8))
def test_random_nets_stay_whole(seed: int) -> None:
    """What splits, slices and transposes see keeps its channels; shapes and values agree whatever goes."""
    graph = dequantize(random_net(seed))
    try:
        found = remove_channels(graph, 0.7, round_to=2)
    except UserError as error:
        assert "is the least that removing channels leaves" in error.message
        return
    x = np.random.default_rng(0).normal(0, 1, (2, *graph.tensors[0].shape[1:])).astype(np.float32)
    values = [value.detach().numpy() for value in to_module(found)(torch.from_numpy(x))]
    assert all(
        np.allclose(a, b, rtol=1e-4, atol=1e-4) for a, b in zip(run_all(found, x), values, strict=True)
    )
    assert [v.shape[1:] for v in values] == [graph.tensors[i].shape[1:] for i in graph.outputs]


QUICK = Training(epochs=3, batch=32, threads=1, rate=0.03, weight_decay=2e-4, seed=0)


@pytest.mark.parametrize("importance", ["taylor", "magnitude"])
def test_half_the_macs_of_a_digits_net(importance: str) -> None:
    x, y, test_x, test_y = digits()
    graph = trained_digits(16)
    found, _ = prune(graph, x, y, 0.5, importance=importance, rounds=2, training=QUICK)
    before, after = (float((run_all(g, test_x)[0].argmax(axis=1) == test_y).mean()) for g in (graph, found))
    sizes = [f"{macs(g)} MACs, {parameters(g)} parameters" for g in (graph, found)]
    print(
        f"digits, {importance}: {before:.4f} with {sizes[0]}; {after:.4f} with {sizes[1]}; of {len(test_y)}"
    )
    assert macs(found) <= 0.5 * macs(graph)
    assert after >= before - 0.04
    channels = [found.tensors[op.outputs[0]].shape[-1] for op in found.ops[:-2]]
    assert all(n % 4 == 0 for n in channels)


def test_channels_of_an_int8_model_go() -> None:
    folder = Path(root() / "models/fashion_mnist")
    graph = dequantize(load_model(folder / "fashion_mnist_int8.tflite"))
    found = remove_channels(graph, 0.5)
    assert macs(found) <= 0.5 * macs(graph)
    assert len(found.ops) == len(graph.ops)


def test_wrong_requests_are_named() -> None:
    graph = digits_net(4)
    with pytest.raises(UserError, match="is the least that removing channels leaves, 1% is wanted"):
        remove_channels(graph, 0.01)
    with pytest.raises(UserError, match="flops cannot be pruned"):
        remove_channels(graph, 0.5, "flops")
    with pytest.raises(UserError, match="importance random"):
        remove_channels(graph, 0.5, importance="random")
    with pytest.raises(UserError, match="a share of 1"):
        remove_channels(graph, 1.5)
    with pytest.raises(UserError, match="needs training rows"):
        remove_channels(graph, 0.5, importance="taylor")
