"""Writes a .tflite file from a plain description: tensors, operators, subgraphs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import flatbuffers
import numpy as np
import tflite

TYPES = {
    "float32": tflite.TensorType.FLOAT32,
    "float16": tflite.TensorType.FLOAT16,
    "int4": tflite.TensorType.INT4,
    "int8": tflite.TensorType.INT8,
    "uint8": tflite.TensorType.UINT8,
    "int16": tflite.TensorType.INT16,
    "int32": tflite.TensorType.INT32,
    "int64": tflite.TensorType.INT64,
    "bool": tflite.TensorType.BOOL,
    "resource": tflite.TensorType.RESOURCE,
}


@dataclass(frozen=True)
class Tensor:
    """One tensor. `scale` None means not quantized; several scales run along `quantized_dimension`."""

    name: str
    shape: tuple[int, ...]
    dtype: str = "int8"
    scale: float | Sequence[float] | None = None
    zero_point: int | Sequence[int] = 0
    quantized_dimension: int = 0
    data: np.ndarray | None = None


@dataclass(frozen=True)
class Operator:
    """One builtin operator. Tensors by name, None for an optional input left out.

    `options` names the schema's options table, `attributes` its fields in the schema's CamelCase.
    """

    op: str
    inputs: Sequence[str | None]
    outputs: Sequence[str]
    options: str = ""
    attributes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Subgraph:
    tensors: Sequence[Tensor]
    operators: Sequence[Operator]
    inputs: Sequence[str]
    outputs: Sequence[str]
    name: str = "main"


def write(*subgraphs: Subgraph) -> bytes:
    """The bytes of a .tflite file; subgraph 0 is the one that is run."""
    b = flatbuffers.Builder(1024)
    buffers: list[bytes] = [b""]  # buffer 0 is the empty one, by the schema's convention
    codes: list[int] = []
    tables = [_subgraph(b, graph, buffers, codes) for graph in subgraphs]
    subgraph_vector = _offsets(b, tables)
    code_vector = _offsets(
        b,
        [
            _table(
                b,
                "OperatorCode",
                {"DeprecatedBuiltinCode": min(code, 127), "BuiltinCode": code, "Version": 1},
            )
            for code in codes
        ],
    )
    buffer_vector = _offsets(b, [_table(b, "Buffer", {"Data": data} if data else {}) for data in buffers])
    b.Finish(
        _table(
            b,
            "Model",
            {
                "Version": 3,
                "OperatorCodes": _Offset(code_vector),
                "Subgraphs": _Offset(subgraph_vector),
                "Description": "offramp test",
                "Buffers": _Offset(buffer_vector),
            },
        ),
        file_identifier=b"TFL3",
    )
    return bytes(b.Output())


class _Offset(int):
    """An offset of something already written, as opposed to a number to be stored."""


def _subgraph(b: flatbuffers.Builder, graph: Subgraph, buffers: list[bytes], codes: list[int]) -> int:
    index = {tensor.name: i for i, tensor in enumerate(graph.tensors)}
    assert len(index) == len(graph.tensors), "two tensors of one name"
    tensors = _offsets(b, [_tensor(b, tensor, buffers) for tensor in graph.tensors])
    operators = _offsets(b, [_operator(b, operator, index, codes) for operator in graph.operators])
    return _table(
        b,
        "SubGraph",
        {
            "Tensors": _Offset(tensors),
            "Inputs": [index[name] for name in graph.inputs],
            "Outputs": [index[name] for name in graph.outputs],
            "Operators": _Offset(operators),
            "Name": graph.name,
        },
    )


def _tensor(b: flatbuffers.Builder, tensor: Tensor, buffers: list[bytes]) -> int:
    fields: dict[str, Any] = {"Shape": list(tensor.shape), "Type": TYPES[tensor.dtype], "Name": tensor.name}
    if tensor.data is not None:
        fields["Buffer"] = len(buffers)
        data = nibbles(tensor.data) if tensor.dtype == "int4" else np.ascontiguousarray(tensor.data)
        buffers.append(data.tobytes())
    if tensor.scale is not None:
        scales = np.atleast_1d(np.asarray(tensor.scale, np.float32))
        zero_points = np.broadcast_to(np.asarray(tensor.zero_point, np.int64), scales.shape)
        fields["Quantization"] = _Offset(
            _table(
                b,
                "QuantizationParameters",
                {"Scale": scales, "ZeroPoint": zero_points, "QuantizedDimension": tensor.quantized_dimension},
            )
        )
    return _table(b, "Tensor", fields)


def nibbles(values: np.ndarray) -> np.ndarray:
    """Int4 values two a byte, low nibble first."""
    flat = values.astype(np.uint8).reshape(-1) & 15
    pairs = np.append(flat, np.zeros(len(flat) % 2, np.uint8)).reshape(-1, 2)
    return pairs[:, 0] | pairs[:, 1] << 4


def _operator(b: flatbuffers.Builder, operator: Operator, index: dict[str, int], codes: list[int]) -> int:
    code = getattr(tflite.BuiltinOperator, operator.op)
    if code not in codes:
        codes.append(code)
    fields: dict[str, Any] = {
        "OpcodeIndex": codes.index(code),
        "Inputs": [-1 if name is None else index[name] for name in operator.inputs],
        "Outputs": [index[name] for name in operator.outputs],
    }
    if operator.options:
        fields["BuiltinOptionsType"] = getattr(tflite.BuiltinOptions, operator.options)
        fields["BuiltinOptions"] = _Offset(_table(b, operator.options, operator.attributes))
    return _table(b, "Operator", fields)


def _table(b: flatbuffers.Builder, name: str, fields: dict[str, Any]) -> int:
    """Writes one schema table; strings and vectors first, since FlatBuffers forbids nesting."""
    written = {key: _child(b, value) for key, value in fields.items()}
    getattr(tflite, f"{name}Start")(b)
    for key, value in written.items():
        getattr(tflite, f"{name}Add{key}")(b, value)
    return int(getattr(tflite, f"{name}End")(b))


def _child(b: flatbuffers.Builder, value: Any) -> Any:
    if isinstance(value, str):
        return b.CreateString(value)
    if isinstance(value, bytes):
        return _aligned_bytes(b, value)
    if isinstance(value, list):
        return b.CreateNumpyVector(np.asarray(value, np.int32))
    if isinstance(value, np.ndarray):
        return b.CreateNumpyVector(np.ascontiguousarray(value))
    return value


def _aligned_bytes(b: flatbuffers.Builder, data: bytes) -> int:
    """Constants are read in place, so the schema has them 16-byte aligned."""
    b.StartVector(1, len(data), 16)
    b.head -= len(data)
    b.Bytes[b.head : b.head + len(data)] = data
    return int(b.EndVector())


def _offsets(b: flatbuffers.Builder, offsets: list[int]) -> int:
    b.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        b.PrependUOffsetTRelative(offset)
    return int(b.EndVector())
