"""Quantization-aware training: its integers are the reference's and the blob's, and it mends what int4 loses."""
# ruff: noqa: E402

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
torch.set_num_threads(1)

from offramp import ofg
from offramp.compress.dequantize import dequantize
from offramp.compress.options import QuantizeOptions
from offramp.compress.quantize import quantize
from offramp.compress.rounding import nearest
from offramp.compress.train.functions import channels_first, channels_last
from offramp.compress.train.grid import grid_of
from offramp.compress.train.module import initialize, to_graph, to_module
from offramp.compress.train.qat import to_integer_module, to_integers, train_quantized
from offramp.compress.training import TUNING, Training
from offramp.compress.weights import quantize_rows
from offramp.errors import UserError
from offramp.ir import Graph
from offramp.ops.op import NoAttributes
from offramp.ops.pool_2d import Pool
from offramp.ops.resize import Resize
from offramp.ops.softmax import Softmax
from offramp.reference import run_all, run_rows
from tests.float_nets import FloatNet, digits, trained_digits
from tests.pipeline import differing, outputs_on, pack_and_build, shaped
from tests.random_nets import random_net

QUICK = Training(epochs=8, batch=32, threads=1)
OPTIONS = {
    "int8": QuantizeOptions(),
    "int4": QuantizeOptions(bits=4, per_group=False),
    "groups": QuantizeOptions(bits=4, per_group=True),
    "one scale": QuantizeOptions(per_channel_dense=False),
    "int16": QuantizeOptions(bits=16),
}


def rows_of(graph: Graph, n: int) -> Any:
    """Rows in real numbers; of an integer graph, its integers for them, some beyond what it was calibrated with."""
    t = graph.tensors[graph.inputs[0]]
    rows = np.random.default_rng(n).normal(0, 2, (n, *t.shape[1:])).astype(np.float32)
    return rows if t.dtype == "f32" else nearest(1.5 * rows, t.quant, t.dtype)


def shaken(module: Any) -> None:
    """A pass backward, every gradient finite; then the weights as after some training."""
    module.train()
    x = torch.from_numpy(rows_of(module.real.graph, 6))
    sum(value.square().mean() for value in module(x)).backward()
    generator = torch.Generator().manual_seed(1)
    for p in (p for p in module.parameters() if p.requires_grad):
        assert p.grad is not None and torch.isfinite(p.grad).all()
        p.data += 0.02 * p.data.abs().mean() * torch.randn(p.shape, generator=generator)


def assert_equal_integers(module: Any, rows: int = 20) -> set[int]:
    """Every activation's; returns the values that the last one takes."""
    graph = to_integers(module)
    x = rows_of(graph, rows)
    module.eval()
    with torch.no_grad():
        found = module.values(channels_first(torch.from_numpy(x.astype(np.float32))))
    (expected,) = run_rows(graph, x, every=True)
    assert expected.keys() == found.keys()
    for i, value in expected.items():
        assert np.array_equal(channels_last(found[i]).numpy(), value), graph.tensors[i].name
    (outputs,) = module.integers(x)[-1:]
    assert np.array_equal(outputs, expected[graph.outputs[-1]])
    return set(outputs.ravel().tolist())


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("seed", range(4))
def test_random_nets_give_the_references_integers(seed: int, options: str) -> None:
    real = initialize(dequantize(random_net(seed)), seed)
    integers = quantize(real, rows_of(real, 20), OPTIONS[options])
    module = to_integer_module(real, integers, OPTIONS[options])
    assert ofg.dump(to_integers(module)) == ofg.dump(integers)
    assert_equal_integers(module)
    shaken(module)
    assert len(assert_equal_integers(module)) > 20


POINTWISE = ("relu", "relu6", "hard_swish", "logistic", "tanh")


