"""What onnxruntime's own quantizer writes, QDQ and QOperator: the integer graph answers as onnxruntime does."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from offramp import boards
from offramp.frontends.onnx import load
from offramp.ir import Graph
from offramp.pack import pack
from offramp.reference import run_all
from tests.onnx_models import UINT8, Node, model, run

quantization: Any = pytest.importorskip("onnxruntime.quantization")
R = np.random.default_rng(12)
SHAPE = (1, 8, 12, 12)


def real(*shape: int) -> np.ndarray:
    return R.normal(size=shape).astype(np.float32) / np.sqrt(np.prod(shape[1:]) or 1).astype(np.float32)


CONV = {"w": real(8, 8, 3, 3), "b": real(8), "k": real(8, 1, 3, 3), "p": real(8, 8, 1, 1), "d": real(10, 8)}
SAME = {"pads": [1, 1, 1, 1]}
NETS: dict[str, list[Node]] = {
    "plain": [
        ("Conv", "x w b", "c", SAME), ("Relu", "c", "r", {}),
        ("MaxPool", "r", "m", {"kernel_shape": [2, 2], "strides": [2, 2]}),
        ("Conv", "m k", "e", {"group": 8}), ("GlobalAveragePool", "e", "g", {}), ("Flatten", "g", "f", {}),
        ("Gemm", "f d", "y", {"transB": 1}),
    ],
    "residual": [
        ("Conv", "x w b", "c", SAME), ("Clip", "c low high", "r", {}), ("Conv", "r k", "e", {"group": 8, **SAME}),
        ("Add", "e r", "a", {}), ("Relu", "a", "s", {}),
        ("AveragePool", "s", "q", {"kernel_shape": [3, 3], "strides": [3, 3]}), ("Conv", "q p b", "y", {}),
    ],
    "gates": [
        ("Conv", "x w b", "c", SAME), ("GlobalAveragePool", "c", "g", {}), ("Conv", "g p", "h", {}),
        ("Sigmoid", "h", "s", {}), ("Mul", "c s", "m", {}), ("LeakyRelu", "m", "l", {"alpha": 0.1}),
        ("Concat", "l c", "j", {"axis": 1}), ("Softmax", "j", "y", {"axis": 1}),
    ],
    "lines": [
        ("Reshape", "x line", "l", {}), ("Conv", "l u", "c", {}), ("Tanh", "c", "t", {}),
        ("Transpose", "t", "o", {"perm": [0, 2, 1]}),
        ("MatMul", "o v", "m", {}), ("Softmax", "m", "y", {}),
    ],
}  # fmt: skip
FORMS = {
    "QDQ int8": ("QDQ", "QInt8", True),
    "QDQ uint8": ("QDQ", "QUInt8", True),
    "QDQ one scale": ("QDQ", "QInt8", False),
    "QOperator int8": ("QOperator", "QInt8", True),
    "QOperator uint8": ("QOperator", "QUInt8", False),
}


class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, rows: np.ndarray) -> None:
        self.rows = iter(rows)

    def get_next(self) -> dict[str, np.ndarray] | None:
        row = next(self.rows, None)
        return None if row is None else {"x": row[None]}


def quantized(net: str, form: str, folder: Path) -> bytes:
    layout, kind, per_channel = FORMS[form]
    constants = {**CONV, "low": np.float32(0), "high": np.float32(6), "u": real(6, 8, 5), "v": real(6, 7)}
    constants |= {"line": np.array([1, 8, 144], np.int64)}
    used = {name for _, reads, _, _ in NETS[net] for name in reads.split()}
    (folder / "float.onnx").write_bytes(
        model(NETS[net], SHAPE, {k: v for k, v in constants.items() if k in used})
    )
    logging.disable(logging.WARNING)
    quantization.quantize_static(
        str(folder / "float.onnx"),
        str(folder / "int.onnx"),
        Reader(rows(32, 1)),
        quant_format=quantization.QuantFormat[layout],
        activation_type=quantization.QuantType[kind],
        weight_type=quantization.QuantType.QInt8,
        per_channel=per_channel,
    )
    logging.disable(logging.NOTSET)
    return (folder / "int.onnx").read_bytes()


def rows(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, *SHAPE[1:])).astype(np.float32)


def integers(graph: Graph, tensor: int, x: np.ndarray) -> np.ndarray:
    q = graph.tensors[tensor].quant
    return np.clip(np.rint(x / np.float32(q.scale)) + q.zero_point, -128, 127).astype(np.int8)


def moved(graph: Graph, port: str, x: np.ndarray) -> np.ndarray:
    return np.moveaxis(x, 1, -1) if port in graph.metadata.get("channels_last", "").split(",") else x


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("net", NETS)
def test_quantizer(net: str, form: str, tmp_path: Path) -> None:
    data, x = quantized(net, form, tmp_path), rows(40, 2)
    graph = load(data, "net.onnx")
    assert not graph.is_float
    (found,) = run_all(graph, integers(graph, graph.inputs[0], moved(graph, "input", x)))
    wanted = moved(graph, "output", np.concatenate([run(data, row[None])[0] for row in x]))
    apart = np.abs(found - integers(graph, graph.outputs[0], wanted).astype(int))
    print(net, form, np.bincount(apart.ravel()), [op.kind for op in graph.ops])
    assert (apart <= 1).mean() >= 0.99
    assert apart.max() <= 3
    assert pack(graph, boards.load("mps2_an386"))[1]


def test_integers_at_the_edges() -> None:
    """Inputs and outputs of uint8: the graph's are int8, 128 less, and a ReLU between becomes a table."""
    constants = {"s": np.float32(0.05), "z": np.uint8(100), "t": np.float32(0.02), "o": np.uint8(0)}
    nodes: list[Node] = [
        ("DequantizeLinear", "x s z", "d", {}), ("Relu", "d", "r", {}), ("QuantizeLinear", "r t o", "y", {}),
    ]  # fmt: skip
    data = model(nodes, (1, 256), constants, dtype=UINT8)
    graph = load(data, "net.onnx")
    assert graph.tensors[graph.inputs[0]].quant.zero_point == -28
    x = np.arange(256, dtype=np.uint8)[None]
    (found,) = run_all(graph, (x.astype(np.int16) - 128).astype(np.int8))
    np.testing.assert_array_equal(found.astype(np.int16) + 128, run(data, x)[0])
