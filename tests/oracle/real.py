"""The float32 counterpart of an int8 .tflite file: the same operators and shapes, real weights and activations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from .tflite_writer import Operator, Subgraph, Tensor, write

INTEGERS = {"INT8": np.int8, "INT32": np.int32}


def real(model: bytes) -> bytes:
    """Quantized tensors become float32, constants among them by their scales; pads with whole numbers."""
    schema = pytest.importorskip("ai_edge_litert.schema_py_generated")
    tree = schema.ModelT.InitFromObj(schema.Model.GetRootAs(model, 0))
    graph, types = tree.subgraphs[0], names_of(schema.TensorType)
    operators = [operator(schema, tree, op) for op in graph.operators]
    fills = {op.inputs[2] for op in operators if op.op == "PADV2"}
    tensors = [
        tensor(t, i, types[t.type], tree.buffers[t.buffer], fills) for i, t in enumerate(graph.tensors)
    ]
    ports = [[str(int(i)) for i in side] for side in (graph.inputs, graph.outputs)]
    return write(Subgraph(tensors, operators, *ports))


def names_of(enumeration: type) -> dict[int, str]:
    return {value: name for name, value in vars(enumeration).items() if not name.startswith("_")}


def tensor(t: Any, index: int, kind: str, buffer: Any, fills: set[str | None]) -> Tensor:
    shape = tuple(int(n) for n in t.shape) if t.shape is not None else ()
    dtype, q = INTEGERS.get(kind), t.quantization
    constant = t.buffer and buffer.data is not None and len(buffer.data)
    data = np.frombuffer(bytes(buffer.data), dtype).reshape(shape) if constant else None
    if q is None or q.scale is None or not len(q.scale):
        return Tensor(str(index), shape, np.dtype(dtype).name, data=data)
    if data is not None:
        numbers = dequantized(data, q)
        data = (np.rint(numbers) if str(index) in fills else numbers).astype(np.float32)
    return Tensor(str(index), shape, "float32", data=data)


def operator(schema: Any, tree: Any, op: Any) -> Operator:
    code = tree.operatorCodes[op.opcodeIndex]
    kind = names_of(schema.BuiltinOperator)[max(code.builtinCode, code.deprecatedBuiltinCode)]
    options = {} if op.builtinOptions is None else vars(op.builtinOptions)
    attributes = {
        k[0].upper() + k[1:]: v for k, v in options.items() if v is not None and not isinstance(v, list)
    }
    attributes |= {k[0].upper() + k[1:]: v for k, v in options.items() if isinstance(v, list)}
    name = type(op.builtinOptions).__name__.removesuffix("T") if options else ""
    inputs = [None if i < 0 else str(int(i)) for i in op.inputs]
    return Operator(kind, inputs, [str(int(i)) for i in op.outputs], name, attributes)


def dequantized(values: np.ndarray, q: Any) -> np.ndarray:
    shape = [1] * values.ndim
    if len(q.scale) > 1:
        shape[q.quantizedDimension] = -1
    scale, zero = np.array(q.scale, np.float64), np.array(q.zeroPoint, np.float64)
    return (values - zero.reshape(shape)) * scale.reshape(shape)


def outputs(model: bytes, inputs: list[np.ndarray]) -> list[np.ndarray]:
    """One inference by TensorFlow Lite's reference kernels: the fast ones crash on some dilated windows."""
    interpreter = pytest.importorskip("tflite_runtime.interpreter")
    resolver = interpreter.OpResolverType.BUILTIN_REF
    runner = interpreter.Interpreter(model_content=model, experimental_op_resolver_type=resolver)
    runner.allocate_tensors()
    for port, values in zip(runner.get_input_details(), inputs, strict=True):
        runner.set_tensor(port["index"], values)
    runner.invoke()
    return [runner.get_tensor(port["index"]) for port in runner.get_output_details()]
