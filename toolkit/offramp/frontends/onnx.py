"""Reads .onnx files, fp32 and quantized (QDQ and QOperator), opset 11 on, into a canonical graph."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

import numpy as np

from offramp.errors import UserError
from offramp.frontends import onnx_ops, onnx_quantized
from offramp.frontends.channels_first import Builder
from offramp.frontends.onnx_constants import evaluated
from offramp.frontends.onnx_node import Node, Results
from offramp.ir import Graph
from offramp.ops.op import Array
from offramp.passes.canonical import canonical
from offramp.passes.integers import integers

OLDEST_OPSET = 11
CONVERTERS: dict[str, Callable[[Node], Results]] = {**onnx_ops.CONVERTERS, **onnx_quantized.CONVERTERS}
DOMAINS = ("", "ai.onnx", "com.microsoft")
SUPPORTED = ", ".join(sorted({*CONVERTERS, "Constant", "Shape"}))
DAMAGE = (
    *(
        struct.error,
        IndexError,
        KeyError,
        ValueError,
        TypeError,
        OverflowError,
        AttributeError,
        AssertionError,
    ),
    *(ZeroDivisionError, RuntimeError, MemoryError, NotImplementedError),
)


def load(data: bytes, path: str) -> Graph:
    """The graph of an .onnx file's bytes; `path` is for messages. UserError where it cannot be expressed."""
    try:
        import onnx
        from google.protobuf.message import DecodeError
    except ImportError as error:
        raise UserError(
            f"{path}: reading .onnx needs the package onnx", "pip install 'offramp[onnx]'"
        ) from error
    try:
        model = onnx.load_model_from_string(data)
        if model.functions:
            model = onnx.inliner.inline_local_functions(model)
    except (DecodeError, *DAMAGE) as error:
        raise damaged(path, data, error) from error
    if not model.graph.node and not model.graph.input:
        raise UserError(
            f"{path}: not an .onnx file, it holds no graph", "pass a model that an ONNX exporter wrote"
        )
    try:
        return Reader(model, path, len(data)).graph()
    except DAMAGE as error:
        raise damaged(path, data, error) from error


def damaged(path: str, data: bytes, error: BaseException) -> UserError:
    told = " ".join(str(error).split())[:200]
    return UserError(
        f"{path}: truncated or damaged .onnx file, {len(data)} bytes ({told})", "export it again"
    )


