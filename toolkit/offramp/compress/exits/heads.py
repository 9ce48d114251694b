"""Heads of exits: small classifiers, or estimators of an error, on the tensors at which exits stand."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from offramp.compress.exits.points import Point
from offramp.compress.scales import converted
from offramp.errors import UserError
from offramp.ir import CONFIDENCES, MAX_EXITS, Exit, Graph, Op, Tensor
from offramp.ops import OPS
from offramp.ops.concatenation import Concatenation
from offramp.ops.fully_connected import FullyConnected
from offramp.ops.gemm import Window
from offramp.ops.op import Array, NoAttributes, elements
from offramp.ops.pool_2d import Pool
from offramp.ops.reshape import Reshape
from offramp.ops.softmax import Softmax
from offramp.ops.verify import verify
from offramp.passes.rewrite import macs

NEVER = 0xFFFF  # threshold of an exit that is not calibrated yet
MACS_SHARE = 0.02  # of the network's, for one head
POOLED = 2  # MACs that take about the instructions of one pooled value
LARGE = 150_000  # bytes; of a smaller network all heads may take a larger share
BYTES_SHARE, BYTES_SHARE_SMALL = 0.05, 0.25
CHANNEL_BYTES = 12  # of a dense layer's output: bias, multiplier, shift
STEP_BYTES = 250  # of a head: parameter blocks, tensors, steps


@dataclass(frozen=True)
class Form:
    """How a head looks: the means and largest values of the channels, a hidden layer of so many, or none.

    With `conv` channels: in place of pooling a 3x3 convolution of stride 2, over the largest of 2x2 values where the
    map is large, and a dense layer over all places of what it gives.
    """

    pooling: tuple[str, ...]  # "mean", "max"
    hidden: int
    conv: int = 0


# From the most able to the cheapest. Where things are tells more than pooled values do, most of all early.
CONVOLVED = tuple(Form((), 0, conv) for conv in (16, 12, 8))
POOLING = (*(Form(("mean", "max"), hidden) for hidden in (32, 16, 0)), Form(("mean",), 0))
LEAST_MAP = 5  # rows and columns of a map that a convolution is for
LARGE_MAP = 10  # from here on the largest of 2x2 values is taken first


def with_heads(graph: Graph, points: Sequence[Point], hidden: int | None = None, seed: int = 0) -> Graph:
    """The float graph with a head of random weights at each point, its answers behind the graph's own outputs.

    `hidden` values between two dense layers, 0 for one layer; None: as much as the budgets of MACs and bytes allow.
    Thresholds are NEVER, 65535. UserError where the graph has exits, or is neither a classifier nor a detector.
    """
    rng = np.random.default_rng(seed)
    forms = forms_of(graph, points, hidden)
    heads = [
        head(graph, p, form, f"exit{i + 1}", rng)
        for i, (p, form) in enumerate(zip(points, forms, strict=True))
    ]
    return attached(graph, points, heads)


def is_detector(graph: Graph) -> bool:
    """Whether the output reproduces the input, as an autoencoder's does: its answer is the error of that."""
    shapes = [elements(graph.tensors[i].shape) for i in (*graph.inputs, *graph.own_outputs)]
    return len(shapes) == 2 and shapes[0] == shapes[1] > 1


def answer_shape(graph: Graph) -> tuple[int, ...]:
    """Of what an exit gives: as the first output, or one error."""
    if is_detector(graph):
        return (1, 1)
    shape = graph.tensors[graph.outputs[0]].shape
    if elements(shape) != shape[-1] or shape[-1] < 2:
        raise UserError(
            f"{graph.name} gives {list(shape)}, exits are for classifiers, and for detectors whose output has the "
            "shape of the input",
            "exits take [1, classes] with two classes or more",
        )
    return shape


def ends_in_softmax(graph: Graph) -> bool:
    maker = graph.producers().get(graph.outputs[0])
    return maker is not None and graph.ops[maker].kind == "softmax"


def confidences_of(graph: Graph) -> tuple[str, ...]:
    """What its exits can be sure by: entropy is one of probabilities."""
    if is_detector(graph):
        return ("error",)
    return tuple(k for k in CONFIDENCES if k != "error" and (k != "entropy" or ends_in_softmax(graph)))


def forms_of(
    graph: Graph, points: Sequence[Point], hidden: int | None, known: Sequence[Form] = (*CONVOLVED, *POOLING)
) -> list[Form]:
    """A form for each point: pooled and `hidden` as given, else the most able within the budgets, or the cheapest."""
    if hidden is not None:
        return [Form(("mean", "max"), hidden)] * len(points)
    most_macs, most_bytes = MACS_SHARE * macs(graph), bytes_for_heads(graph) / max(1, len(points))
    found = []
    for p in points:
        costs = [(form, *cost(graph, p, form)) for form in known if not form.conv or is_map(graph, p)]
        able = [form for form, count, size in costs if count <= most_macs and size <= most_bytes]
        found.append(able[0] if able else known[-1])
    return found


def bytes_for_heads(graph: Graph) -> float:
    size = network_bytes(graph)
    return size * (BYTES_SHARE if size > LARGE else BYTES_SHARE_SMALL)


