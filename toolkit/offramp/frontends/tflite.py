"""Reads .tflite files (TensorFlow Lite schema 3), integer, float and hybrid, into a graph: one function an operator."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import PurePath
from typing import Any

import numpy as np
import tflite

from offramp.errors import UserError
from offramp.ir import DTYPES, Graph, Op, Quantization, Tensor, Variable
from offramp.ops.activation import LeakyRelu
from offramp.ops.add import Add
from offramp.ops.concatenation import Concatenation
from offramp.ops.fully_connected import FullyConnected
from offramp.ops.gemm import Window
from offramp.ops.mean import Mean
from offramp.ops.mul import Mul
from offramp.ops.op import NoAttributes
from offramp.ops.pad import Pad
from offramp.ops.pool_2d import Pool
from offramp.ops.reshape import Reshape
from offramp.ops.resize import Resize
from offramp.ops.softmax import Softmax
from offramp.ops.split import Split
from offramp.ops.strided_slice import StridedSlice
from offramp.ops.transpose import Transpose
from offramp.ops.variable import VariableName
from offramp.ops.verify import verify
from offramp.passes.canonical import canonical

DTYPE_OF = {
    tflite.TensorType.INT8: "s8",
    tflite.TensorType.UINT8: "u8",
    tflite.TensorType.INT16: "s16",
    tflite.TensorType.INT32: "s32",
    tflite.TensorType.FLOAT32: "f32",
    tflite.TensorType.BOOL: "bool8",
    tflite.TensorType.INT64: "s64",
    tflite.TensorType.INT4: "s8",  # constants alone, widened
    tflite.TensorType.FLOAT16: "f32",  # constants alone, widened
}
RESOURCE = tflite.TensorType.RESOURCE
OP_NAMES = {v: k for k, v in vars(tflite.BuiltinOperator).items() if not k.startswith("_")}
TYPE_NAMES = {v: k for k, v in vars(tflite.TensorType).items() if not k.startswith("_")}
ACTIVATIONS = {
    tflite.ActivationFunctionType.NONE: "none",
    tflite.ActivationFunctionType.RELU: "relu",
    tflite.ActivationFunctionType.RELU6: "relu6",
    tflite.ActivationFunctionType.RELU_N1_TO_1: "relu_n1_to_1",
}
PADDINGS = {tflite.Padding.SAME: "same", tflite.Padding.VALID: "valid"}


@dataclass
class Node:
    """One operator of the file with what its converter needs."""

    where: str  # file, operator name and index, for messages
    name: str
    inputs: list[int]
    outputs: list[int]
    options: Any
    reader: Reader

    def tensor(self, i: int) -> Tensor:
        return self.reader.tensors[self.inputs[i]]

    def numbers(self, i: int) -> list[int]:
        """A constant integer input (axes, paddings, shapes)."""
        data = self.tensor(i).data
        if data is None:
            raise UserError(
                f"{self.where}: input {i} ({self.tensor(i).name}) is computed, a constant is needed",
                "export the model with static shapes",
            )
        return [int(v) for v in data.reshape(-1)]

    def op(self, kind: str, attributes: Any, inputs: list[int] | None = None) -> Op:
        read = self.inputs if inputs is None else inputs
        first = self.reader.tensors[read[0]]
        for i in self.outputs:
            found = self.reader.tensors[i]
            if found.dtype != first.dtype and kind != "quantize":
                raise UserError(
                    f"{self.where}: {first.name} is {first.dtype}, output {found.name} is {found.dtype}",
                    "one type is needed: export the model with full int8 quantization",
                )
        return Op(kind, self.name, tuple(read), tuple(self.outputs), attributes)

    def axis(self, value: int, i: int = 0) -> int:
        """An axis of input i that may count from the end."""
        rank = len(self.tensor(i).shape)
        if not -rank <= value < rank:
            raise UserError(
                f"{self.where}: axis {value} of a tensor of {rank} axes", "export the model again"
            )
        return value % rank

    def one_image(self) -> None:
        """Kernels that slide a window take one image at a time."""
        x = self.tensor(0)
        if len(x.shape) == 4 and x.shape[0] != 1:
            raise UserError(
                f"{self.where}: input {x.name} has a batch of {x.shape[0]}, allowed is 1",
                "export the model for one input at a time",
            )

    def positive(self, *sizes: int) -> None:
        if min(sizes) < 1:
            raise UserError(
                f"{self.where}: a stride, dilation or filter of {min(sizes)}, at least 1 is needed",
                "export the model again",
            )

    def activation(self) -> str:
        code = self.options.FusedActivationFunction()
        if code not in ACTIVATIONS:
            raise UserError(
                f"{self.where}: fused activation {code} is not supported",
                f"supported: {', '.join(ACTIVATIONS.values())}",
            )
        return ACTIVATIONS[code]


def conv_2d(n: Node) -> Op:
    n.one_image()
    with_real_weights(n)
    o = n.options
    n.positive(o.StrideH(), o.StrideW(), o.DilationHFactor(), o.DilationWFactor())
    window = Window(
        o.StrideH(),
        o.StrideW(),
        o.DilationHFactor(),
        o.DilationWFactor(),
        PADDINGS[o.Padding()],
        n.activation(),
    )
    return n.op("conv_2d", window)


def depthwise_conv_2d(n: Node) -> Op:
    return Op("depthwise_conv_2d", n.name, tuple(n.inputs), tuple(n.outputs), conv_2d(n).attributes)


def with_real_weights(n: Node) -> None:
    """Hybrid layers, float32 by int8 weights: the weights become real numbers."""
    x, weights = n.tensor(0), n.tensor(1)
    if x.dtype == "f32" and weights.dtype == "s8" and weights.data is not None:
        n.inputs[1] = n.reader.dequantized(n.inputs[1])


def fully_connected(n: Node) -> Op:
    with_real_weights(n)
    if n.options.WeightsFormat() != 0:
        raise UserError(
            f"{n.where}: shuffled weights are not supported", "convert the model again with default options"
        )
    return n.op("fully_connected", FullyConnected(n.activation(), bool(n.options.KeepNumDims())))


def pool_2d(kind: str) -> Callable[[Node], Op]:
    def convert(n: Node) -> Op:
        n.one_image()
        o = n.options
        n.positive(o.StrideH(), o.StrideW(), o.FilterHeight(), o.FilterWidth())
        a = Pool(
            o.FilterHeight(), o.FilterWidth(), o.StrideH(), o.StrideW(), PADDINGS[o.Padding()], n.activation()
        )
        return n.op(kind, a)

    return convert


def reshape(n: Node) -> Op:
    # The output tensor holds the resolved shape, whatever -1 the shape operand or option had.
    return n.op("reshape", Reshape(n.reader.tensors[n.outputs[0]].shape), n.inputs[:1])


def softmax(n: Node) -> Op:
    return n.op("softmax", Softmax(float(n.options.Beta())))


def elementwise(kind: str, attributes: type) -> Callable[[Node], Op]:
    return lambda n: n.op(kind, attributes(n.activation()))


def plain(kind: str) -> Callable[[Node], Op]:
    return lambda n: n.op(kind, NoAttributes())


def leaky_relu(n: Node) -> Op:
    return n.op("leaky_relu", LeakyRelu(float(n.options.Alpha())))


def quantize(n: Node) -> Op:
    out = n.reader.tensors[n.outputs[0]]
    if out.dtype not in ("s8", "u8", "s16"):
        raise UserError(
            f"{n.where}: output {out.name} is {out.dtype}, s8, u8 or s16 is needed", "export an int8 model"
        )
    return n.op("quantize", NoAttributes())


def mean(n: Node) -> Op:
    axes = tuple(sorted({n.axis(a) for a in n.numbers(1)}))
    return n.op("mean", Mean(axes, bool(n.options.KeepDims())), n.inputs[:1])


def transpose(n: Node) -> Op:
    return n.op("transpose", Transpose(tuple(n.axis(a) for a in n.numbers(1))), n.inputs[:1])


def concatenation(n: Node) -> Op:
    if n.activation() != "none":
        raise UserError(
            f"{n.where}: a fused {n.activation()} is not supported here", "put it behind as an op of its own"
        )
    return n.op("concatenation", Concatenation(n.axis(n.options.Axis())))


def pad(n: Node) -> Op:
    amounts, x = n.numbers(1), n.tensor(0)
    value = n.numbers(2)[0] if len(n.inputs) > 2 else x.quantization.zero_point if x.quantization else 0
    if len(n.inputs) > 2 and n.tensor(2).dtype == "f32" and n.tensor(2).data != value:
        raise UserError(f"{n.where}: pads with {n.tensor(2).data}", "pad with a whole number, best with 0")
    return n.op("pad", Pad(tuple(amounts[0::2]), tuple(amounts[1::2]), value), n.inputs[:1])


def split(n: Node) -> Op:
    axis, length = n.axis(n.numbers(0)[0], 1), len(n.outputs)
    return n.op("split", Split(axis, (n.tensor(1).shape[axis] // length,) * length), n.inputs[1:2])


def split_v(n: Node) -> Op:
    axis, sizes = n.axis(n.numbers(2)[0]), n.numbers(1)
    rest = n.tensor(0).shape[axis] - sum(s for s in sizes if s >= 0)  # one size may be -1: what is left
    return n.op("split", Split(axis, tuple(rest if s < 0 else s for s in sizes)), n.inputs[:1])


def resize(kind: str) -> Callable[[Node], Op]:
    def convert(n: Node) -> Op:
        n.one_image()
        height, width = n.numbers(1)
        a = Resize(height, width, bool(n.options.AlignCorners()), bool(n.options.HalfPixelCenters()))
        return n.op(kind, a, n.inputs[:1])

    return convert


def strided_slice(n: Node) -> Op:
    o = n.options
    if o.EllipsisMask() or o.NewAxisMask():
        raise UserError(
            f"{n.where}: ellipsis and new axes are not supported", "reshape behind the slice instead"
        )
    begins, ends, strides = n.numbers(1), n.numbers(2), n.numbers(3)
    picked, kept = [], []
    for i, (length, begin, end, stride) in enumerate(
        zip(n.tensor(0).shape, begins, ends, strides, strict=True)
    ):
        if o.ShrinkAxisMask() >> i & 1:
            picked.append((begin % length, 1, 1))
            continue
        bounds = slice(
            None if o.BeginMask() >> i & 1 else begin,
            None if o.EndMask() >> i & 1 else end + begin * bool(o.Offset()),
            stride,
        )
        taken = range(*bounds.indices(length))
        picked.append((taken.start, len(taken), stride))
        kept.append(len(taken))
    begin_of, length_of, stride_of = zip(*picked, strict=True)
    return n.op("strided_slice", StridedSlice(begin_of, length_of, stride_of, tuple(kept)), n.inputs[:1])


CONVERTERS: dict[str, tuple[str | None, Callable[[Node], Op]]] = {
    "CONV_2D": ("Conv2DOptions", conv_2d),
    "DEPTHWISE_CONV_2D": ("DepthwiseConv2DOptions", depthwise_conv_2d),
    "FULLY_CONNECTED": ("FullyConnectedOptions", fully_connected),
    "AVERAGE_POOL_2D": ("Pool2DOptions", pool_2d("average_pool_2d")),
    "MAX_POOL_2D": ("Pool2DOptions", pool_2d("max_pool_2d")),
    "RESHAPE": (None, reshape),
    "SQUEEZE": (None, reshape),
    "SOFTMAX": ("SoftmaxOptions", softmax),
    "ADD": ("AddOptions", elementwise("add", Add)),
    "SUB": ("SubOptions", elementwise("sub", Add)),
    "MUL": ("MulOptions", elementwise("mul", Mul)),
    "MEAN": ("ReducerOptions", mean),
    "PAD": (None, pad),
    "PADV2": (None, pad),
    "TRANSPOSE": (None, transpose),
    "CONCATENATION": ("ConcatenationOptions", concatenation),
    "SPLIT": (None, split),
    "SPLIT_V": (None, split_v),
    "STRIDED_SLICE": ("StridedSliceOptions", strided_slice),
    "RESIZE_NEAREST_NEIGHBOR": ("ResizeNearestNeighborOptions", resize("resize_nearest_neighbor")),
    "RESIZE_BILINEAR": ("ResizeBilinearOptions", resize("resize_bilinear")),
    "RELU": (None, plain("relu")),
    "RELU6": (None, plain("relu6")),
    "LEAKY_RELU": ("LeakyReluOptions", leaky_relu),
    "HARD_SWISH": (None, plain("hard_swish")),
    "LOGISTIC": (None, plain("logistic")),
    "TANH": (None, plain("tanh")),
    "QUANTIZE": (None, quantize),
}
EDGE_OPS = ("QUANTIZE", "DEQUANTIZE")  # between float32 and integers: allowed at the graph's edges
STATE_OPS = ("VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE", "CALL_ONCE")
SUPPORTED = sorted({*CONVERTERS, *STATE_OPS, *EDGE_OPS})


def load(data: bytes, path: str) -> Graph:
    """The graph of a .tflite file's bytes; `path` is for messages. UserError where it cannot be expressed."""
    if len(data) < 16 or data[4:8] != b"TFL3":
        raise UserError(
            f"{path}: not a .tflite file (no TFL3 mark at byte 4)", "pass a TensorFlow Lite model"
        )
    try:
        return Reader(data, path).graph()
    except (
        struct.error,
        IndexError,
        KeyError,
        ValueError,
        TypeError,
        OverflowError,
        UnicodeDecodeError,
        AttributeError,
    ) as error:
        raise UserError(
            f"{path}: truncated or damaged .tflite file, {len(data)} bytes ({error})", "export it again"
        ) from error


