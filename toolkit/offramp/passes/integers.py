"""A float graph whose tensors carry the quantization of a file becomes the integer graph of that quantization."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from offramp.errors import UserError
from offramp.ir import Graph, Op, Quantization, Tensor
from offramp.ops.op import Array, NoAttributes
from offramp.ops.real import REAL
from offramp.ops.table import Table
from offramp.ops.verify import verify
from offramp.passes.canonical import form
from offramp.passes.canonical_fold import WEIGHTED
from offramp.passes.canonical_layout import BINARY, UNARY
from offramp.passes.canonical_names import renamed
from offramp.passes.edit import Edit
from offramp.passes.fusion import everywhere
from offramp.passes.rewrite import with_tensors, without_unused

# Ops that give values of their input again, or means of them, in its quantization.
KEEPING = (
    *(
        "reshape",
        "transpose",
        "max_pool_2d",
        "average_pool_2d",
        "strided_slice",
        "split",
        "pad",
        "concatenation",
    ),
    *("resize_nearest_neighbor", "resize_bilinear"),
)
# The specification fixes these outputs.
FIXED = {
    "softmax": Quantization((1 / 256,), (-128,)),
    "logistic": Quantization((1 / 256,), (-128,)),
    "tanh": Quantization((1 / 128,), (0,)),
}
BITS = np.arange(256, dtype=np.uint8).view(np.int8).astype(np.int64)  # int8 values in the order of their bits


def integers(graph: Graph, path: str) -> Graph:
    """The integer graph, canonical; `path` is for messages. UserError names a tensor without quantization."""
    for rule in (one_quantizer, annotate_maker):
        graph, _ = everywhere(graph, rule)
    graph = without_unused(spread(graph))
    for rule in (requantize_operands, requantize_result):
        graph, _ = everywhere(graph, rule)
    done = renamed(Integers(form(graph, channels_first=True), path).graph())
    verify(done, path)
    return done


# ---- which tensor has which quantization ----


def one_quantizer(graph: Graph, at: int) -> Graph | None:
    """Of several equal quantizers of one tensor the first stays."""
    op = graph.ops[at]
    if op.kind != "quantize" or op.outputs[0] in graph.outputs:
        return None
    q = graph.tensors[op.outputs[0]].quantization
    for other in graph.ops[:at]:
        if (
            other.kind == "quantize"
            and other.inputs == op.inputs
            and graph.tensors[other.outputs[0]].quantization == q
        ):
            kept = [o for i, o in enumerate(graph.ops) if i != at]
            return graph.with_ops(tuple(read(o, op.outputs[0], other.outputs[0]) for o in kept))
    return None


def read(op: Op, old: int, new: int) -> Op:
    return replace(op, inputs=tuple(new if i == old else i for i in op.inputs))


def annotate_maker(graph: Graph, at: int) -> Graph | None:
    """A quantizer that alone reads a tensor: the tensor itself is quantized."""
    op = graph.ops[at]
    x, out = op.inputs[0] if op.inputs else -1, op.outputs[0]
    if op.kind != "quantize" or graph.tensors[x].quantization or x in graph.outputs:
        return None
    if graph.consumers()[x] != [at]:
        return None
    marked = with_tensors(graph, {x: replace(graph.tensors[x], quantization=graph.tensors[out].quantization)})
    ops = tuple(read(o, out, x) for i, o in enumerate(marked.ops) if i != at)
    return replace(marked, ops=ops, outputs=tuple(x if i == out else i for i in marked.outputs))


def spread(graph: Graph) -> Graph:
    """Quantizations reach tensors without one across ops that keep values; fixed outputs get theirs."""
    tensors = list(graph.tensors)
    readers = graph.consumers()

    def give(i: int, q: Quantization | None) -> bool:
        if q is None or tensors[i].quantization or tensors[i].data is not None:
            return False
        tensors[i] = replace(tensors[i], quantization=q)
        return True

    def inward(op: Op, at: int) -> bool:
        q = tensors[op.outputs[0]].quantization
        return any([give(i, q) for i in op.inputs if i >= 0 and readers[i] == [at]])

    changed = True
    while changed:
        changed = False
        for at, op in enumerate(graph.ops):
            if op.kind in FIXED and (op.kind == "softmax" or op.outputs[0] in graph.outputs):
                changed |= give(op.outputs[0], FIXED[op.kind])
            if op.kind in KEEPING:
                found = {tensors[i].quantization for i in op.inputs}
                if len(found) == 1:
                    changed |= any([give(i, found.copy().pop()) for i in op.outputs])
                changed |= inward(op, at)
    return replace(graph, tensors=tuple(tensors))


def requantize_result(graph: Graph, at: int) -> Graph | None:
    """Where an op that keeps values shall give another quantization, a quantizer of its own follows."""
    op = graph.ops[at]
    if op.kind not in KEEPING or op.kind == "concatenation":
        return None
    q = graph.tensors[op.inputs[0]].quantization
    if q is None or all(graph.tensors[i].quantization in (q, None) for i in op.outputs):
        return None
    e = Edit(graph, at)
    middle = [e.new(replace(graph.tensors[i], quantization=q)) for i in op.outputs]
    e.emit(op.kind, op.attributes, op.inputs, outputs=middle)
    for inner, out in zip(middle, op.outputs, strict=True):
        e.emit("quantize", NoAttributes(), [inner], outputs=[out])
    return e.done()


def requantize_operands(graph: Graph, at: int) -> Graph | None:
    """What is joined is brought to the quantization of the result."""
    op = graph.ops[at]
    if op.kind != "concatenation":
        return None
    q = graph.tensors[op.outputs[0]].quantization
    if q is None or all(graph.tensors[i].quantization == q for i in op.inputs):
        return None
    e = Edit(graph, at)
    parts = []
    for i in op.inputs:
        was = e.tensors[i]
        if was.quantization == q or was.data is not None:
            parts.append(i)
            continue
        part = e.new(replace(was, quantization=q))
        e.emit("quantize", NoAttributes(), [i], outputs=[part])
        parts.append(part)
    e.emit(op.kind, op.attributes, parts, outputs=op.outputs)
    return e.done()


# ---- integers ----


@dataclass
class Integers:
    """`tensors` hold the float graph's at their old places, then new ones."""

    source: Graph
    path: str
    tensors: list[Tensor] = field(default_factory=list)
    ops: list[Op] = field(default_factory=list)

    def graph(self) -> Graph:
        g = self.source
        self.tensors = [
            replace(t, dtype="s8") if t.dtype == "f32" and t.data is None else t for t in g.tensors
        ]
        for op in g.ops:
            self.op(op)
        made = {i for op in self.ops for i in op.outputs} | set(g.inputs)
        for i in (*g.inputs, *g.outputs):
            if i not in made or self.tensors[i].quantization is None:
                raise self.unquantized(g.tensors[i].name)
        return without_unused(replace(g, tensors=tuple(self.tensors), ops=tuple(self.ops)))

    def unquantized(self, name: str) -> UserError:
        return UserError(
            f"{self.path}: {name} is float32 in a quantized model",
            "quantize every op, inputs and outputs too, or pass the float model to `offramp compress`",
        )

    def new(self, tensor: Tensor) -> int:
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def op(self, op: Op) -> None:
        function = self.function(op)
        if self.source.tensors[op.outputs[0]].quantization is None:
            if op.kind in (*UNARY, *BINARY):
                return  # between others that one table does together, or else missed where it is read
            raise self.unquantized(op.name)
        if function is not None:
            self.table(op, *function)
        elif op.kind in WEIGHTED:
            self.weighted(op)
        elif op.kind == "softmax":
            self.softmax(op)
        else:
            inputs = tuple(self.operand(op, i) for i in op.inputs)
            self.ops.append(replace(op, inputs=inputs, attributes=self.attributes(op)))

    def attributes(self, op: Op) -> Any:
        if op.kind != "pad":
            return op.attributes
        q = self.tensors[op.inputs[0]].quant
        whole = round(op.attributes.value / q.scale) + q.zero_point
        return replace(op.attributes, value=int(np.clip(whole, -128, 127)))

    def operand(self, op: Op, i: int) -> int:
        """An activation as it is; constants as int8, in their own quantization or one around 0."""
        t, data = self.source.tensors[i], self.source.tensors[i].data
        if data is None:
            if t.quantization is None:
                raise self.unquantized(f"{op.name}: {t.name}")
            return i
        q = t.quantization or Quantization(around_zero(np.abs(data).max()), (0,))
        if op.kind == "concatenation":
            q = self.source.tensors[op.outputs[0]].quant
        whole = np.clip(np.rint(data / q.scale) + q.zero_point, -128, 127)
        return self.new(replace(t, dtype="s8", quantization=q, data=whole.astype(np.int8)))

    # ---- functions of one value ----

    def function(self, op: Op) -> tuple[int, Array] | None:
        """(quantized tensor, f32 results for its 256 values) where the op's result depends on one alone."""
        if op.kind not in (*UNARY, *BINARY):
            return None
        parts = [self.values(i) for i in op.inputs]
        known = [part for part in parts if part is not None]
        sources = {source for source, _ in known if source >= 0}
        if len(known) < len(parts) or len(sources) != 1:
            return None
        operands = [values for _, values in known]
        same = op.kind == "quantize"
        return sources.pop(), operands[0] if same else REAL[op.kind](op.attributes, [], operands)[0]

    def values(self, i: int) -> tuple[int, Array] | None:
        """As function, of a tensor; -1 for a constant that is one number."""
        t = self.source.tensors[i]
        if t.data is not None:
            return (-1, t.data.astype(np.float32).reshape(1)) if t.data.size == 1 else None
        if t.quantization is not None:
            centred = (BITS - t.quant.zero_point).astype(np.float32)
            return i, centred * np.float32(t.quant.scale)
        maker = self.source.producers().get(i)
        return None if maker is None else self.function(self.source.ops[maker])

    def table(self, op: Op, source: int, real: Array) -> None:
        q = self.source.tensors[op.outputs[0]].quant
        whole = np.clip(np.rint(real / np.float32(q.scale)) + q.zero_point, -128, 127).astype(np.int8)
        values = tuple(int(v) for v in whole)
        self.ops.append(Op("table", op.name, (source,), op.outputs, Table(values)))

    # ---- layers ----

    def weighted(self, op: Op) -> None:
        x, t, bias = self.operand(op, op.inputs[0]), self.source.tensors[op.inputs[1]], op.inputs[2]
        axis = 3 if op.kind == "depthwise_conv_2d" else 0
        whole, scales = self.weights(t, axis, op)
        along = axis if len(scales) > 1 else None
        q = Quantization(scales, (0,) * len(scales), along)
        laid = self.new(replace(t, dtype="s8", quantization=q, data=whole))
        added = self.new(quantized_bias(self.source.tensors[bias], self.tensors[x].quant.scale, scales))
        self.ops.append(replace(op, inputs=(x, laid, added)))

    def weights(self, t: Tensor, axis: int, op: Op) -> tuple[Array, tuple[float, ...]]:
        """int8 around 0, and their scales; weights that the file left in float get scales by channel."""
        assert t.data is not None
        others = tuple(i for i in range(t.data.ndim) if i != axis)
        scales = t.quantization.scales if t.quantization else around_zero(np.abs(t.data).max(axis=others))
        shape = [1] * t.data.ndim
        shape[axis] = len(scales)
        whole = np.rint(t.data / np.array(scales, np.float64).reshape(shape))
        if whole.min() < -128 or whole.max() > 127:
            raise UserError(
                f"{self.path}: {op.name}: weights from {whole.min():g} to {whole.max():g} around their zero point, "
                "-128 to 127 are allowed",
                "quantize again with symmetric int8 weights",
            )
        return np.ascontiguousarray(whole.astype(np.int8)), scales

    def softmax(self, op: Op) -> None:
        """The specification's output, then the file's where it is another."""
        x, out = self.operand(op, op.inputs[0]), self.source.tensors[op.outputs[0]]
        fixed = FIXED["softmax"]
        if out.quantization == fixed:
            self.ops.append(replace(op, inputs=(x,)))
            return
        middle = self.new(replace(self.tensors[op.outputs[0]], quantization=fixed))
        self.ops.append(replace(op, inputs=(x,), outputs=(middle,)))
        real = (BITS + 128).astype(np.float32) / np.float32(256)
        self.table(
            op, middle, np.where(BITS == 127, np.float32(1), real)
        )  # its largest value stands for 1 too


def around_zero(largest: Array) -> tuple[float, ...]:
    """Scales of int8 around 0 for numbers up to `largest`."""
    return tuple(float(s) for s in np.float32(np.maximum(largest, 1e-30) / 127).reshape(-1))


def quantized_bias(bias: Tensor, x_scale: float, scales: tuple[float, ...]) -> Tensor:
    """int32 by the product of the scales of input and weights."""
    assert bias.data is not None
    by = np.float64(x_scale) * np.array(scales, np.float64)
    sums = np.clip(np.rint(bias.data.reshape(-1) / by), -(1 << 31), (1 << 31) - 1).astype(np.int32)
    q = Quantization(
        tuple(float(np.float32(s)) for s in by), (0,) * len(scales), 0 if len(scales) > 1 else None
    )
    return Tensor(bias.name, sums.shape, "s32", q, sums)
