"""Post-training quantization: integers against the float graphs they come from."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from offramp import ofg
from offramp.compress.accuracy import Accuracy, agreement, classes, difference, outputs
from offramp.compress.calibrate import Ranges, calibrate
from offramp.compress.dequantize import dequantize
from offramp.compress.options import IMAGE, QuantizeOptions
from offramp.compress.quantize import quantize
from offramp.compress.weights import quantize_rows
from offramp.errors import UserError
from offramp.frontends import load_model
from offramp.ir import Graph
from offramp.ops.activation import LeakyRelu
from offramp.ops.add import Add
from offramp.ops.concatenation import Concatenation
from offramp.ops.op import NoAttributes, constant
from offramp.ops.table import Table
from offramp.passes.rewrite import with_tensors
from offramp.reference import run_all
from offramp.resources import root
from tests.float_layers import LAYERS, FloatNet, one_layer, random_float_net, rows_of
from tests.pipeline import differing, outputs_on, pack_and_build, shaped

MODEL = root() / "models/fashion_mnist"
DATA = Path(os.environ.get("OFFRAMP_TEST_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
# LSB of the output that a convolution and one layer may be off. The weights' own rounding is some 2 of them.
MOST_OFF = 6
OFF_FIXED = {"tanh": 12, "logistic": 8, "softmax": 8}  # their scale is not of their range
MOST_OFF_16 = 0.012  # of the range: what int8 weights cost, whatever the activations


@pytest.fixture(scope="module")
def integer() -> Graph:
    return load_model(MODEL / "fashion_mnist_int8.tflite")


@pytest.fixture(scope="module")
def real(integer: Graph) -> Graph:
    return dequantize(integer)


@pytest.fixture(scope="module")
def images() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    file = np.load(MODEL / "test_images.npz")
    return (file["x"].astype(np.float32) + 128) / 255, file["y"].astype(np.int64)


@pytest.mark.parametrize("name", LAYERS)
def test_outputs_are_near_the_float_ones(name: str) -> None:
    for seed in range(2):
        graph = one_layer(name, seed)
        x = rows_of(graph, 40, seed)
        found = quantize(graph, x, QuantizeOptions(method="minmax"))
        off = np.abs(outputs(graph, x)[0] - outputs(found, x)[0]).max()
        assert off < OFF_FIXED.get(name, MOST_OFF) * found.tensors[found.outputs[0]].quant.scale


@pytest.mark.parametrize("name", LAYERS)
def test_int16_activations_leave_the_error_of_the_weights(name: str) -> None:
    graph = one_layer(name)
    x = rows_of(graph, 40)
    expected = outputs(graph, x)[0]
    found = quantize(graph, x, QuantizeOptions(bits=16))
    assert {found.tensors[i].dtype for i in (*found.inputs, *found.outputs)} == {"s16"}
    off = np.abs(expected - outputs(found, x)[0]).max()
    assert off < (MOST_OFF_16 if name not in OFF_FIXED else 0.02) * np.abs(expected).max()


@pytest.mark.parametrize("bits", [4, 8, 16])
@pytest.mark.parametrize("seed", range(4))
def test_random_nets(seed: int, bits: int) -> None:
    """Whatever the ops, the graph verifies, survives its file, and 16 bits are nearer to float than 4."""
    graph = random_float_net(seed)
    x = rows_of(graph, 40, seed)
    found = quantize(graph, x, QuantizeOptions(bits=bits))
    assert not found.is_float
    assert ofg.dump(ofg.load(ofg.dump(found), "file")) == ofg.dump(found)
    off = np.abs(outputs(graph, x)[0] - outputs(found, x)[0]).max() * 256
    assert off < {4: 40, 8: 5, 16: 3}[bits]


def test_requantizing_gives_the_integers_back(integer: Graph, real: Graph) -> None:
    x = np.load(MODEL / "test_images.npz")["x"][:10]
    again = quantize(real)
    assert np.array_equal(run_all(again, x)[0], run_all(integer, x)[0])
    for name in ("quantization", "data", "dtype"):
        found, right = ({t.name: getattr(t, name) for t in g.tensors} for g in (again, integer))
        assert right.keys() - found.keys() <= {"features/shape"}  # which no op reads
        assert all(np.array_equal(found[t], right[t]) for t in found)


@pytest.mark.skipif(not DATA.exists(), reason="third-party models are not there")
@pytest.mark.parametrize(
    "path", ["mlperf_tiny/kws_ref_model.tflite", "mlperf_tiny/ad01_int8.tflite", "wakeword/alexa.tflite"]
)
def test_requantizing_other_models(path: str) -> None:
    if not (DATA / path).exists():
        pytest.skip(path)
    graph = load_model(DATA / path)
    again = quantize(dequantize(graph))
    shape = graph.tensors[graph.inputs[0]].shape
    x = np.random.default_rng(1).integers(-128, 128, (4, *shape[1:])).astype(np.int8)
    assert np.array_equal(outputs(again, x)[0], outputs(graph, x)[0])


def test_fashion_mnist_keeps_its_classes(
    integer: Graph, real: Graph, images: tuple[NDArray[np.float32], NDArray[np.int64]]
) -> None:
    x, y = images
    found = quantize(real, x[:40], QuantizeOptions(inputs={"image": IMAGE}))
    before, after = classes(real, x), classes(found, x)
    lost = difference(Accuracy(before == y), Accuracy(after == y))
    assert lost.value > -0.003 - lost.stderr
    assert (before == after).mean() >= 0.98
    assert found.tensors[found.inputs[0]].quantization == integer.tensors[integer.inputs[0]].quantization


def test_int4_weights_are_in_their_ranges(real: Graph, images: tuple[NDArray[np.float32], object]) -> None:
    x = images[0][:12]
    for per_group in (False, True):
        found = quantize(real, x, QuantizeOptions(bits=4, per_group=per_group, bias_correction=False))
        for op in found.ops:
            if op.kind in ("conv_2d", "fully_connected"):
                data = found.tensors[op.inputs[1]].data
                assert data is not None
                check_int4(data.reshape(len(data), -1).astype(int), per_group)


def check_int4(w: NDArray[np.int64], per_group: bool) -> None:
    if not per_group or w.shape[1] <= 32:
        assert w.min() >= -8 and w.max() <= 7
        return
    for first in range(0, w.shape[1], 32):
        for part in w[:, first : first + 32]:
            assert any(
                not (part % m).any() and (-8 * m <= part).all() and (part <= 7 * m).all()
                for m in range(1, 16)
            )


def test_groups_lower_the_error_of_weights() -> None:
    rng = np.random.default_rng(5)
    w = rng.normal(size=(16, 288)) * np.repeat(rng.uniform(0.2, 2, (16, 9)), 32, axis=1)
    errors = {}
    for per_group in (False, True):
        q, scale = quantize_rows(w, 4, np.zeros(16), per_group)
        errors[per_group] = float(((q * scale[:, None] - w) ** 2).sum())
    plain = np.maximum(w.max(axis=1) / 7, -w.min(axis=1) / 8)[:, None]
    unclipped = float(((np.clip(np.rint(w / plain), -8, 7) * plain - w) ** 2).sum())
    assert errors[True] < 0.6 * errors[False] < 0.6 * unclipped


@pytest.mark.parametrize("kind", ["conv_2d", "fully_connected"])
def test_compensation_lowers_the_error_of_outputs(kind: str) -> None:
    """On rows whose taps depend on each other, as those of real layers do."""
    net = FloatNet(3)
    source = net.tensor((1, 5, 5, 8) if kind == "conv_2d" else (1, 80))
    graph = net.graph([source], [net.conv(source, 12, 3) if kind == "conv_2d" else net.dense(source, 12)])
    mixing = np.random.default_rng(1).normal(size=(8, 8)).astype(np.float32)
    x = (rows_of(graph, 128).reshape(-1, 8) @ mixing).reshape(128, *graph.tensors[source].shape[1:])
    for per_group in (False, True):
        errors = []
        for on in (False, True):
            found = quantize(graph, x, QuantizeOptions(bits=4, per_group=per_group, compensation=on))
            check_int4(rows(found), per_group)
            errors.append(float(((outputs(found, x)[0] - outputs(graph, x)[0]) ** 2).mean()))
        assert errors[1] < 0.7 * errors[0]


def test_compensation_leaves_pruned_weights_alone() -> None:
    graph = one_layer("conv_2d_pointwise")
    weights = graph.ops[0].inputs[1]
    data = constant(graph.tensors[weights]).copy()
    data[:, :, :, 0] = 0
    pruned = with_tensors(graph, {weights: replace(graph.tensors[weights], data=data)})
    found = quantize(pruned, rows_of(graph, 40), QuantizeOptions(bits=4))
    assert not rows(found)[:, 0].any()


def rows(graph: Graph) -> NDArray[np.int64]:
    """The first layer's weights [channels, taps]."""
    data = constant(graph.tensors[graph.ops[0].inputs[1]])
    return data.reshape(len(data), -1).astype(int)