def network_bytes(graph: Graph) -> int:
    """Of the constants at 8 bits, biases at 32."""
    shapes = [t.shape for t in graph.tensors if t.data is not None]
    return sum(elements(shape) * (1 if len(shape) > 1 else 4) for shape in shapes)


def cost(graph: Graph, point: Point, form: Form) -> tuple[int, int]:
    """(MACs, bytes) of a head, pooled values counted as POOLED MACs."""
    shape = graph.tensors[point.tensor].shape
    spots, kernel = elements(shape[1:-1]), 9 * shape[-1] * form.conv
    sizes = [width(graph, point, form), *hidden_of(form), elements(answer_shape(graph))]
    weights = sum(a * b for a, b in itertools.pairwise(sizes))
    count, outputs = weights, sum(sizes[1:]) + form.conv
    if form.conv:
        count += kernel * sizes[0] // form.conv
        count += elements(shape) * POOLED if min(shape[1:3]) >= LARGE_MAP else 0
    elif spots > 1:
        count += spots * sizes[0] * POOLED
    return count, weights + kernel + CHANNEL_BYTES * outputs + STEP_BYTES


def width(graph: Graph, point: Point, form: Form) -> int:
    """Values that the dense layers of a head read."""
    shape = graph.tensors[point.tensor].shape
    if form.conv:
        halved = [n // 2 if min(shape[1:3]) >= LARGE_MAP else n for n in shape[1:3]]
        return form.conv * elements(tuple(-(-n // 2) for n in halved))
    return shape[-1] * (len(form.pooling) if elements(shape[1:-1]) > 1 else 1)


def is_map(graph: Graph, point: Point) -> bool:
    """Whether a head with a convolution can stand here."""
    shape = graph.tensors[point.tensor].shape
    return not is_detector(graph) and len(shape) == 4 and min(shape[1:3]) >= LEAST_MAP


def hidden_of(form: Form) -> tuple[int, ...]:
    return (form.hidden,) if form.hidden else ()


class Draft:
    """A part of a head in the making: a graph of its own, from a tensor like `source`."""

    def __init__(self, name: str, source: Tensor) -> None:
        self.name = name
        self.tensors = [replace(source, name=f"{name}/{source.name.split('/')[-1]}")]
        self.ops: list[Op] = []

    def op(self, part: str, kind: str, inputs: Sequence[int], attributes: Any) -> int:
        """Appends an op whose result has its input's type and quantization."""
        [shape] = OPS[kind].shapes(attributes, [self.tensors[i] for i in inputs])
        like = self.tensors[inputs[0]]
        self.tensors.append(replace(like, name=f"{self.name}/{part}", shape=shape))
        self.ops.append(Op(kind, f"{self.name}/{part}", tuple(inputs), (len(self.tensors) - 1,), attributes))
        return len(self.tensors) - 1

    def constant(self, part: str, data: Array) -> int:
        self.tensors.append(Tensor(f"{self.name}/{part}", data.shape, "f32", data=data))
        return len(self.tensors) - 1

    def dense(self, part: str, x: int, weights: Array, bias: Array, activation: str) -> int:
        inputs = (x, self.constant(f"{part}/weights", weights), self.constant(f"{part}/bias", bias))
        return self.op(part, "fully_connected", inputs, FullyConnected(activation))

    def reshaped(self, part: str, x: int, shape: tuple[int, ...]) -> int:
        return x if self.tensors[x].shape == shape else self.op(part, "reshape", (x,), Reshape(shape))

    def in_8_bits(self, x: int) -> int:
        found = self.op("in_8_bits", "quantize", (x,), NoAttributes())
        q = converted(self.tensors[x].quant, "s16", "s8")
        self.tensors[found] = replace(self.tensors[found], dtype="s8", quantization=q)
        return found

    def done(self, x: int) -> Graph:
        return Graph(self.name, tuple(self.tensors), tuple(self.ops), (0,), (x,))


def head(graph: Graph, point: Point, form: Form, name: str, rng: np.random.Generator) -> Graph:
    """A float graph from the point's tensor to an answer like the graph's own, with random weights."""
    first = (convolved if form.conv else pooling)(graph, point, form, name, rng)
    sizes = [width(graph, point, form), *hidden_of(form), elements(answer_shape(graph))]
    layers = [(drawn(rng, (out_c, k)), np.zeros(out_c, np.float32)) for k, out_c in itertools.pairwise(sizes)]
    return joined(first, classifying(graph, first.tensors[first.outputs[0]], layers, name))


def drawn(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Weights [out, ...] of He's normal distribution."""
    return rng.normal(0, (2 / elements(shape[1:])) ** 0.5, shape).astype(np.float32)


def convolved(graph: Graph, point: Point, form: Form, name: str, rng: np.random.Generator) -> Graph:
    """From a map [1, h, w, c] to [1, values]: at a half of its rows and columns, or a quarter, in `conv` channels."""
    draft, x = Draft(name, graph.tensors[point.tensor]), 0
    _, h, w, c = draft.tensors[0].shape
    if min(h, w) >= LARGE_MAP:
        x = draft.op("max", "max_pool_2d", (x,), Pool(2, 2, 2, 2))
    weights = draft.constant("conv/weights", drawn(rng, (form.conv, 3, 3, c)))
    bias = draft.constant("conv/bias", np.zeros(form.conv, np.float32))
    x = draft.op("conv", "conv_2d", (x, weights, bias), Window(2, 2, padding="same", activation="relu"))
    return draft.done(draft.reshaped("flat", x, (1, elements(draft.tensors[x].shape))))


def pooling(
    graph: Graph, point: Point, form: Form, name: str, rng: np.random.Generator | None = None
) -> Graph:
    """From the point's tensor to the features [1, values] that the dense layers read, of its scale, in 8 bits.

    Of a map [1, h, w, c] the channels' means, largest values or both; else what it is.
    """
    draft, x = Draft(name, graph.tensors[point.tensor]), 0
    if draft.tensors[0].dtype == "s16":
        x = draft.in_8_bits(x)
    _, *spots, c = draft.tensors[0].shape
    if elements(tuple(spots)) == 1:
        return draft.done(draft.reshaped("flat", x, (1, c)))
    if len(spots) != 2:
        x = draft.reshaped("map", x, (1, elements(tuple(spots)), 1, c))
    _, h, w, _ = draft.tensors[x].shape
    kinds = {"mean": "average_pool_2d", "max": "max_pool_2d"}
    found = [draft.op(p, kinds[p], (x,), Pool(h, w, 1, 1)) for p in form.pooling]
    flat = [draft.reshaped(f"{p}s", i, (1, c)) for p, i in zip(form.pooling, found, strict=True)]
    return draft.done(
        flat[0] if len(flat) == 1 else draft.op("features", "concatenation", flat, Concatenation(1))
    )


def classifying(graph: Graph, features: Tensor, layers: Sequence[tuple[Array, Array]], name: str) -> Graph:
    """A float graph from features to an answer: dense layers of (weights [out, in], bias), softmax as the graph has."""
    draft, x = Draft(name, replace(features, dtype="f32", quantization=None)), 0
    for weights, bias in layers[:-1]:
        x = draft.dense("hidden", x, weights, bias, "relu")
    x = draft.dense("scores", x, *layers[-1], "relu" if is_detector(graph) else "none")
    x = draft.reshaped("answer", x, answer_shape(graph))
    if ends_in_softmax(graph) and not is_detector(graph):
        x = draft.op("softmax", "softmax", (x,), Softmax())
    return draft.done(x)


def joined(first: Graph, second: Graph) -> Graph:
    """One graph of two, the second reads what the first gives."""
    tensors = list(first.tensors)
    index = {-1: -1, second.inputs[0]: first.outputs[0]}
    for i, t in enumerate(second.tensors):
        if i not in index:
            index[i] = len(tensors)
            tensors.append(t)
    ops = tuple(renumbered(op, index) for op in second.ops)
    outputs = (index[second.outputs[0]],)
    return replace(first, tensors=tuple(tensors), ops=(*first.ops, *ops), outputs=outputs)


def renumbered(op: Op, index: dict[int, int]) -> Op:
    return replace(op, inputs=tuple(index[t] for t in op.inputs), outputs=tuple(index[t] for t in op.outputs))


def attached(graph: Graph, points: Sequence[Point], heads: Sequence[Graph]) -> Graph:
    """The graph with these exits, float or integer; what the graph has keeps its indices.

    Confidence is the margin, or the error of a detector; thresholds are NEVER. UserError where it has exits already.
    """
    found, own = grafted(graph, points, heads), len(graph.outputs)
    kind = "error" if is_detector(graph) else "margin"
    exits = tuple(Exit(p.layer, own + i, own + i, kind, NEVER) for i, p in enumerate(points))
    found = replace(found, exits=exits)
    verify(found, f"exits of {graph.name}")
    return found


def grafted(graph: Graph, points: Sequence[Point], parts: Sequence[Graph]) -> Graph:
    """The graph with a part's ops behind each point's op, and what the parts give as further outputs.

    A part's only input is the point's tensor.
    """
    if graph.exits:
        raise UserError(
            f"{graph.name} has {len(graph.exits)} exits already", "begin with the model without exits"
        )
    if len(points) > MAX_EXITS:
        raise UserError(f"{len(points)} exits, at most {MAX_EXITS} are possible", "leave out some")
    tensors, outputs = list(graph.tensors), list(graph.outputs)
    behind: dict[int, tuple[Op, ...]] = {}
    for point, part in zip(points, parts, strict=True):
        index = {-1: -1, part.inputs[0]: point.tensor}
        for i, t in enumerate(part.tensors):
            if i not in index:
                index[i] = len(tensors)
                tensors.append(t)
        behind[point.at] = tuple(renumbered(op, index) for op in part.ops)
        outputs.append(index[part.outputs[0]])
    ops = tuple(o for at, op in enumerate(graph.ops) for o in (op, *behind.get(at, ())))
    return replace(graph, tensors=tuple(tensors), ops=ops, outputs=tuple(outputs))
