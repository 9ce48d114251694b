"""Post-training quantization of whole models of others: accuracy beside float, and the public quantizer's weights."""

from __future__ import annotations

import gzip
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from offramp.compress.accuracy import Accuracy, accuracy, classes, difference
from offramp.compress.dequantize import dequantize
from offramp.compress.options import IMAGE, WEIGHTED, QuantizeOptions
from offramp.compress.quantize import quantize
from offramp.frontends import load_model
from offramp.ir import Graph
from offramp.resources import root

DATA = Path(os.environ.get("OFFRAMP_TEST_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
FASHION = Path("/usr/share/datasets/fashion-mnist")  # Debian: dataset-fashion-mnist
WAND = DATA / "wand_imu/model.tflite"
LOST = 0.003  # of accuracy, at most, beside one paired standard error

needs_data = pytest.mark.skipif(not DATA.exists(), reason="third-party data is not there")


def gestures() -> NDArray[np.float32]:
    """Windows of 119 samples of the wand, half a window apart, as its network takes them, in a fixed random order."""
    parts = []
    for path in sorted((DATA / "wand_imu/train").glob("*.csv")):
        lines = [line.split(",") for line in path.read_text().splitlines()[1:]]
        samples = np.array([line for line in lines if len(line) == 6], float)
        samples = (samples + np.repeat([4, 2000], 3)) / np.repeat([8, 4000], 3)
        parts += [samples[i : i + 119] for i in range(0, len(samples) - 118, 59)]
    order = np.random.default_rng(0).permutation(len(parts))
    return np.array(parts, np.float32)[order]


@needs_data
@pytest.mark.parametrize("bits", [4, 8, 16])
def test_gestures_keep_their_classes(bits: int) -> None:
    graph, x = load_model(WAND), gestures()
    found = quantize(graph, x[:60], QuantizeOptions(bits=bits))
    same = Accuracy(classes(graph, x[60:]) == classes(found, x[60:]))
    assert same.samples > 100
    assert same.value >= (0.98 if bits > 4 else 0.95), same


def images(part: str, n: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Of Fashion-MNIST: x [n, 28, 28, 1] in 0..1, labels [n]."""
    pixels, labels = (
        np.frombuffer(gzip.decompress((FASHION / f"{part}-{name}.gz").read_bytes()), np.uint8)
        for name in ("images-idx3-ubyte", "labels-idx1-ubyte")
    )
    x = pixels[16:].reshape(-1, 28, 28, 1)[:n].astype(np.float32) / 255
    return x, labels[8:][:n].astype(np.int64)


@pytest.mark.soak
@pytest.mark.skipif(not FASHION.exists(), reason="apt install dataset-fashion-mnist")
def test_fashion_mnist() -> None:
    real = dequantize(load_model(root() / "models/fashion_mnist/fashion_mnist_int8.tflite"))
    x, y = images("t10k", 10000)
    found = quantize(real, images("train", 300)[0], QuantizeOptions(inputs={"image": IMAGE}))
    lost = difference(accuracy(real, x, y), accuracy(found, x, y))
    assert lost.value > -LOST, lost


def cifar() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """1,000 images [n, 32, 32, 3] of pixels 0 to 255, as the reference network takes them."""
    file = np.load(DATA / "cifar10_jpg/cifar10_test_1000.npz")
    return file["x"].astype(np.float32), file["y"].astype(np.int64)


@needs_data
def test_resnet_keeps_its_classes() -> None:
    graph, x = load_model(DATA / "mlperf_tiny/pretrainedResnet.tflite"), cifar()[0]
    found = quantize(graph, x[:24])
    assert (classes(graph, x[200:264]) == classes(found, x[200:264])).mean() >= 0.9


@needs_data
@pytest.mark.soak
@pytest.mark.parametrize("method", ["minmax", "percentile", "mse"])
def test_resnet_beside_float_and_the_reference(method: str) -> None:
    graph = load_model(DATA / "mlperf_tiny/pretrainedResnet.tflite")
    reference = load_model(DATA / "mlperf_tiny/pretrainedResnet_quant.tflite")
    x, y = cifar()
    found = accuracy(quantize(graph, x[:200], QuantizeOptions(method=method)), x[200:], y[200:])
    for other in (graph, reference):
        lost = difference(accuracy(other, x[200:], y[200:]), found)
        assert lost.value > -LOST - lost.stderr, (other.name, lost)


def by_public_quantizer(model: Path, rows: NDArray[np.float32], folder: Path) -> Graph:
    """What ai-edge-quantizer makes of a model of one input; it wants a signature, which is added."""
    quantizer = pytest.importorskip("ai_edge_quantizer.quantizer")
    recipe = pytest.importorskip("ai_edge_quantizer.recipe")
    schema: Any = pytest.importorskip("ai_edge_litert.schema_py_generated")
    flatbuffers = pytest.importorskip("flatbuffers")
    tree = schema.ModelT.InitFromObj(schema.Model.GetRootAs(model.read_bytes(), 0))
    signature = schema.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = "main", 0
    signature.inputs, signature.outputs = [], []
    for name, ports, index in (
        ("x", signature.inputs, tree.subgraphs[0].inputs[0]),
        ("y", signature.outputs, tree.subgraphs[0].outputs[0]),
    ):
        port = schema.TensorMapT()
        port.name, port.tensorIndex = name, int(index)
        ports.append(port)
    tree.signatureDefs = [signature]
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(tree.Pack(builder), b"TFL3")
    signed, made = folder / "signed.tflite", folder / "made.tflite"
    signed.write_bytes(bytes(builder.Output()))
    run = quantizer.Quantizer(str(signed))
    run.load_quantization_recipe(recipe.static_wi8_ai8())
    found = run.calibrate({"main": [{"x": row[None]} for row in rows]}, num_threads=1)
    made.write_bytes(bytes(run.quantize(found, enable_progress_report=False).quantized_model))
    return load_model(made)


@needs_data
@pytest.mark.filterwarnings("ignore")
def test_weights_are_those_of_the_public_quantizer(tmp_path: Path) -> None:
    x = gestures()
    theirs = by_public_quantizer(WAND, x[:60], tmp_path)
    graph = load_model(WAND)
    ours = quantize(graph, x[:60], QuantizeOptions(method="minmax", bias_correction=False))
    pairs = list(zip(weights(ours), weights(theirs), strict=True))
    assert len(pairs) == 4
    for (q, scales), (their_q, their_scales) in pairs:
        assert np.allclose(scales, their_scales, rtol=1e-6)
        if q.ndim == 2:  # our graph has a transpose folded into these weights
            q, their_q = np.sort(q, axis=1), np.sort(their_q, axis=1)
        assert np.abs(q.astype(int) - their_q).max() <= 1 and (q != their_q).mean() < 0.001
    expected = classes(graph, x[60:])
    right = [Accuracy(expected == classes(g, x[60:])) for g in (theirs, ours)]
    lost = difference(*right)
    assert lost.value >= -0.01 - lost.stderr, lost


def weights(graph: Graph) -> list[tuple[NDArray[np.int8], NDArray[np.float32]]]:
    tensors = [graph.tensors[op.inputs[1]] for op in graph.ops if op.kind in WEIGHTED]
    return [(t.data, np.array(t.quant.scales, np.float32)) for t in tensors if t.data is not None]
