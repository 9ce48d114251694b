"""Nodes of an ONNX graph that depend on constants and shapes alone, evaluated while the file is read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from offramp.ops.op import Array

FOLDED = frozenset(
    [
        "Abs",
        "Add",
        "And",
        "Cast",
        "Ceil",
        "Concat",
        "ConstantOfShape",
        "Div",
        "Equal",
        "Expand",
        "Flatten",
        "Floor",
        "Gather",
        "Greater",
        "Identity",
        "Less",
        "Max",
        "Min",
        "Mod",
        "Mul",
        "Neg",
        "Not",
        "Or",
        "Pow",
        "Range",
        "Reciprocal",
        "ReduceMax",
        "ReduceMin",
        "ReduceProd",
        "ReduceSum",
        "Reshape",
        "Round",
        "Slice",
        "Split",
        "Sqrt",
        "Squeeze",
        "Sub",
        "Tile",
        "Transpose",
        "Unsqueeze",
        "Where",
    ]
)
GROWING = ("ConstantOfShape", "Expand", "Range", "Tile")
MOST_ELEMENTS = 1 << 20  # of what a growing node may make


def evaluated(node: Any, opset: int, inputs: Sequence[Array | None]) -> list[Array] | None:
    """The outputs of a node whose inputs are all known; None where it is of no foldable kind or grows too large."""
    if node.op_type not in FOLDED or node.domain not in ("", "ai.onnx"):
        return None
    if node.op_type in GROWING and growth(node.op_type, inputs) > MOST_ELEMENTS:
        return None
    import onnx
    from onnx.reference import ReferenceEvaluator

    given = {name: x for name, x in zip(node.input, inputs, strict=True) if x is not None}
    ports = [onnx.helper.make_tensor_value_info(name, element_type(x), x.shape) for name, x in given.items()]
    results = [onnx.helper.make_tensor_value_info(name, 0, None) for name in node.output]
    graph = onnx.helper.make_graph([node], "constant", ports, results)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)])
    return [np.asarray(y) for y in ReferenceEvaluator(model).run(None, dict(given))]


def element_type(x: Array) -> int:
    import onnx

    return int(onnx.helper.np_dtype_to_tensor_dtype(x.dtype))


def growth(kind: str, inputs: Sequence[Array | None]) -> float:
    """Elements that a growing node would make, from above."""
    numbers = [np.asarray(x, np.float64).reshape(-1) for x in inputs if x is not None]
    if kind == "Range":
        start, limit, delta = (float(x[0]) for x in numbers)
        return abs(limit - start) / max(abs(delta), 1e-9)
    base = max(1, numbers[0].size) if kind != "ConstantOfShape" else 1
    return base * math.prod(max(abs(float(n)), 1.0) for n in numbers[-1])
