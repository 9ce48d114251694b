"""Binary hidden layers: the module is the float reference, the integers are the operator's, and they learn."""
# ruff: noqa: E402

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
torch.set_num_threads(1)

from offramp import ofg
from offramp.compress.dequantize import dequantize
from offramp.compress.options import QuantizeOptions
from offramp.compress.quantize import quantize
from offramp.compress.rounding import nearest
from offramp.compress.size import weight_bytes
from offramp.compress.train.binary import binarize, with_binary
from offramp.compress.train.module import to_graph, to_module
from offramp.compress.train.prune import fixed_layers, remove_channels
from offramp.compress.train.qat import to_integer_module, to_integers, train_quantized
from offramp.compress.training import BINARY_TRAINING, TUNING, Training
from offramp.errors import UserError
from offramp.ir import Graph
from offramp.ops.gemm import Window
from offramp.reference import run_all, run_rows
from tests.float_nets import FloatNet, digits, digits_net

QUICK = Training(**{**vars(BINARY_TRAINING), "epochs": 6, "batch": 32, "threads": 1})
LAYERS = ("conv_2d1", "conv_2d2", "conv_2d6")


def right(graph: Graph) -> float:
    _, _, x, y = digits()
    t = graph.tensors[graph.inputs[0]]
    rows = x if t.dtype == "f32" else nearest(x, t.quant, t.dtype)
    return float((run_all(graph, rows)[0].argmax(axis=1) == y).mean())


@pytest.fixture(scope="module")
def trained() -> Graph:
    x, y, _, _ = digits()
    return binarize(digits_net(12), LAYERS, x, y, QUICK)[0]


def small() -> Graph:
    """Windows, strides, groups and paddings, between convolutions."""
    net = FloatNet(9, 10, 3)
    a = net.conv(0, 8, activation="none")
    b = net.conv(a, 12, stride_h=2, stride_w=2, activation="none")
    c = net.weighted("conv_2d", b, (8, 3, 3, 6), Window(padding="explicit", pads=(1, 0, 2, 1)))
    d = net.conv(c, 5, 1, padding="valid", activation="relu6")
    graph = with_binary(net.graph(d), ["conv_2d1", "conv_2d2", "conv_2d3"])
    return to_graph(to_module(graph))


def test_the_module_is_the_float_reference() -> None:
    graph = small()
    module = to_module(graph)
    x = np.random.default_rng(0).normal(0, 1, (6, 9, 10, 3)).astype(np.float32)
    (expected,), (found,) = run_all(graph, x), module(torch.from_numpy(x))
    assert np.allclose(found.detach().numpy(), expected, atol=1e-5)
    again = to_graph(module)
    (same,) = run_all(again, x)
    assert np.allclose(same, expected, atol=1e-5)


def test_integers_are_the_references() -> None:
    graph = small()
    rows = np.random.default_rng(0).normal(0, 1, (40, 9, 10, 3)).astype(np.float32)
    module = to_integer_module(graph, quantize(graph, rows), QuantizeOptions())
    module.train()
    module(torch.from_numpy(rows))[0].square().mean().backward()
    generator = torch.Generator().manual_seed(1)
    for p in (p for p in module.parameters() if p.requires_grad):
        assert torch.isfinite(p.grad).all() and p.grad.abs().max() > 0
        p.data += p.data.abs().mean() * torch.randn(p.shape, generator=generator)
    found = to_integers(module)
    t = found.tensors[found.inputs[0]]
    x = nearest(rows, t.quant, t.dtype)
    (expected,), (value,) = run_all(found, x), module.integers(x)
    assert np.array_equal(value, expected) and len(np.unique(expected)) > 10
    weights = [found.tensors[op.inputs[1]].data for op in found.ops if op.kind == "binary_conv_2d"]
    assert all(w is not None and set(np.unique(w)) == {-1, 1} for w in weights)


def hidden_scale(integers: Graph) -> float:
    return integers.tensors[integers.ops[1].inputs[0]].quant.scale


def test_the_integer_graph_computes_what_the_float_one_does() -> None:
    """With equal signs the outputs differ by half a step, and half a count in the bias."""
    net = FloatNet(6, 6, 4)
    graph = net.graph(net.conv(net.conv(0, 8, activation="none"), 8, activation="none"))
    graph = to_graph(to_module(with_binary(graph, ["conv_2d1"])))
    rows = np.random.default_rng(0).normal(0, 1, (60, 6, 6, 4)).astype(np.float32)
    integers = quantize(graph, rows, QuantizeOptions(method="minmax", bias_correction=False))
    q = [integers.tensors[i].quant for i in (integers.inputs[0], integers.outputs[0])]
    (values,) = run_rows(integers, nearest(rows, q[0], "s8"), every=True)
    hidden, out = (values[integers.ops[i].outputs[0]] for i in (0, 1))
    signs = np.where(hidden >= integers.tensors[integers.ops[1].inputs[0]].quant.zero_point, 1.0, -1.0)
    alone = Graph(**{**vars(graph), "ops": graph.ops[1:], "inputs": graph.ops[1].inputs[:1]})
    (expected,) = run_all(alone, signs.astype(np.float32))
    unit = np.array(integers.tensors[integers.ops[1].inputs[1]].quant.scales) * hidden_scale(integers)
    error = np.abs((out.astype(float) - q[1].zero_point) * q[1].scale - expected)
    assert (error <= 0.51 * q[1].scale + 0.5 * unit)[(out > -128) & (out < 127)].all()
    assert (out == -128).mean() + (out == 127).mean() < 0.02
    (again,) = run_all(dequantize(integers), rows)
    assert again.shape == out.shape
    assert ofg.dump(quantize(dequantize(integers), rows)) != b""


def test_digits_with_binary_layers(trained: Graph) -> None:
    x, y, _, _ = digits()
    integers = quantize(trained, x[:200])
    tuning = Training(**{**vars(TUNING), "epochs": 2, "batch": 32, "threads": 1})
    tuned, _, _ = train_quantized(trained, integers, QuantizeOptions(), x, y, tuning)
    dense = quantize(digits_net(12), x[:200])
    print(
        f"digits, {len(LAYERS)} binary layers: float {right(trained):.4f}, integers {right(integers):.4f}, "
        f"trained {right(tuned):.4f}; {weight_bytes(tuned)} bytes of weights, int8 {weight_bytes(dense)}"
    )
    assert right(trained) > 0.85 and right(tuned) > 0.85
    assert weight_bytes(tuned) < 0.5 * weight_bytes(dense)


def test_channels_of_binary_layers_stay() -> None:
    graph = with_binary(digits_net(16), ["conv_2d1"])
    assert {graph.ops[i].name for i in fixed_layers(graph)} >= {"conv_2d0", "conv_2d1"}
    found = remove_channels(graph, 0.9)
    channels = [found.tensors[op.outputs[0]].shape[-1] for op in found.ops]
    assert channels[:5] == [16] * 5 and min(channels[5:7]) < 32
    assert run_all(found, digits()[0][:2])[0].shape == (2, 10)
    with pytest.raises(UserError, match="100% of the macs"):
        remove_channels(small(), 0.9, round_to=1)


def test_what_cannot_be_binary_is_named() -> None:
    graph = digits_net(4)
    with pytest.raises(UserError, match="no conv_2d conv_9"):
        with_binary(graph, ["conv_9"])
    with pytest.raises(UserError, match="conv_2d0 reads the input of net"):
        with_binary(graph, ["conv_2d0"])