def test_bias_correction_takes_the_mean_error_out() -> None:
    graph = one_layer("fully_connected", 4)
    x = rows_of(graph, 64)
    means = {}
    for on in (False, True):
        found = quantize(graph, x, QuantizeOptions(bits=4, per_group=False, bias_correction=on))
        error = outputs(found, x)[0] - outputs(graph, x)[0]
        means[on] = float(np.abs(error.mean(axis=(0, 1, 2))).max())
    assert means[True] < 0.5 * means[False]


def test_ranges_found_before_serve_too(real: Graph, images: tuple[NDArray[np.float32], object]) -> None:
    x = images[0][:12]
    ranges = calibrate(real, x)
    plain = QuantizeOptions(bias_correction=False)
    assert ofg.dump(quantize(real, ranges=ranges, options=plain)) == ofg.dump(quantize(real, x, plain))


def test_a_fixed_input_of_a_concatenation_is_requantized_once() -> None:
    found = quantize(one_layer("joined"), rows_of(one_layer("joined"), 40))
    assert [op.kind for op in found.ops].count("quantize") == 1
    [join] = [op for op in found.ops if op.kind == "concatenation"]
    out = found.tensors[join.outputs[0]].quantization
    assert all(found.tensors[i].quantization == out for i in join.inputs)


