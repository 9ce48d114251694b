"""ONNX operators: the canonical graph computes what onnxruntime does, and runs no transpose that need not be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from offramp.frontends import onnx
from offramp.ir import Graph
from offramp.reference import Reference
from tests.onnx_models import Node, model, run

R = np.random.default_rng(11)


def real(*shape: int) -> np.ndarray:
    return R.normal(size=shape).astype(np.float32)


def i64(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def one(op: str, reads: str = "x", **attributes: Any) -> list[Node]:
    return [(op, reads, "y", attributes)]


IMAGE, LINE, ROW = (1, 6, 9, 8), (1, 6, 20), (1, 12)
CONV3 = {"w": real(4, 6, 3, 3), "b": real(4)}
BN = {"g": real(6), "o": real(6), "m": real(6), "v": np.abs(real(6)) + 0.5}
SCALES = np.float32([1, 1, 2, 3])
# name: nodes, shape of x, constants, further arguments of `model`
CASES: dict[str, tuple[list[Node], tuple[Any, ...], dict[str, Any], dict[str, Any]]] = {
    "conv": (one("Conv", "x w b"), IMAGE, CONV3, {}),
    "conv open batch": (one("Conv", "x w b"), ("n", 6, 9, 8), CONV3, {}),
    "conv same upper": (one("Conv", "x w", auto_pad="SAME_UPPER", strides=[2, 2]), IMAGE, {"w": CONV3["w"]}, {}),
    "conv same lower": (one("Conv", "x w", auto_pad="SAME_LOWER", strides=[2, 2]), IMAGE, {"w": CONV3["w"]}, {}),
    "conv asymmetric": (one("Conv", "x w b", pads=[0, 1, 2, 0], strides=[2, 1]), IMAGE, CONV3, {}),
    "conv far pads": (one("Conv", "x w b", pads=[4, 0, 0, 5]), IMAGE, CONV3, {}),
    "conv dilated": (one("Conv", "x w b", pads=[2, 2, 2, 2], dilations=[2, 3]), IMAGE, CONV3, {}),
    "conv groups": (one("Conv", "x w", group=3), IMAGE, {"w": real(9, 2, 3, 3)}, {}),
    "depthwise": (one("Conv", "x w", group=6, pads=[1, 1, 1, 1]), IMAGE, {"w": real(6, 1, 3, 3)}, {}),
    "depthwise twice": (one("Conv", "x w b", group=6), IMAGE, {"w": real(12, 1, 3, 3), "b": real(12)}, {}),
    "conv one channel": (one("Conv", "x w", group=1), (1, 1, 9, 8), {"w": real(5, 1, 3, 3)}, {}),
    "conv 1d": (one("Conv", "x w b", pads=[1, 2], strides=[2]), LINE, {"w": real(4, 6, 5), "b": real(4)}, {}),
    "max pool": (one("MaxPool", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]), IMAGE, {}, {}),
    "max pool ceil": (one("MaxPool", kernel_shape=[3, 2], strides=[2, 3], ceil_mode=1), IMAGE, {}, {}),
    "max pool 1d": (one("MaxPool", kernel_shape=[3], strides=[2]), LINE, {}, {}),
    "average pool": (one("AveragePool", kernel_shape=[2, 2], strides=[2, 2]), IMAGE, {}, {}),
    "average pool pads": (one("AveragePool", kernel_shape=[3, 3], pads=[1, 0, 1, 1]), IMAGE, {}, {}),
    "average pool counts": (
        one("AveragePool", kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1), IMAGE, {}, {},
    ),
    "global average": (one("GlobalAveragePool"), IMAGE, {}, {}),
    "global max": (one("GlobalMaxPool"), IMAGE, {}, {}),
    "reduce mean": (one("ReduceMean", axes=[2, 3], keepdims=0), IMAGE, {}, {}),
    "reduce mean 18": (one("ReduceMean", "x a"), IMAGE, {"a": i64(1)}, {"opset": 18}),
    "batch norm": (one("BatchNormalization", "x g o m v"), IMAGE, BN, {}),
    "batch norm 1d": (one("BatchNormalization", "x g o m v"), LINE, BN, {}),
    "batch norm rows": (
        one("BatchNormalization", "x g o m v"), (1, 6), BN, {},
    ),
    "norm relu": (
        [("BatchNormalization", "x g o m v", "n", {}), ("Relu", "n", "y", {})], IMAGE, BN, {},
    ),
    "gemm": (one("Gemm", "x w b", transB=1), ROW, {"w": real(5, 12), "b": real(5)}, {}),
    "gemm scaled": (one("Gemm", "x w b", alpha=0.5, beta=2.0), ROW, {"w": real(12, 5), "b": real(5)}, {}),
    "matmul add": (
        [("MatMul", "x w", "h", {}), ("Add", "b h", "y", {})], ROW, {"w": real(12, 5), "b": real(5)}, {},
    ),
    "matmul of a sequence": (one("MatMul", "x w"), (1, 7, 6), {"w": real(6, 5)}, {}),
    "relu": (one("Relu"), IMAGE, {}, {}),
    "clip": (one("Clip", "x l h"), IMAGE, {"l": np.float32(0), "h": np.float32(6)}, {}),
    "clip low": (one("Clip", "x l"), ROW, {"l": np.float32(0)}, {}),
    "clip one": (one("Clip", "x l h"), ROW, {"l": np.float32(-1), "h": np.float32(1)}, {}),
    "sigmoid": (one("Sigmoid"), IMAGE, {}, {}),
    "tanh": (one("Tanh"), ROW, {}, {}),
    "leaky relu": (one("LeakyRelu", alpha=0.2), IMAGE, {}, {}),
    "hard swish": (one("HardSwish"), IMAGE, {}, {}),
    "hard sigmoid": (one("HardSigmoid", alpha=0.3, beta=0.4), IMAGE, {}, {}),
    "p relu": (one("PRelu", "x s"), IMAGE, {"s": np.full((6, 1, 1), 0.25, np.float32)}, {}),
    "add": (one("Add", "x c"), IMAGE, {"c": real(6, 1, 1)}, {}),
    "sub": (one("Sub", "c x"), IMAGE, {"c": real(6, 9, 1)}, {}),
    "mul": (one("Mul", "x c"), IMAGE, {"c": real(1)}, {}),
    "div": (one("Div", "x c"), LINE, {"c": real(20)}, {}),
    "neg pow": ([("Neg", "x", "n", {}), ("Pow", "n c", "y", {})], ROW, {"c": np.float32(2)}, {}),
    "sum": (one("Sum", "x x c"), ROW, {"c": real(12)}, {}),
    "concat": (one("Concat", "x c x", axis=1), IMAGE, {"c": real(1, 2, 9, 8)}, {}),
    "split": ([("Split", "x s", "y z", {"axis": 1})], IMAGE, {"s": i64(2, 4)}, {"outputs": "y z"}),
    "split even": ([("Split", "x", "y z", {"axis": 3})], IMAGE, {}, {"outputs": "y z"}),
    "slice": (one("Slice", "x s e a t"), IMAGE, {"s": i64(1, 7), "e": i64(5, 0), "a": i64(1, 2), "t": i64(2, -2)}, {}),
    "gather": (one("Gather", "x i", axis=2), IMAGE, {"i": np.int64(3)}, {}),
    "gather steps": (one("Gather", "x i", axis=1), IMAGE, {"i": i64(5, 3, 1)}, {}),
    "pad": (one("Pad", "x p"), IMAGE, {"p": i64(0, 0, 1, 2, 0, 1, 0, 3)}, {}),
    "pad value": (one("Pad", "x p v"), LINE, {"p": i64(0, 0, 1, 0, 0, 3), "v": np.float32(2)}, {}),
    "transpose": (one("Transpose", perm=[0, 2, 1]), LINE, {}, {}),
    "flatten": (one("Flatten"), IMAGE, {}, {}),
    "reshape": (one("Reshape", "x s"), IMAGE, {"s": i64(0, 3, -1)}, {}),
    "squeeze": ([("Unsqueeze", "x a", "u", {}), ("Squeeze", "u b", "y", {})], LINE, {"a": i64(2, -1), "b": i64(2)}, {}),
    "softmax": (one("Softmax"), ROW, {}, {}),
    "softmax channels": (one("Softmax", axis=1), IMAGE, {}, {}),
    "softmax 11": (one("Softmax", axis=1), IMAGE, {}, {"opset": 11}),
    "resize nearest": (
        one("Resize", "x _ s", mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"),
        IMAGE, {"s": SCALES}, {},
    ),
    "resize nearest half": (one("Resize", "x _ s", mode="nearest"), IMAGE, {"s": SCALES}, {}),
    "resize linear": (one("Resize", "x _ s", mode="linear"), IMAGE, {"s": SCALES}, {}),
    "resize linear corners": (
        one("Resize", "x _ _ z", mode="linear", coordinate_transformation_mode="align_corners"),
        IMAGE, {"z": i64(1, 6, 5, 20)}, {},
    ),
    "resize linear asymmetric": (
        one("Resize", "x _ s", mode="linear", coordinate_transformation_mode="asymmetric"), IMAGE, {"s": SCALES}, {},
    ),
    "dropout": ([("Identity", "x", "i", {}), ("Dropout", "i", "y", {})], IMAGE, {}, {}),
    # ---- several ops: what the passes must see through ----
    "flatten gemm": (
        [("Conv", "x w b", "c", {}), ("Relu", "c", "r", {}), ("Flatten", "r", "f", {}),
         ("Gemm", "f d", "y", {"transB": 1})],
        IMAGE, {**CONV3, "d": real(3, 4 * 7 * 6)}, {},
    ),
    "flatten by shape": (
        [
            ("Conv", "x w b", "c", {}), ("Shape", "c", "s", {}), ("Gather", "s zero", "n", {"axis": 0}),
            ("Unsqueeze", "n first", "u", {}), ("Concat", "u rest", "t", {"axis": 0}), ("Reshape", "c t", "f", {}),
            ("Gemm", "f d", "y", {"transB": 1}),
        ],
        ("n", 6, 9, 8), {**CONV3, "d": real(3, 168), "zero": np.int64(0), "first": i64(0), "rest": i64(-1)}, {},
    ),
    "residual": (
        [
            ("Conv", "x w", "c", {"pads": [1, 1, 1, 1]}), ("BatchNormalization", "c g o m v", "n", {}),
            ("Add", "x n", "a", {}), ("Clip", "a l h", "y", {}),
        ],
        IMAGE, {**BN, "w": real(6, 6, 3, 3), "l": np.float32(0), "h": np.float32(6)}, {},
    ),
    "squeeze and excite": (
        [
            ("Conv", "x w", "c", {}), ("GlobalAveragePool", "c", "p", {}), ("Conv", "p s", "q", {}),
            ("Sigmoid", "q", "t", {}), ("Mul", "c t", "y", {}),
        ],
        IMAGE, {"w": CONV3["w"], "s": real(4, 4, 1, 1)}, {},
    ),
    "excite by rows": (
        [
            ("ReduceMean", "x", "p", {"axes": [2, 3], "keepdims": 0}), ("Gemm", "p d", "g", {"transB": 1}),
            ("HardSigmoid", "g", "h", {"alpha": 1 / 6, "beta": 0.5}), ("Reshape", "h s", "r", {}),
            ("Mul", "r x", "m", {}), ("Conv", "m w", "y", {}),
        ],
        IMAGE, {"d": real(6, 6), "s": i64(1, 6, 1, 1), "w": CONV3["w"]}, {},
    ),
    "swish by parts": ([("Sigmoid", "x", "s", {}), ("Mul", "x s", "y", {})], IMAGE, {}, {}),
    "hard swish by parts": (
        [("Add", "x three", "a", {}), ("Clip", "a l h", "c", {}), ("Mul", "x c", "m", {}), ("Div", "m h", "y", {})],
        IMAGE, {"three": np.float32(3), "l": np.float32(0), "h": np.float32(6)}, {},
    ),
    "lines": (
        [
            ("Conv", "x w", "c", {}), ("BatchNormalization", "c g o m v", "n", {}), ("Relu", "n", "r", {}),
            ("MaxPool", "r", "p", {"kernel_shape": [2], "strides": [2]}), ("Conv", "p w", "d", {}),
            ("GlobalAveragePool", "d", "q", {}), ("Flatten", "q", "f", {}), ("Gemm", "f e", "y", {}),
        ],
        LINE, {**BN, "w": real(6, 6, 3), "e": real(6, 3)}, {},
    ),
    "channels joined": (
        [("Conv", "x w b", "c", {}), ("Conv", "x w b", "d", {"pads": [0] * 4}), ("Concat", "c d", "j", {"axis": 1}),
         ("Slice", "j s e a", "y", {})],
        IMAGE, {**CONV3, "s": i64(1), "e": i64(6), "a": i64(1)}, {},
    ),
    "pad conv": (
        [("Pad", "x p", "q", {}), ("Conv", "q w b", "y", {"strides": [2, 2]})],
        IMAGE, {**CONV3, "p": i64(0, 0, 1, 1, 0, 0, 1, 1)}, {},
    ),
    "channel shuffle": (
        [("Conv", "x w b", "c", {}), ("Reshape", "c s", "r", {}), ("Transpose", "r", "t", {"perm": [0, 2, 1, 3, 4]}),
         ("Reshape", "t u", "j", {}), ("Conv", "j v", "y", {})],
        IMAGE, {**CONV3, "s": i64(1, 2, 2, 7, 6), "u": i64(1, 4, 7, 6), "v": real(3, 4, 1, 1)}, {},
    ),
    "image of a line": (
        [("Unsqueeze", "x a", "u", {}), ("Conv", "u w", "c", {}), ("Squeeze", "c a", "y", {})],
        LINE, {"a": i64(2), "w": real(4, 6, 1, 3)}, {},
    ),
    "tokens": (
        [("Conv", "x w b", "c", {}), ("Reshape", "c s", "r", {}), ("Transpose", "r", "t", {"perm": [0, 2, 1]}),
         ("MatMul", "t d", "m", {}), ("ReduceMean", "m", "y", {"axes": [1], "keepdims": 0})],
        IMAGE, {**CONV3, "s": i64(1, 4, 42), "d": real(4, 3)}, {},
    ),
}  # fmt: skip
# What cannot do without a transpose.
TRANSPOSED = {"channel shuffle": 1}


def laid(graph: Graph, x: np.ndarray, port: str) -> np.ndarray:
    """An array of the file as the graph's port takes it."""
    moved = port in graph.metadata.get("channels_last", "").split(",")
    return np.moveaxis(x, 1, -1) if moved else x


