"""The graph file .ofg: graph -> bytes -> graph is exact. See firmware/BLOB.md."""

from __future__ import annotations

import dataclasses
import struct
from typing import Any, get_type_hints

import flatbuffers
import numpy as np

from offramp.errors import UserError
from offramp.ir import CONFIDENCES, DTYPES, Exit, Graph, Op, Quantization, Tensor, Variable
from offramp.ops import OPS
from offramp.schema import aligned_bytes, fb, vector

MAGIC = b"OFG1"
DTYPE_CODES = {name: getattr(fb.DType, name) for name in DTYPES}
DTYPE_NAMES = {code: name for name, code in DTYPE_CODES.items()}


def dump(graph: Graph) -> bytes:
    """The file's bytes; equal graphs give equal bytes."""
    b = flatbuffers.Builder(1 << 16)
    root = dump_graph(b, graph)
    fb.OffgraphFileStart(b)
    fb.OffgraphFileAddGraph(b, root)
    b.Finish(fb.OffgraphFileEnd(b), file_identifier=MAGIC)
    return bytes(b.Output())


def dump_graph(b: Any, graph: Graph) -> int:
    members = vector(b, [dump_graph(b, member) for member in graph.members]) if graph.members else 0
    exits = vector(b, [dump_exit(b, e) for e in graph.exits]) if graph.exits else 0
    tensors = vector(b, [dump_tensor(b, t) for t in graph.tensors])
    ops = vector(b, [dump_op(b, op) for op in graph.ops])
    variables = vector(b, [dump_variable(b, v) for v in graph.variables])
    metadata = vector(b, [entry(b, k, v) for k, v in sorted(graph.metadata.items())])
    labels = vector(b, [b.CreateString(s) for s in graph.labels])
    inputs, outputs = ints(b, graph.inputs), ints(b, graph.outputs)
    name = b.CreateString(graph.name)
    fb.GraphStart(b)
    fb.GraphAddName(b, name)
    fb.GraphAddTensors(b, tensors)
    fb.GraphAddOps(b, ops)
    fb.GraphAddInputs(b, inputs)
    fb.GraphAddOutputs(b, outputs)
    fb.GraphAddVariables(b, variables)
    fb.GraphAddMetadata(b, metadata)
    fb.GraphAddLabels(b, labels)
    if members:
        fb.GraphAddMembers(b, members)
    if exits:
        fb.GraphAddExits(b, exits)
    return int(fb.GraphEnd(b))


def load(data: bytes, path: str) -> Graph:
    """The graph in a file's bytes; UserError where it is damaged or names an unknown op."""
    if data[4:8] != MAGIC:
        raise UserError(
            f"{path}: not an .ofg file (no {MAGIC.decode()} mark at byte 4)", "pass a file that offramp wrote"
        )
    try:
        return load_graph(fb.OffgraphFile.GetRootAs(data, 0).Graph(), path)
    except (
        struct.error,
        IndexError,
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        OverflowError,
    ) as error:
        raise UserError(
            f"{path}: truncated or damaged .ofg file, {len(data)} bytes ({error})", "make it again"
        ) from error


def load_graph(g: Any, path: str) -> Graph:
    return Graph(
        text(g.Name()),
        tuple(load_tensor(g.Tensors(i)) for i in range(g.TensorsLength())),
        tuple(load_op(g.Ops(i), path) for i in range(g.OpsLength())),
        tuple(int(g.Inputs(i)) for i in range(g.InputsLength())),
        tuple(int(g.Outputs(i)) for i in range(g.OutputsLength())),
        tuple(
            Variable(text(g.Variables(i).Name()), g.Variables(i).Tensor()) for i in range(g.VariablesLength())
        ),
        tuple(text(g.Labels(i)) for i in range(g.LabelsLength())),
        {text(g.Metadata(i).Key()): text(g.Metadata(i).Value()) for i in range(g.MetadataLength())},
        tuple(load_graph(g.Members(i), path) for i in range(g.MembersLength())),
        tuple(load_exit(g.Exits(i)) for i in range(g.ExitsLength())),
    )


def text(raw: bytes | None) -> str:
    return (raw or b"").decode()


def ints(b: Any, values: tuple[int, ...]) -> int:
    return int(b.CreateNumpyVector(np.array(values, np.int32)))


def entry(b: Any, key: str, value: str) -> int:
    k, v = b.CreateString(key), b.CreateString(value)
    fb.EntryStart(b)
    fb.EntryAddKey(b, k)
    fb.EntryAddValue(b, v)
    return int(fb.EntryEnd(b))


def dump_tensor(b: Any, t: Tensor) -> int:
    name, shape = b.CreateString(t.name), ints(b, t.shape)
    data = aligned_bytes(b, np.ascontiguousarray(t.data).tobytes()) if t.data is not None else 0
    q = t.quantization
    scales = b.CreateNumpyVector(np.array(q.scales, np.float32)) if q else 0
    zeros = ints(b, q.zero_points) if q else 0
    storage = b.CreateString(t.storage) if t.storage else 0
    fb.GraphTensorStart(b)
    fb.GraphTensorAddName(b, name)
    fb.GraphTensorAddShape(b, shape)
    fb.GraphTensorAddDtype(b, DTYPE_CODES[t.dtype])
    if q:
        fb.GraphTensorAddScales(b, scales)
        fb.GraphTensorAddZeroPoints(b, zeros)
        fb.GraphTensorAddAxis(b, -1 if q.axis is None else q.axis)
    if t.data is not None:
        fb.GraphTensorAddData(b, data)
        fb.GraphTensorAddIsConstant(b, True)
    if t.storage:
        fb.GraphTensorAddStorage(b, storage)
    return int(fb.GraphTensorEnd(b))