def test_concatenation_of_equal_fixed_inputs_keeps_their_scale() -> None:
    net = FloatNet()
    source = net.tensor((1, 4, 4, 2))
    parts = [net.op("tanh", (net.conv(source, 3),)) for _ in range(2)]
    graph = net.graph([source], [net.op("concatenation", parts, Concatenation(3))])
    found = quantize(graph, rows_of(graph, 40))
    assert found.tensors[found.outputs[0]].quant.scale == 1 / 128
    assert "quantize" not in [op.kind for op in found.ops]


def test_a_dead_layer_does_no_harm() -> None:
    """All-zero weights, a result of zeros, and results that nearly cancel."""
    net = FloatNet()
    source = net.tensor((1, 4, 4, 2))
    x = net.conv(source, 4)
    zeros = net.tensor((4, 1, 1, 4), np.zeros((4, 1, 1, 4)))
    dead = net.op("conv_2d", (x, zeros, net.tensor((4,), np.array([0, 0, 1e-4, 0]))), net.ops[0].attributes)
    cancelled = net.op("sub", (x, net.op("leaky_relu", (x,), LeakyRelu(1 - 1e-7))), Add())
    graph = net.graph([source], [net.op("add", (x, dead), Add()), cancelled])
    rows = rows_of(graph, 40)
    for bits in (8, 16):
        found = quantize(graph, rows, QuantizeOptions(bits=bits))
        right, given = outputs(graph, rows)[0], outputs(found, rows)[0]
        assert np.abs(right - given).max() < 0.03 * np.abs(right).max()


