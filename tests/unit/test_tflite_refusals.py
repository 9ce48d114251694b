"""What the .tflite frontend refuses of the operators it knows, by operator, tensor and reason."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tflite as schema

from offramp.errors import UserError
from offramp.frontends import load_model, tflite
from tests.oracle.case import constant
from tests.oracle.cases import OPS
from tests.oracle.tflite_writer import Operator, Subgraph, Tensor, write


def int8(name: str, *shape: int) -> Tensor:
    return Tensor(name, shape, "int8", 0.1, 0)


def f32(name: str, *shape: int) -> Tensor:
    return Tensor(name, shape, "float32")


RELU = schema.ActivationFunctionType.RELU
BOUNDS = [constant("begin", [0, 0]), constant("end", [1, 2]), constant("strides", [1, 1])]
CASES = {
    "float inside": (
        [f32("x", 1, 4), int8("a", 1, 4), f32("b", 1, 4), int8("y", 1, 4)],
        [("QUANTIZE", "x", "a"), ("DEQUANTIZE", "a", "b"), ("QUANTIZE", "b", "y")],
        {},
        r"DEQUANTIZE \(operator 1, b\): a \(s8\) to b \(f32\) inside the model",
    ),
    "float half": (
        [f32("x", 1, 4), replace(int8("a", 1, 4), data=np.zeros((1, 4), np.int8)), f32("y", 1, 4)],
        [("ADD", "x a", "y")],
        {"options": "AddOptions"},
        r"x \(f32\) and a \(s8\): one type is needed",
    ),
    "two types": (
        [int8("x", 4), Tensor("y", (4,), "int16", 0.1, 0)],
        [("RELU", "x", "y")],
        {},
        "x is s8, output y is s16",
    ),
    "wide quantize": (
        [int8("x", 4), Tensor("y", (4,), "int32", 0.1, 0)],
        [("QUANTIZE", "x", "y")],
        {},
        "output y is s32, s8, u8 or s16 is needed",
    ),
    "computed int4": (
        [int8("x", 4), Tensor("y", (4,), "int4", 0.1, 0)],
        [("QUANTIZE", "x", "y")],
        {},
        "tensor y is computed in int4, only constants may be",
    ),
    "fused activation": (
        [int8("x", 1, 4), int8("y", 1, 8)],
        [("CONCATENATION", "x x", "y")],
        {"options": "ConcatenationOptions", "attributes": {"Axis": 1, "FusedActivationFunction": RELU}},
        "a fused relu is not supported here",
    ),
    "ellipsis": (
        [int8("x", 1, 4), *BOUNDS, int8("y", 1, 2)],
        [("STRIDED_SLICE", "x begin end strides", "y")],
        {"options": "StridedSliceOptions", "attributes": {"EllipsisMask": 1}},
        "ellipsis and new axes are not supported",
    ),
    "axis": (
        [int8("x", 1, 4), constant("axes", [2]), int8("y", 1)],
        [("MEAN", "x axes", "y")],
        {"options": "ReducerOptions"},
        "axis 2 of a tensor of 2 axes",
    ),
    "computed axes": (
        [int8("x", 1, 4), Tensor("axes", (1,), "int32"), int8("y", 1)],
        [("MEAN", "x axes", "y")],
        {"options": "ReducerOptions"},
        r"input 1 \(axes\) is computed, a constant is needed",
    ),
    "no stride": (
        [int8("x", 1, 4, 4, 1), int8("y", 1, 4, 4, 1)],
        [("MAX_POOL_2D", "x", "y")],
        {"options": "Pool2DOptions", "attributes": {"FilterHeight": 1, "FilterWidth": 1}},
        "a stride, dilation or filter of 0, at least 1 is needed",
    ),
    "two images": (
        [int8("x", 2, 4, 4, 1), int8("y", 2, 4, 4, 1)],
        [("MAX_POOL_2D", "x", "y")],
        {"options": "Pool2DOptions", "attributes": {"FilterHeight": 1, "FilterWidth": 1}},
        "input x has a batch of 2, allowed is 1",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_refusal_names_the_culprit(name: str) -> None:
    tensors, ops, last, message = CASES[name]
    operators = [Operator(kind, reads.split(), [result]) for kind, reads, result in ops]
    operators[-1] = replace(operators[-1], **last)
    fed = [t.name for t in tensors if t.data is None and t.name in ("x", "axes")]
    model = write(Subgraph(tensors, operators, fed, ["y"]))
    with pytest.raises(UserError, match=message):
        tflite.load(model, "m.tflite")


@pytest.mark.parametrize("op", ["CONV_2D", "MAX_POOL_2D", "VARIABLES"])
def test_a_damaged_file_is_read_or_refused(tmp_path: Path, op: str) -> None:
    """500 mutants of one to four bytes: anything but a UserError is ours and fails the test."""
    model, random, path = next(OPS[op](0)).model, np.random.default_rng(5), tmp_path / "m.tflite"
    for _ in range(500):
        mutant = np.frombuffer(model, np.uint8).copy()
        places = random.integers(len(mutant), size=random.integers(1, 5))
        mutant[places] = random.integers(256, size=len(places))
        path.write_bytes(mutant.tobytes())
        with contextlib.suppress(UserError):
            load_model(path)