@dataclass
class Reader:
    """One pass over the file; the graph grows in `tensors` and `ops`."""

    data: bytes
    path: str
    tensors: list[Tensor] = field(default_factory=list)
    ops: list[Op] = field(default_factory=list)
    inputs: list[int] = field(default_factory=list)
    outputs: list[int] = field(default_factory=list)
    handles: dict[int, str] = field(default_factory=dict)  # resource tensor -> variable
    variables: dict[str, int | None] = field(default_factory=dict)  # variable -> initial constant
    initial: dict[str, Tensor] = field(default_factory=dict)
    widened: int = 0  # constants made real numbers

    def graph(self) -> Graph:
        self.model = tflite.Model.GetRootAsModel(self.data, 0)
        main = self.model.Subgraphs(0)
        for i in range(1, self.model.SubgraphsLength()):
            self.read_initial(self.model.Subgraphs(i))
        self.tensors = [self.tensor(main.Tensors(i)) for i in range(main.TensorsLength())]
        self.inputs = [int(i) for i in main.InputsAsNumpy()]
        self.outputs = [int(i) for i in main.OutputsAsNumpy()]
        self.refuse_dynamic(main, self.inputs)
        for i in range(main.OperatorsLength()):
            self.operator(main, i)
        variables = tuple(
            Variable(name, self.initial_of(name)) for name in self.variables
        )  # appends to tensors
        graph = Graph(
            PurePath(self.path).stem,
            tuple(self.tensors),
            tuple(self.ops),
            tuple(self.inputs),
            tuple(self.outputs),
            variables,
            metadata={"source": PurePath(self.path).name, "source_bytes": str(len(self.data))},
        )
        if not graph.is_float:
            return graph
        if self.widened:
            graph.metadata["dequantized"] = f"{self.widened} constants were integers in the file"
        verify(graph, self.path)
        return canonical(graph)

    def name_of(self, operator: Any) -> str:
        code = self.model.OperatorCodes(operator.OpcodeIndex())
        builtin = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        custom = code.CustomCode()
        name: str = custom.decode() if custom else OP_NAMES.get(builtin, f"builtin {builtin}")
        return name

    def tensor(self, t: Any) -> Tensor:
        name = (t.Name() or b"").decode(errors="replace")
        kind = t.Type()
        if kind == RESOURCE:
            return Tensor(name, (), "s32")
        if kind not in DTYPE_OF:
            raise UserError(
                f"{self.path}: tensor {name} has type {TYPE_NAMES.get(kind, kind)}",
                f"supported: {', '.join(DTYPES)}",
            )
        dtype = DTYPE_OF[kind]
        shape = [int(d) for d in t.ShapeAsNumpy()] if t.ShapeLength() else []
        signature = [int(d) for d in t.ShapeSignatureAsNumpy()] if t.ShapeSignatureLength() else shape
        if shape and signature[0] == -1 and shape[0] in (-1, 0, 1):
            shape[0] = 1
        return Tensor(name, tuple(shape), dtype, self.quantization(t), self.constant(t, shape, dtype, name))

    def constant(self, t: Any, shape: list[int], dtype: str, name: str) -> Any:
        buffer = self.model.Buffers(t.Buffer()) if t.Buffer() < self.model.BuffersLength() else None
        if buffer is None:
            raise IndexError(f"tensor {name} refers to buffer {t.Buffer()}")
        if not t.Buffer() or not buffer.DataLength():
            if t.Type() in (tflite.TensorType.INT4, tflite.TensorType.FLOAT16):
                raise UserError(
                    f"{self.path}: tensor {name} is computed in {TYPE_NAMES[t.Type()].lower()}, only constants may be",
                    "export an int8 or float32 model",
                )
            return None
        raw = buffer.DataAsNumpy().tobytes()
        if t.Type() == tflite.TensorType.FLOAT16:
            raw = np.frombuffer(raw, np.float16).astype(np.float32).tobytes()
        if t.Type() == tflite.TensorType.INT4:
            raw = widened(raw, int(np.prod(shape)))
        wanted = int(np.prod(shape)) * np.dtype(DTYPES[dtype]).itemsize
        if len(raw) != wanted:
            raise ValueError(f"tensor {name} of shape {shape} holds {len(raw)} bytes, {wanted} expected")
        array = np.frombuffer(raw, DTYPES[dtype]).reshape(shape).copy()
        array.setflags(write=False)
        return array

    def quantization(self, t: Any) -> Quantization | None:
        q = t.Quantization()
        if q is None or not q.ScaleLength():
            return None
        scales = tuple(float(s) for s in q.ScaleAsNumpy())
        zeros = tuple(int(z) for z in q.ZeroPointAsNumpy()) if q.ZeroPointLength() else (0,) * len(scales)
        return Quantization(scales, zeros, int(q.QuantizedDimension()) if len(scales) > 1 else None)

    def refuse_dynamic(self, main: Any, inputs: list[int]) -> None:
        for i in inputs:
            t = main.Tensors(i)
            signature = [int(d) for d in t.ShapeSignatureAsNumpy()] if t.ShapeSignatureLength() else []
            if any(d < 0 for d in (*self.tensors[i].shape, *signature[1:])):
                raise UserError(
                    f"{self.path}: input {self.tensors[i].name} has the dynamic shape "
                    f"{signature or list(self.tensors[i].shape)}",
                    "only the batch may be -1: export the model with fixed sizes",
                )

    def operator(self, subgraph: Any, index: int) -> None:
        operator = subgraph.Operators(index)
        kind = self.name_of(operator)
        inputs = [int(i) for i in operator.InputsAsNumpy()] if operator.InputsLength() else []
        outputs = [int(i) for i in operator.OutputsAsNumpy()] if operator.OutputsLength() else []
        label = self.tensors[outputs[0]].name if outputs else f"operator {index}"
        where = f"{self.path}: {kind} (operator {index}, {label})"
        if kind in STATE_OPS:
            self.state_operator(kind, operator, inputs, outputs, f"{kind.lower()} {index}")
            return
        if kind == "DEQUANTIZE" and self.tensors[inputs[0]].data is not None:
            at = inputs[0] if self.tensors[inputs[0]].dtype == "f32" else self.dequantized(inputs[0])
            self.tensors[outputs[0]] = replace(self.tensors[outputs[0]], data=self.tensors[at].data)
            return
        if kind in EDGE_OPS and "f32" in (self.tensors[inputs[0]].dtype, self.tensors[outputs[0]].dtype):
            self.edge_operator(kind, inputs[0], outputs[0], where)
            return
        if kind not in CONVERTERS:
            raise UserError(f"{where} is not supported", f"supported: {', '.join(SUPPORTED)}")
        option_class, convert = CONVERTERS[kind]
        node = Node(where, label, inputs, outputs, options_of(operator, option_class), self)
        self.ops.append(convert(node))

    def edge_operator(self, kind: str, source: int, result: int, where: str) -> None:
        """Conversion from or to float32 is the host's work: the integer tensor becomes the graph's edge."""
        edge, gone, stays = (
            (self.inputs, source, result) if kind == "QUANTIZE" else (self.outputs, result, source)
        )
        if gone not in edge or self.tensors[stays].dtype not in ("s8", "u8", "s16"):
            found = [f"{self.tensors[i].name} ({self.tensors[i].dtype})" for i in (source, result)]
            raise UserError(
                f"{where}: {found[0]} to {found[1]} inside the model",
                "float32 is supported at inputs and outputs only: export with full int8 quantization",
            )
        edge[edge.index(gone)] = stays

    def dequantized(self, index: int) -> int:
        """A new constant: the real numbers of a quantized one. The metadata tells how many there were."""
        t = self.tensors[index]
        assert t.data is not None
        q = t.quantization
        if q is None:
            raise UserError(f"{self.path}: weights {t.name} have no scale", "export the model again")
        shape = [1] * len(t.shape)
        if q.axis is not None:
            shape[q.axis] = -1
        whole = t.data.astype(np.float64) - np.array(q.zero_points).reshape(shape)
        real = (whole * np.array(q.scales).reshape(shape)).astype(np.float32)
        self.tensors.append(Tensor(t.name, t.shape, "f32", None, real))
        self.widened += 1
        return len(self.tensors) - 1

    def state_operator(
        self, kind: str, operator: Any, inputs: list[int], outputs: list[int], name: str
    ) -> None:
        if kind == "VAR_HANDLE":
            variable = variable_name(operator)
            self.handles[outputs[0]] = variable
            self.variables.setdefault(variable, None)
        elif kind != "CALL_ONCE":
            variable = self.handles[inputs[0]]
            value = outputs[0] if kind == "READ_VARIABLE" else inputs[1]
            if self.variables[variable] is None:
                self.variables[variable] = value
            read = kind == "READ_VARIABLE"
            self.ops.append(
                Op(
                    kind.lower(),
                    name,
                    () if read else (value,),
                    (value,) if read else (),
                    VariableName(variable),
                )
            )

    def read_initial(self, subgraph: Any) -> None:
        """CALL_ONCE's subgraph assigns constants to variables; anything else in it is refused."""
        handles: dict[int, str] = {}
        for i in range(subgraph.OperatorsLength()):
            operator = subgraph.Operators(i)
            kind = self.name_of(operator)
            if kind == "VAR_HANDLE":
                handles[int(operator.Outputs(0))] = variable_name(operator)
            elif kind == "ASSIGN_VARIABLE":
                value = self.tensor(subgraph.Tensors(int(operator.Inputs(1))))
                if value.data is None:
                    raise UserError(
                        f"{self.path}: variable {handles[int(operator.Inputs(0))]} is initialised by a computed "
                        "value",
                        "export the model with constant initial states",
                    )
                self.initial[handles[int(operator.Inputs(0))]] = value
            else:
                raise UserError(
                    f"{self.path}: {kind} (operator {i} of subgraph {(subgraph.Name() or b'').decode()}) "
                    "is not supported",
                    "a second subgraph may only initialise variables",
                )

    def initial_of(self, name: str) -> int:
        """The constant tensor with a variable's first value: what CALL_ONCE assigns, else the zero point."""
        if name not in self.initial:
            value = self.variables[name]
            if value is None:
                raise UserError(
                    f"{self.path}: variable {name} is never read nor assigned", "remove it from the model"
                )
            like = self.tensors[value]
            zero = like.quantization.zero_point if like.quantization else 0
            data = np.full(like.shape, zero, DTYPES[like.dtype])
            self.initial[name] = Tensor(f"{name}/initial", like.shape, like.dtype, like.quantization, data)
        self.tensors.append(self.initial[name])
        return len(self.tensors) - 1


def widened(nibbles: bytes, n: int) -> bytes:
    """The first `n` int4 values, two a byte, low nibble first, a byte each."""
    packed = np.frombuffer(nibbles, np.int8)
    values = bytes(np.stack([np.left_shift(packed, 4) >> 4, packed >> 4], axis=1))
    return values[:n] if len(values) == n + n % 2 else values


def variable_name(operator: Any) -> str:
    options = options_of(operator, "VarHandleOptions")
    container = (options.Container() or b"").decode()
    shared = (options.SharedName() or b"").decode()
    name: str = f"{container}/{shared}" if container else shared
    return name


def options_of(operator: Any, name: str | None) -> Any:
    """The operator's typed options; a default-constructed table where the file has none."""
    if name is None:
        return None
    table = operator.BuiltinOptions()
    if table is None:
        raise ValueError(f"an operator lacks its {name}")
    options = getattr(tflite, name)()
    options.Init(table.Bytes, table.Pos)
    return options
