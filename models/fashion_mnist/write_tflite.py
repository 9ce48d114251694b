"""Write a list of quantized tensors and operators as a .tflite file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import flatbuffers
import numpy as np
import tflite

SCHEMA_VERSION = 3
BUFFER_ALIGNMENT = 16  # what the schema asks for, so that weights can be read in place
TYPES = {"int8": tflite.TensorType.INT8, "int32": tflite.TensorType.INT32}


@dataclass(frozen=True)
class Tensor:
    """`scale` has one entry, or one for each index along `axis`; `data` is None for activations."""

    name: str
    shape: tuple[int, ...]
    scale: np.ndarray | None = None
    zero_point: int = 0
    axis: int = 0
    data: np.ndarray | None = None


@dataclass(frozen=True)
class Operator:
    """One operator: its schema name, the schema name of its options with their fields, and tensor names."""

    kind: str
    inputs: tuple[str, ...]
    output: str
    options_kind: str
    options: dict[str, Any] = field(default_factory=dict)
    version: int = 1


def table(builder: flatbuffers.Builder, kind: str, **fields: Any) -> int:
    """Add one FlatBuffers table; vectors and strings among `fields` are offsets already."""
    getattr(tflite, f"{kind}Start")(builder)
    for name, value in fields.items():
        getattr(tflite, f"{kind}Add{name}")(builder, value)
    return int(getattr(tflite, f"{kind}End")(builder))


def vector(builder: flatbuffers.Builder, values: Any, dtype: str) -> int:
    return int(builder.CreateNumpyVector(np.asarray(values, dtype)))


def offsets(builder: flatbuffers.Builder, values: list[int]) -> int:
    builder.StartVector(4, len(values), 4)
    for value in reversed(values):
        builder.PrependUOffsetTRelative(value)
    return int(builder.EndVector())


def aligned_bytes(builder: flatbuffers.Builder, raw: bytes) -> int:
    builder.StartVector(1, len(raw), BUFFER_ALIGNMENT)
    builder.head -= len(raw)
    builder.Bytes[builder.head : builder.head + len(raw)] = raw
    return int(builder.EndVector())


def add_tensor(builder: flatbuffers.Builder, tensor: Tensor, buffer: int) -> int:
    dtype = "int8" if tensor.data is None else str(tensor.data.dtype)
    fields: dict[str, Any] = {"Name": builder.CreateString(tensor.name)}
    fields["Shape"] = vector(builder, tensor.shape, "int32")
    if tensor.scale is not None:
        scale = vector(builder, tensor.scale, "float32")
        zero_point = vector(builder, np.full(len(tensor.scale), tensor.zero_point), "int64")
        fields["Quantization"] = table(
            builder,
            "QuantizationParameters",
            Scale=scale,
            ZeroPoint=zero_point,
            QuantizedDimension=tensor.axis,
        )
    return table(builder, "Tensor", **fields, Type=TYPES[dtype], Buffer=buffer)


def add_operator(builder: flatbuffers.Builder, op: Operator, code: int, index: dict[str, int]) -> int:
    fields = {k: vector(builder, v, "int32") if isinstance(v, tuple) else v for k, v in op.options.items()}
    options = table(builder, op.options_kind, **fields)
    inputs = vector(builder, [index[name] for name in op.inputs], "int32")
    outputs = vector(builder, [index[op.output]], "int32")
    return table(
        builder,
        "Operator",
        OpcodeIndex=code,
        Inputs=inputs,
        Outputs=outputs,
        BuiltinOptionsType=getattr(tflite.BuiltinOptions, op.options_kind),
        BuiltinOptions=options,
    )


def add_code(builder: flatbuffers.Builder, kind: str, version: int) -> int:
    number = getattr(tflite.BuiltinOperator, kind)
    return table(builder, "OperatorCode", DeprecatedBuiltinCode=number, BuiltinCode=number, Version=version)


def write_tflite(
    tensors: list[Tensor], operators: list[Operator], input: str, output: str, description: str
) -> bytes:
    """The file's bytes. Operators are in execution order; buffer 0 is empty, as the schema prescribes."""
    builder = flatbuffers.Builder(1 << 16)
    index = {tensor.name: i for i, tensor in enumerate(tensors)}
    buffers = [table(builder, "Buffer")]
    tensor_offsets = []
    for tensor in tensors:
        number = 0
        if tensor.data is not None:
            number = len(buffers)
            raw = np.ascontiguousarray(tensor.data).tobytes()
            buffers.append(table(builder, "Buffer", Data=aligned_bytes(builder, raw)))
        tensor_offsets.append(add_tensor(builder, tensor, number))
    codes = sorted({(op.kind, op.version) for op in operators})
    operator_offsets = [
        add_operator(builder, op, codes.index((op.kind, op.version)), index) for op in operators
    ]
    subgraph = table(
        builder,
        "SubGraph",
        Tensors=offsets(builder, tensor_offsets),
        Inputs=vector(builder, [index[input]], "int32"),
        Outputs=vector(builder, [index[output]], "int32"),
        Operators=offsets(builder, operator_offsets),
        Name=builder.CreateString("main"),
    )
    model = table(
        builder,
        "Model",
        Version=SCHEMA_VERSION,
        OperatorCodes=offsets(builder, [add_code(builder, *code) for code in codes]),
        Subgraphs=offsets(builder, [subgraph]),
        Description=builder.CreateString(description),
        Buffers=offsets(builder, buffers),
    )
    builder.Finish(model, b"TFL3")
    return bytes(builder.Output())
