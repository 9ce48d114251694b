"""What the ONNX frontend refuses: by node, file and reason, one line each; damage never raises anything else."""

from __future__ import annotations

import contextlib
import sys
from typing import Any

import numpy as np
import pytest

from offramp.errors import UserError
from offramp.frontends import onnx as frontend
from offramp.resources import root
from tests import three_forms
from tests.onnx_models import Node, model, onnx

IMAGE = (1, 3, 8, 8)
W = np.ones((4, 3, 3, 3), np.float32)
ONE = np.float32([1])
CASES: dict[str, tuple[list[Node], tuple[Any, ...], dict[str, Any], dict[str, Any], str]] = {
    "unknown op": ([("Erf", "x", "y", {"name": "e1"})], IMAGE, {}, {}, r"m.onnx: Erf \(e1\) is not supported"),
    "unknown domain": ([("ai.own:Relu", "x", "y", {})], IMAGE, {}, {}, r"Relu \(y\) is not supported"),
    "opset": ([("Relu", "x", "y", {})], IMAGE, {}, {"opset": 10}, "opset 10, 11 or later is needed"),
    "dynamic": ([("Relu", "x", "y", {})], (1, 3, "height", 8), {}, {}, r"dynamic shape \[1, 3, 'height', 8\]"),
    "batch": ([("Relu", "x", "y", {})], (4, 3, 8, 8), {}, {}, "input x has a batch of 4, allowed is 1"),
    "computed weights": (
        [("Relu", "x", "w", {}), ("Conv", "x w", "y", {})], IMAGE, {}, {}, "weights that are computed",
    ),
    "product": ([("MatMul", "x x", "y", {})], (1, 4, 4), {}, {}, "multiplies two computed tensors"),
    "clip": ([("Clip", "x l h", "y", {})], IMAGE, {"l": ONE * 0, "h": ONE * 3}, {}, r"clips to 0 .. 3"),
    "double": ([("Add", "x c", "y", {})], IMAGE, {"c": np.float64([1])}, {}, "c is DOUBLE, FLOAT is needed"),
    "half": ([("Add", "x c", "y", {})], IMAGE, {"c": np.float16([1])}, {}, "c is FLOAT16, FLOAT is needed"),
    "reflect": (
        [("Pad", "x p", "y", {"mode": "reflect"})], IMAGE, {"p": np.zeros(8, np.int64)}, {}, "pads by reflect",
    ),
    "cubic": (
        [("Resize", "x _ s", "y", {"mode": "cubic"})], IMAGE, {"s": np.float32([1, 1, 2, 2])}, {}, "resizes by cubic",
    ),
    "huge image": (
        [("Resize", "x _ s", "y", {})], IMAGE, {"s": np.float32([1, 1, 1e9, 1])}, {}, "makes an image of",
    ),
    "slopes": (
        [("PRelu", "x s", "y", {})], IMAGE, {"s": np.float32([[[1]], [[2]], [[3]]])}, {}, "has several slopes",
    ),
    "training": (
        [("BatchNormalization", "x a a a a", "y", {"training_mode": 1})],
        IMAGE, {"a": np.ones(3, np.float32)}, {}, "is in training mode",
    ),
    "half quantized": (
        [("QuantizeLinear", "x s z", "q", {}), ("DequantizeLinear", "q s z", "d", {}), ("Conv", "d w", "y", {})],
        IMAGE, {"s": np.float32(0.1), "z": np.int8(0), "w": W}, {}, "float32 in a quantized model",
    ),
    "wide quantized": (
        [("QuantizeLinear", "x s z", "q", {}), ("DequantizeLinear", "q s z", "y", {})],
        IMAGE, {"s": np.float32(0.1), "z": np.int16(0)}, {"opset": 21}, "quantizes to int16",
    ),
    "asymmetric weights": (
        [
            ("QuantizeLinear", "x s z", "q", {}), ("DequantizeLinear", "q s z", "d", {}),
            ("DequantizeLinear", "w s z", "v", {}), ("Conv", "d v", "c", {}), ("QuantizeLinear", "c s z", "y", {}),
        ],
        IMAGE,
        {"s": np.float32(0.1), "z": np.uint8(3), "w": np.full((4, 3, 3, 3), 250, np.uint8)},
        {}, "weights from 247 to 247 around their zero point",
    ),
    "dangling": ([("Relu", "nothing", "y", {})], IMAGE, {}, {}, "reads nothing, which nothing makes"),
    "no output": ([("Relu", "x", "z", {})], IMAGE, {}, {}, "output y is never computed"),
    "channels": ([("Conv", "x w", "y", {})], (1, 5, 8, 8), {"w": W}, {}, r"has weights \[4, 3, 3, 3\] in 1 groups"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_refusal_names_the_culprit(name: str) -> None:
    nodes, shape, constants, more, message = CASES[name]
    with pytest.raises(UserError, match=message) as caught:
        frontend.load(model(nodes, shape, constants, **more), "m.onnx")
    assert caught.value.hint and "\n" not in caught.value.message


def test_supported_ops_stand_in_the_hint() -> None:
    with pytest.raises(UserError) as caught:
        frontend.load(model([("Erf", "x", "y", {})], IMAGE), "m.onnx")
    assert all(op in caught.value.hint for op in ("Conv", "QLinearConv", "Resize"))


def test_the_documentation_names_every_operator() -> None:
    told = set((root() / "docs/model-files.md").read_text().replace(";", " ").replace(".", " ").split())
    assert set(frontend.CONVERTERS) <= told


def test_data_in_another_file() -> None:
    made = onnx.load_model_from_string(model([("Conv", "x w", "y", {})], IMAGE, {"w": W}))
    tensor = made.graph.initializer[0]
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="weights.bin")
    with pytest.raises(UserError, match="the data of w is in another file"):
        frontend.load(made.SerializeToString(), "m.onnx")


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(UserError, match="needs the package onnx") as caught:
        frontend.load(b"", "m.onnx")
    assert caught.value.hint == "pip install 'offramp[onnx]'"


@pytest.fixture(scope="module")
def whole() -> bytes:
    return three_forms.as_onnx(three_forms.network())


def test_truncated_and_random_files(whole: bytes) -> None:
    random = np.random.default_rng(1)
    for data in [b"", b"x", *[whole[: len(whole) * i // 40] for i in range(40)]]:
        with pytest.raises(UserError):
            frontend.load(data, "m.onnx")
    for _ in range(200):
        with pytest.raises(UserError):
            frontend.load(random.bytes(int(random.integers(1, 400))), "m.onnx")


def test_a_damaged_file_is_read_or_refused(whole: bytes) -> None:
    """Mutants of one to four bytes, mostly where the structure is; anything but a UserError is ours."""
    quantized = model(*CASES["asymmetric weights"][:3])
    random = np.random.default_rng(2)
    for data, count in ((whole, 40), (quantized, 150)):
        for _ in range(count):
            mutant = np.frombuffer(data, np.uint8).copy()
            places = random.integers(len(mutant), size=random.integers(1, 5))
            if random.random() < 0.7:
                places = places % 600
            mutant[places] = random.integers(256, size=len(places))
            with contextlib.suppress(UserError):
                frontend.load(mutant.tobytes(), "m.onnx")