def test_layers_at_their_own_bits(real: Graph, images: tuple[NDArray[np.float32], object]) -> None:
    x = images[0][:12]
    layers = {"logits": 16, "down2": 16, "block3a": 4}
    found = quantize(real, x, QuantizeOptions(layers=layers))
    dtypes = {op.name: found.tensors[op.outputs[0]].dtype for op in found.ops}
    assert dtypes["logits"] == dtypes["down2"] == "s16" and dtypes["block3a"] == "s8"
    assert [found.tensors[i].dtype for i in (*found.inputs, *found.outputs)] == ["s8", "s8"]
    assert agreement(real, found, images[0][:30]).value > 0.9


def test_layers_that_find_their_range_at_run_time() -> None:
    graph = one_layer("fully_connected")
    x = rows_of(graph, 60)
    name = graph.ops[-1].name
    found = quantize(graph, x, QuantizeOptions(bits=16, dynamic=[name]))
    assert [op.kind for op in found.ops if op.name == name] == ["dynamic_fully_connected"]
    right = outputs(graph, x)[0]
    assert np.abs(outputs(found, x)[0] - right).max() < 0.03 * np.abs(right).max()
    again = dequantize(found)
    assert np.abs(outputs(again, x)[0] - right).max() < 0.02 * np.abs(right).max()


REFUSED = {
    "dynamic": (QuantizeOptions(dynamic=["stem"]), "no layer stem that is fully connected", "logits"),
    "layer": (QuantizeOptions(layers={"logit": 4}), "no layer logit with weights", "logits"),
    "bits": (QuantizeOptions(bits=5), "5 bits", "4, 8 and 16"),
    "layer bits": (QuantizeOptions(layers={"logits": 2}), "logits: 2 bits", "4, 8 and 16"),
    "input": (QuantizeOptions(inputs={"picture": IMAGE}), "no input picture", "image"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_options_that_do_not_fit(real: Graph, name: str) -> None:
    options, message, hint = REFUSED[name]
    with pytest.raises(UserError, match=message) as error:
        quantize(real, ranges=Ranges({}, {}), options=options)
    assert hint in error.value.hint


def test_other_refusals(integer: Graph) -> None:
    with pytest.raises(UserError, match="quantized already"):
        quantize(integer)
    with pytest.raises(UserError, match=r"no calibration rows, and .* remember no scale"):
        quantize(one_layer("relu"))
    net = FloatNet()
    source = net.tensor((1, 3))
    table = net.graph([source], [net.op("relu", (source,), NoAttributes())])
    quantized = quantize(table, rows_of(table, 40))
    op = replace(quantized.ops[0], kind="table", attributes=Table(tuple(range(256))))
    with pytest.raises(UserError, match="table"):
        dequantize(quantized.with_ops((op,)))


@pytest.mark.parametrize("bits", [4, 8])
def test_packs_and_runs(bits: int, tmp_path: Path) -> None:
    """The blob on the host's own processor equals the graph's reference."""
    graph = random_float_net(bits)
    x = rows_of(graph, 40)
    found = quantize(graph, x, QuantizeOptions(bits=bits))
    path = tmp_path / "net.ofg"
    path.write_bytes(ofg.dump(found))
    packed = pack_and_build(path, "posix", "auto", tmp_path)
    rows = np.random.default_rng(2).integers(-128, 128, (10, *found.tensors[found.inputs[0]].shape[1:]))
    given = shaped(found, rows)
    expected = run_all(found, rows.astype(np.int8))[0]
    assert not differing(outputs_on(packed, given), [[row[None]] for row in expected])