@pytest.mark.parametrize("options", ["int8", "int16"])
def test_operators_give_the_references_integers(options: str) -> None:
    net = FloatNet(7, 8, 3)
    a = net.conv(0, 6, activation="none")
    outputs = [net.op(kind, (a,), NoAttributes()) for kind in POINTWISE]
    outputs += [net.op("average_pool_2d", (a,), Pool(3, 2, 2, 1, "same", "relu"))]
    outputs += [net.op("max_pool_2d", (a,), Pool(3, 3, 2, 2, "same", "relu6"))]
    outputs += [net.op("average_pool_2d", (a,), Pool(3, 3, 2, 1, "explicit", "none", (0, 1, 1, 2)))]
    outputs += [net.op("softmax", (a,), Softmax()), net.op("resize_bilinear", (a,), Resize(5, 11))]
    outputs += [net.op("mul", (a, outputs[3]), net.ops[0].attributes)]
    real = net.graph(*outputs)
    module = to_integer_module(real, quantize(real, rows_of(real, 20), OPTIONS[options]), OPTIONS[options])
    shaken(module)
    assert_equal_integers(module)


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("per_group", [False, True])
def test_the_grid_is_what_quantization_gives(bits: int, per_group: bool) -> None:
    rows = np.random.default_rng(0).standard_t(4, (6, 150))
    expected, scales = quantize_rows(rows, bits, np.zeros(6), per_group)
    grid = grid_of(rows, bits, np.zeros(6), per_group, False)
    factors = 1 if grid.factors is None else grid.factors
    found = factors * np.clip(np.rint(rows / grid.scales[:, None] / factors), grid.low, grid.high)
    assert np.array_equal(scales, grid.scales) and np.array_equal(found, expected)


def test_sums_beyond_float32_stay_exact() -> None:
    net = FloatNet(1, 1, 9000)
    real = net.graph(net.dense(0, 3))
    module = to_integer_module(real, quantize(real, rows_of(real, 40)), QuantizeOptions())
    layer = module.layers[0]
    assert layer.limit(layer.integers(layer.grid())) > 1 << 24
    shaken(module)
    assert_equal_integers(module, 60)


@pytest.fixture(scope="module")
def trained() -> Graph:
    return trained_digits(8, flat=True)


def right(graph: Graph, x: Any, y: Any) -> float:
    t = graph.tensors[graph.inputs[0]]
    rows = x if t.dtype == "f32" else nearest(x, t.quant, t.dtype)
    return float((run_all(graph, rows)[0].argmax(axis=1) == y).mean())


@pytest.fixture(scope="module")
def int4(trained: Graph) -> tuple[Graph, Graph]:
    """With weights disturbed, quantized to int4 without and with training."""
    x, y, _, _ = digits()
    module, generator, options = to_module(trained), torch.Generator().manual_seed(1), OPTIONS["int4"]
    with torch.no_grad():
        for _, layer in module.weighted():
            weight = layer.core.weight
            weight += 0.6 * weight.std() * torch.randn(weight.shape, generator=generator)
    disturbed = to_graph(module)
    plain = quantize(disturbed, x[:300], options)
    return plain, train_quantized(disturbed, plain, options, x, y, QUICK_TUNING)[0]


QUICK_TUNING = Training(**{**vars(TUNING), "epochs": 4, "batch": 32, "threads": 1, "rate": 2e-3, "seed": 0})


def test_int4_is_mended(trained: Graph, int4: tuple[Graph, Graph]) -> None:
    _, _, x, y = digits()
    floating, plain, tuned = (right(graph, x, y) for graph in (trained, *int4))
    print(f"digits: float {floating:.4f}; disturbed, int4 {plain:.4f}, trained {tuned:.4f}; of {len(y)}")
    assert tuned >= plain + 0.02
    assert tuned >= floating - 0.02


def test_the_blob_gives_the_trained_modules_integers(int4: tuple[Graph, Graph], tmp_path: Path) -> None:
    path = tmp_path / "digits.ofg"
    path.write_bytes(ofg.dump(int4[1]))
    packed = pack_and_build(path, "posix", "generic", tmp_path)
    x = np.concatenate([part for part in digits()[::2]])[:500]
    t = int4[1].tensors[int4[1].inputs[0]]
    rows = nearest(x, t.quant, t.dtype)
    expected = [[row[None]] for row in run_all(int4[1], rows)[0]]
    assert len(rows) == 500 and not differing(outputs_on(packed, shaped(int4[1], rows)), expected)


def test_equal_seeds_give_equal_integers(trained: Graph) -> None:
    x, y, _, _ = digits()
    options, quick = OPTIONS["groups"], Training(steps=6, batch=32, threads=1, optimizer="adamw", rate=1e-3)
    integers = quantize(trained, x[:100], options)
    one, two = (ofg.dump(train_quantized(trained, integers, options, x, y, quick)[0]) for _ in range(2))
    assert one == two != ofg.dump(integers)


def test_an_int8_model_is_tuned_as_it_stands() -> None:
    original = random_net(1)
    module = to_integer_module(dequantize(original), original, QuantizeOptions())
    shaken(module)
    assert_equal_integers(module)


def test_another_graph_is_refused(trained: Graph) -> None:
    other = FloatNet(8, 8, 1)
    with pytest.raises(UserError, match="7 layers with weights"):
        to_integer_module(
            other.graph(other.conv(0, 4)), quantize(trained, digits()[0][:50]), QuantizeOptions()
        )