@dataclass
class Reader:
    """One pass over the nodes; values by their names in the file."""

    model: Any
    path: str
    size: int
    values: dict[str, int] = field(default_factory=dict)

    def graph(self) -> Graph:
        g = self.model.graph
        self.builder = Builder(self.path)
        self.opset = self.opset_of()
        for tensor in g.initializer:
            self.values[tensor.name] = self.builder.constant(self.array(tensor), tensor.name)
        if g.sparse_initializer:
            raise UserError(f"{self.path}: sparse initializers are not supported", "export dense weights")
        inputs = [self.input(port) for port in g.input if port.name not in self.values]
        for index, node in enumerate(g.node):
            self.node(node, index)
        missing = [port.name for port in g.output if port.name not in self.values]
        if missing:
            raise UserError(f"{self.path}: output {missing[0]} is never computed", "export the model again")
        outputs = [self.values[port.name] for port in g.output]
        built = self.builder.graph(
            PurePath(self.path).stem,
            inputs,
            outputs,
            {
                "source": PurePath(self.path).name,
                "source_bytes": str(self.size),
                "outputs": ",".join(port.name for port in g.output),
            },
        )
        if any(t.quantization for t in built.tensors):
            return integers(built, self.path)
        return canonical(built, channels_first=True)

    def opset_of(self) -> int:
        found = [entry.version for entry in self.model.opset_import if entry.domain in ("", "ai.onnx")]
        if not found or max(found) < OLDEST_OPSET:
            raise UserError(
                f"{self.path}: opset {max(found, default=0)}, {OLDEST_OPSET} or later is needed",
                "export with a later opset, or convert it with onnx.version_converter",
            )
        return int(max(found))

    def array(self, tensor: Any) -> Array:
        import onnx

        if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
            raise UserError(
                f"{self.path}: the data of {tensor.name} is in another file",
                "save it in one file: onnx.save(onnx.load(MODEL), OUT, save_as_external_data=False)",
            )
        if tensor.data_type in (onnx.TensorProto.DOUBLE, onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16):
            kind = onnx.TensorProto.DataType.Name(tensor.data_type)
            raise UserError(
                f"{self.path}: {tensor.name} is {kind}, FLOAT is needed", "export the model as float32"
            )
        return np.asarray(onnx.numpy_helper.to_array(tensor))

    def input(self, port: Any) -> int:
        import onnx

        t = port.type.tensor_type
        kinds = (onnx.TensorProto.FLOAT, onnx.TensorProto.UINT8, onnx.TensorProto.INT8)
        if t.elem_type not in kinds:
            kind = onnx.TensorProto.DataType.Name(t.elem_type)
            raise UserError(
                f"{self.path}: input {port.name} is {kind}",
                "FLOAT, or of a quantized model UINT8 or INT8, is needed",
            )
        dims = [d.dim_value if d.HasField("dim_value") else -1 for d in t.shape.dim]
        if any(n < 1 for n in dims[1:]) or not t.HasField("shape"):
            shown = [d.dim_value or d.dim_param or "?" for d in t.shape.dim]
            raise UserError(
                f"{self.path}: input {port.name} has the dynamic shape {shown}",
                "only the batch may be open: export the model with fixed sizes",
            )
        if len(dims) > 1 and dims[0] > 1:
            raise UserError(
                f"{self.path}: input {port.name} has a batch of {dims[0]}, allowed is 1",
                "export the model for one input at a time, or with an open batch",
            )
        shape = [1, *dims[1:]] if dims and dims[0] < 1 else dims
        self.values[port.name] = self.builder.input(port.name, shape)
        return self.values[port.name]

    def node(self, proto: Any, index: int) -> None:
        b = self.builder
        b.where = f"{proto.op_type} ({proto.name or next(iter(proto.output), '') or f'node {index}'})"
        unknown = [name for name in proto.input if name and name not in self.values]
        if unknown:
            raise UserError(
                f"{self.path}: {b.where} reads {unknown[0]}, which nothing makes", "export it again"
            )
        node = Node(self, proto)
        results = self.known(node)
        if results is None:
            convert = CONVERTERS.get(proto.op_type) if proto.domain in DOMAINS else None
            if convert is None:
                raise UserError(f"{self.path}: {b.where} is not supported", f"supported: {SUPPORTED}")
            found = convert(node)
            results = [found] if isinstance(found, int) else found
        for name, value in zip(proto.output, results, strict=False):
            self.values[name] = value

    def known(self, node: Node) -> list[int] | None:
        """The results of a node that constants and shapes alone decide."""
        b, proto = self.builder, node.proto
        if proto.op_type == "Constant":
            return [b.constant(self.constant(node), proto.output[0])]
        if proto.op_type == "Shape":
            shape = b.shape(node.x(0))[slice(node.get("start", 0), node.get("end", None))]
            return [b.constant(np.array(shape, np.int64), proto.output[0])]
        inputs = [b.data(self.values[name]) if name else None for name in proto.input]
        if any(x is None for x, name in zip(inputs, proto.input, strict=True) if name) or not (
            inputs or proto.input
        ):
            return None
        if any(b.tensors[self.values[name]].quantization for name in proto.input if name):
            return None
        found = evaluated(proto, self.opset, inputs)
        return None if found is None else [b.constant(x, n) for x, n in zip(found, proto.output, strict=True)]

    def constant(self, node: Node) -> Array:
        for key in ("value_float", "value_floats"):
            if key in node.attributes:
                return np.asarray(node.attributes[key], np.float32)
        for key in ("value_int", "value_ints"):
            if key in node.attributes:
                return np.asarray(node.attributes[key], np.int64)
        if "value" not in node.attributes:
            raise self.builder.refuse("holds neither numbers nor a tensor", "export the model again")
        return self.array(node.attributes["value"])
