"""Float and quantized files of others: the graph computes what tflite-runtime or onnxruntime computes."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from offramp.frontends import lite, load_model
from offramp.ir import Graph
from offramp.ops.op import Array
from offramp.reference import run_all

DATA = Path(os.environ.get("OFFRAMP_TEST_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
FLOAT_TFLITE = (
    *("mlonmcu_io/magic_wand/magic_wand.tflite", "mlonmcu_io/sine_model/sine_model.tflite"),
    *(
        "mlperf_tiny/ad01_fp32.tflite",
        "mlperf_tiny/pretrainedResnet.tflite",
        "mlperf_tiny/vww_96_float.tflite",
    ),
    *("tflm_models/hello_world_float.tflite", "tinymaix/mnist_valid_f.tflite", "wand_imu/model.tflite"),
)
FLOAT_ONNX = ("onnx_models/micro_kws_m_static_fp32.onnx", "onnx_models/model.onnx")
QUANTIZED_ONNX = ("onnx_models/micro_kws_m_static_qdq.onnx", "onnx_models/micro_kws_m_static_qoperator.onnx")
ROWS = 8


def present(name: str) -> Path:
    path = DATA / name
    if not path.exists():
        pytest.skip(f"needs {path}")
    return path


def close(found: Array, wanted: Array) -> None:
    """Float32 sums in another order: 2 parts in a million of the largest value."""
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).max() <= 2e-6 * max(1.0, np.abs(wanted).max())


@pytest.mark.parametrize("name", FLOAT_TFLITE)
def test_float_tflite(name: str) -> None:
    path = present(name)
    graph = load_model(path)
    shape = graph.tensors[graph.inputs[0]].shape
    x = np.random.default_rng(1).normal(size=(ROWS, *shape[1:])).astype(np.float32)
    close(run_all(graph, x)[0], lite.run(path.read_bytes(), x)[0])


def session(path: Path, x: Array) -> Array:
    ort = pytest.importorskip("onnxruntime")
    runner = ort.InferenceSession(str(path))
    port = runner.get_inputs()[0].name
    return np.concatenate([runner.run(None, {port: row[None]})[0] for row in x])


def channels_last(graph: Graph, x: Array) -> Array:
    """Rows as the graph takes them, of rows as the file does."""
    return np.moveaxis(x, 1, -1) if "channels_last" in graph.metadata else x


@pytest.mark.parametrize("name", FLOAT_ONNX)
def test_float_onnx(name: str) -> None:
    path = present(name)
    graph = load_model(path)
    shape = (1960,) if "kws" in name else (6, 119)
    x = np.random.default_rng(2).normal(size=(ROWS, *shape)).astype(np.float32)
    close(run_all(graph, channels_last(graph, x))[0], session(path, x))
    assert not any(op.kind == "transpose" for op in graph.ops)


def patches(n: int) -> Array:
    """Features in patches of 8 and 16: the keyword network finds all of its classes in them."""
    random = np.random.default_rng(3)
    grids = [random.normal(size=(n, 49 // k + 1, 40 // k + 1)) for k in (8, 16)]
    images = [np.kron(g, np.ones((1, k, k)))[:, :49, :40] for g, k in zip(grids, (8, 16), strict=True)]
    return (4 * np.concatenate(images)).reshape(-1, 1960).astype(np.float32)


@pytest.mark.parametrize("name", QUANTIZED_ONNX)
def test_quantized_onnx(name: str) -> None:
    path = present(name)
    graph, x = load_model(path), patches(50)
    wanted = session(path, x)
    out, source = (graph.tensors[i].quant for i in (graph.outputs[0], graph.inputs[0]))
    whole = np.clip(np.rint(x / np.float32(source.scale)) + source.zero_point, -128, 127).astype(np.int8)
    (found,) = run_all(graph, whole)
    apart = np.abs(found - (np.rint(wanted / np.float32(out.scale)) + out.zero_point))
    top = found.argmax(-1)
    print(name, np.bincount(apart.astype(int).ravel()), (top == wanted.argmax(-1)).mean())
    assert len(set(top)) >= 8
    assert (
        apart <= 1
    ).mean() >= 0.9  # an average of four differs by rounding of halves, and layers behind magnify that
    assert (top == wanted.argmax(-1)).mean() >= 0.98