@pytest.mark.parametrize("name", CASES)
def test_operator(name: str) -> None:
    nodes, shape, constants, more = CASES[name]
    data = model(nodes, shape, constants, **more)
    graph = onnx.load(data, f"{name}.onnx")
    x = 2 * real(*[n if isinstance(n, int) else 1 for n in shape])
    found = Reference(graph).run([np.ascontiguousarray(laid(graph, x, "input"))])
    ports = [graph.tensors[i].name for i in graph.outputs]
    for port, mine, wanted in zip(ports, found, run(data, x), strict=True):
        expected = laid(graph, wanted, port)
        assert mine.shape == expected.shape
        np.testing.assert_allclose(mine, expected, rtol=1e-4, atol=2e-5)
    assert sum(op.kind == "transpose" for op in graph.ops) == TRANSPOSED.get(name, 0)


def test_forms_of_one_network() -> None:
    """What can be written in several ways gives one graph."""
    for first, second in (
        ("reduce mean", "global average"),
        ("hard swish", "hard swish by parts"),
        ("conv", "conv open batch"),
        ("flatten gemm", "flatten by shape"),
    ):
        kinds = [[op.kind for op in loaded(name).ops if op.kind != "reshape"] for name in (first, second)]
        assert kinds[0] == kinds[1], (first, second)
    assert [op.kind for op in loaded("pad conv").ops] == ["conv_2d"]
    assert [op.kind for op in loaded("norm relu").ops] == ["depthwise_conv_2d"]
    assert [op.kind for op in loaded("residual").ops] == ["conv_2d", "add"]


def loaded(name: str) -> Graph:
    nodes, shape, constants, more = CASES[name]
    return onnx.load(model(nodes, shape, constants, **more), f"{name}.onnx")
