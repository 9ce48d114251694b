"""Small ONNX models from a list of nodes, and what onnxruntime computes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

onnx: Any = pytest.importorskip("onnx")
FLOAT, UINT8 = 1, 2
# (op, inputs, output or outputs, attributes); one in com.microsoft begins with its name and a colon
Node = tuple[str, str, str, dict[str, Any]]


def model(
    nodes: Sequence[Node],
    shape: Sequence[Any],
    constants: Mapping[str, Any] = {},
    opset: int = 17,
    outputs: str = "y",
    more: Mapping[str, Sequence[Any]] = {},
    dtype: int = FLOAT,
) -> bytes:
    """A model of input x (and `more`), constants and outputs by name; inputs of a node separated by blanks."""
    made = []
    for kind, reads, writes, attributes in nodes:
        domain, _, op = kind.rpartition(":")
        names = ["" if name == "_" else name for name in reads.split()]
        made.append(onnx.helper.make_node(op, names, writes.split(), domain=domain, **attributes))
    port = onnx.helper.make_tensor_value_info
    held = [onnx.numpy_helper.from_array(np.asarray(v), name) for name, v in constants.items()]
    inputs = [port("x", dtype, shape), *[port(name, FLOAT, s) for name, s in more.items()]]
    results = [onnx.helper.make_empty_tensor_value_info(name) for name in outputs.split()]
    graph = onnx.helper.make_graph(made, "net", inputs, results, held)
    opsets = [onnx.helper.make_opsetid("", opset), onnx.helper.make_opsetid("com.microsoft", 1)]
    return bytes(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString())


def run(data: bytes, *inputs: np.ndarray) -> list[np.ndarray]:
    ort = pytest.importorskip("onnxruntime")
    options = ort.SessionOptions()
    options.log_severity_level = 3
    session = ort.InferenceSession(data, options)
    names = [port.name for port in session.get_inputs()]
    found: list[np.ndarray] = session.run(None, dict(zip(names, inputs, strict=True)))
    return found