def load_tensor(t: Any) -> Tensor:
    dtype = DTYPE_NAMES[t.Dtype()]
    shape = tuple(int(t.Shape(i)) for i in range(t.ShapeLength()))
    data = None
    if t.IsConstant():
        raw = t.DataAsNumpy().tobytes() if t.DataLength() else b""
        data = np.frombuffer(raw, DTYPES[dtype]).reshape(shape).copy()
        data.setflags(write=False)
    q = None
    if t.ScalesLength():
        scales = tuple(float(t.Scales(i)) for i in range(t.ScalesLength()))
        zeros = tuple(int(t.ZeroPoints(i)) for i in range(t.ZeroPointsLength()))
        q = Quantization(scales, zeros, None if t.Axis() < 0 else int(t.Axis()))
    return Tensor(text(t.Name()), shape, dtype, q, data, text(t.Storage()))


def dump_op(b: Any, op: Op) -> int:
    attributes = vector(
        b,
        [
            dump_attribute(b, f.name, getattr(op.attributes, f.name))
            for f in dataclasses.fields(op.attributes)
        ],
    )
    kind, name = b.CreateString(op.kind), b.CreateString(op.name)
    inputs, outputs = ints(b, op.inputs), ints(b, op.outputs)
    fb.GraphOpStart(b)
    fb.GraphOpAddOp(b, kind)
    fb.GraphOpAddName(b, name)
    fb.GraphOpAddInputs(b, inputs)
    fb.GraphOpAddOutputs(b, outputs)
    fb.GraphOpAddAttributes(b, attributes)
    return int(fb.GraphOpEnd(b))


def dump_attribute(b: Any, key: str, value: Any) -> int:
    name = b.CreateString(key)
    as_text = b.CreateString(value) if isinstance(value, str) else 0
    floats = b.CreateNumpyVector(np.array([value], np.float64)) if isinstance(value, float) else 0
    numbers = 0
    if isinstance(value, int | tuple):
        numbers = b.CreateNumpyVector(np.array(value if isinstance(value, tuple) else [value], np.int64))
    fb.AttributeStart(b)
    fb.AttributeAddKey(b, name)
    if isinstance(value, str):
        fb.AttributeAddText(b, as_text)
    elif isinstance(value, float):
        fb.AttributeAddFloats(b, floats)
    else:
        fb.AttributeAddInts(b, numbers)
    return int(fb.AttributeEnd(b))


def load_op(o: Any, path: str) -> Op:
    kind, name = text(o.Op()), text(o.Name())
    if kind not in OPS:
        raise UserError(
            f"{path}: op {kind} ({name}) is unknown to this version", f"known: {', '.join(sorted(OPS))}"
        )
    cls = OPS[kind].attributes
    hints = get_type_hints(cls)
    values = {text(o.Attributes(i).Key()): o.Attributes(i) for i in range(o.AttributesLength())}
    attributes = cls(**{key: load_attribute(a, hints[key]) for key, a in values.items()})
    return Op(
        kind,
        name,
        tuple(int(o.Inputs(i)) for i in range(o.InputsLength())),
        tuple(int(o.Outputs(i)) for i in range(o.OutputsLength())),
        attributes,
    )


def load_attribute(a: Any, hint: Any) -> Any:
    if hint is str:
        return text(a.Text())
    if hint is float:
        return float(a.Floats(0))
    if hint == int | float:
        return float(a.Floats(0)) if a.FloatsLength() else int(a.Ints(0))
    if hint in (int, bool):
        return hint(a.Ints(0))
    return tuple(int(a.Ints(i)) for i in range(a.IntsLength()))


def dump_variable(b: Any, v: Variable) -> int:
    name = b.CreateString(v.name)
    fb.GraphVariableStart(b)
    fb.GraphVariableAddName(b, name)
    fb.GraphVariableAddTensor(b, v.initial)
    return int(fb.GraphVariableEnd(b))


def dump_exit(b: Any, e: Exit) -> int:
    name = b.CreateString(e.name)
    fb.GraphExitStart(b)
    fb.GraphExitAddName(b, name)
    fb.GraphExitAddAnswer(b, e.answer)
    fb.GraphExitAddEstimate(b, e.estimate)
    fb.GraphExitAddConfidence(b, CONFIDENCES.index(e.confidence))
    fb.GraphExitAddThreshold(b, e.threshold)
    return int(fb.GraphExitEnd(b))


def load_exit(e: Any) -> Exit:
    return Exit(text(e.Name()), e.Answer(), e.Estimate(), CONFIDENCES[e.Confidence()], int(e.Threshold()))
