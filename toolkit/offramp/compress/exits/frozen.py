"""Exits on an integer graph whose ops and weights stay as they are: heads trained on what flows past them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from offramp.compress.accuracy import checked_labels, class_count, input_rows
from offramp.compress.dequantize import dequantize
from offramp.compress.exits.calibrate import Evidence, evidence_of_classes, evidence_of_errors
from offramp.compress.exits.heads import (
    POOLING,
    Form,
    attached,
    classifying,
    ends_in_softmax,
    forms_of,
    grafted,
    hidden_of,
    is_detector,
    joined,
    pooling,
)
from offramp.compress.exits.judging import errors
from offramp.compress.exits.options import FrozenOptions
from offramp.compress.exits.points import Point
from offramp.compress.options import QuantizeOptions
from offramp.compress.quantize import quantize
from offramp.compress.rounding import real_values
from offramp.errors import UserError
from offramp.ir import Graph, Quantization, Tensor
from offramp.ops.op import Array
from offramp.passes.rewrite import with_op, with_tensors
from offramp.reference import run_all

Layers = Sequence[tuple[Array, Array]]
Told = Callable[[int, int], None]  # (heads done, heads)


@dataclass(frozen=True, eq=False)
class Frozen:
    """What came of it; `held` says for each row what heads that never saw it make of it."""

    graph: Graph  # with exits whose thresholds are NEVER
    held: Evidence


def add_exits(
    graph: Graph,
    points: Sequence[Point],
    x: Array,
    y: Array | None,
    options: FrozenOptions | None = None,
    told: Told = lambda done, total: None,
) -> Frozen:
    """Exits at these points of an integer graph, trained on rows x [n, ...] in real numbers with labels y [n].

    A detector needs no labels: its heads learn the error of its own output. UserError where rows or labels do not fit.
    """
    o = options or FrozenOptions()
    bench = Bench(graph, points, x, y, o)
    heads, held, last = [], [], bench.last
    for i in range(len(points)):
        told(i, len(points) + o.final)
        head, estimates = bench.head(i)
        heads.append(head)
        held.append(estimates)
    if o.final:
        told(len(points), len(points) + 1)
        graph, last = bench.retrained()
    found = attached(graph, points, heads)
    told(len(points) + o.final, len(points) + o.final)
    return Frozen(found, bench.evidence(held, last))


class Bench:
    """The rows, what the graph makes of them, and their folds."""

    def __init__(
        self, graph: Graph, points: Sequence[Point], x: Array, y: Array | None, o: FrozenOptions
    ) -> None:
        self.graph, self.points, self.options = graph, points, o
        self.is_error = is_detector(graph)
        self.y = checked(graph, x, y, o.folds, self.is_error)
        self.forms = forms_of(graph, points, o.hidden, POOLING)
        self.parts = [
            pooling(graph, p, form, f"exit{i + 1}")
            for i, (p, form) in enumerate(zip(points, self.forms, strict=True))
        ]
        self.pooled = grafted(graph, points, self.parts)
        if o.final:
            self.final = last_dense(graph)
            self.pooled = replace(
                self.pooled, outputs=(*self.pooled.outputs, graph.ops[self.final].inputs[0])
            )
        found = run_all(self.pooled, *input_rows(graph, x))
        self.last, self.features = found[0], found[len(graph.outputs) :]
        rng = np.random.default_rng(o.seed)
        self.fold = folds(len(x), self.y, o.folds, rng)
        self.mixed = self.mixtures(x, rng)
        self.targets = self.targets_of(x)

    def mixtures(self, x: Array, rng: np.random.Generator) -> Mixtures:
        """Rows between two rows, and what the graph makes of them in real numbers. Errors between two say nothing."""
        count = 0 if self.is_error else self.options.mixtures * len(x)
        parents = np.stack([np.arange(count) % len(x), rng.integers(0, len(x), count)])
        share = rng.uniform(0, 0.5, (count, *[1] * (x.ndim - 1)))
        rows = ((1 - share) * x[parents[0]] + share * x[parents[1]]).astype(np.float32)
        if not count:
            own = self.graph.tensors[self.graph.outputs[0]].shape[1:]
            return Mixtures(parents, rows, np.zeros((0, *own)), [])
        from offramp.compress.train.exits import features_of

        shape = self.graph.tensors[self.graph.inputs[0]].shape[1:]
        found = features_of(dequantize(self.pooled), rows.reshape(-1, *shape))
        return Mixtures(parents, rows, found[0], found[len(self.graph.outputs) :])

    def targets_of(self, x: Array) -> Array:
        """[n + mixtures, outputs]: probabilities of classes, or errors."""
        own = real_values(self.last, self.graph.tensors[self.graph.outputs[0]])
        if self.is_error:
            return np.concatenate([errors(x, own), errors(self.mixed.rows, self.mixed.answers)])[:, None]
        n, share = len(own), self.options.own
        answers = np.concatenate(
            [own.reshape(n, -1), self.mixed.answers.reshape(len(self.mixed.rows), own[0].size)]
        )
        if not ends_in_softmax(self.graph):
            answers = np.exp(answers - answers.max(axis=1, keepdims=True))
        answers = answers / answers.sum(axis=1, keepdims=True)
        answers[:n] = share * answers[:n] + (1 - share) * self.labels()
        return np.asarray(answers)

    def labels(self) -> Array:
        """[n, classes]."""
        assert self.y is not None
        return np.eye(class_count(self.graph))[self.y]

    def masks(self, mixtures: bool) -> tuple[Array, Array]:
        """(weights, held) [1 + folds, rows]: first the head that is kept, then one a fold, which sees none of it."""
        n, k = len(self.fold), self.options.folds
        both = self.fold[self.mixed.parents]
        weights, held = np.ones((1 + k, n + both.shape[1])), np.zeros((1 + k, n + both.shape[1]))
        weights[:, :n] = max(1.0, self.options.mixtures / 2)
        for fold in range(k):
            weights[1 + fold, :n][self.fold == fold] = 0
            weights[1 + fold, n:][(both == fold).any(axis=0)] = 0
            held[1 + fold, :n] = self.fold == fold
        if not mixtures:
            weights[:, n:] = 0
        return weights, held

    def fitted(
        self, values: Array, tensor: Tensor, more: Array, targets: Array, form: Form, mix: bool
    ) -> list[Layers]:
        """The head that is kept and one a fold, on features [n, ...] in the graph's integers and of mixtures."""
        from offramp.compress.train.exits import HeadTraining, fit_heads

        own = real_values(values, tensor).reshape(len(values), -1)
        x = np.concatenate([own, more.reshape(len(self.mixed.rows), own.shape[1])])
        training = HeadTraining(seed=self.options.seed)
        return list(fit_heads(x, targets, *self.masks(mix), hidden_of(form), self.is_error, training))

    def head(self, i: int) -> tuple[Graph, Array]:
        """(an integer head from the point's tensor on, answers [n, ...] of heads that never saw the row)."""
        part, form = self.parts[i], self.forms[i]
        tensor, values = part.tensors[part.outputs[0]], self.features[i]
        more = self.mixed.features[i] if len(self.mixed.rows) else np.zeros((0, tensor.shape[-1]))
        every = self.fitted(values, tensor, more, self.targets, form, True)
        graphs = [integer_head(self.graph, tensor, layers, values, part.name) for layers in every]
        return joined(part, graphs[0]), self.held_out(graphs, values)

    def held_out(self, graphs: Sequence[Graph], values: Array) -> Array:
        """Each row's answer by the graph of its fold, the first graph left out."""
        found = [run_all(graph, values)[0] for graph in graphs[1:]]
        return np.asarray(np.stack(found)[self.fold, np.arange(len(values))])

    def retrained(self) -> tuple[Graph, Array]:
        """(the graph with another last dense layer, answers [n, ...] of layers that never saw the row)."""
        op, values = self.graph.ops[self.final], self.features[-1]
        tensor = self.graph.tensors[op.inputs[0]]
        flat = replace(tensor, shape=(1, values[0].size))
        values, rest = values.reshape(len(values), -1), np.zeros((len(self.mixed.rows), values[0].size))
        targets = np.concatenate([self.labels(), np.zeros((len(rest), class_count(self.graph)))])
        every = self.fitted(values, tensor, rest, targets, Form((), 0), False)
        graphs = [integer_head(self.graph, flat, layers, values, "final") for layers in every]
        return with_layer(self.graph, self.final, graphs[0]), self.held_out(graphs, values)

    def evidence(self, estimates: Sequence[Array], last: Array) -> Evidence:
        if self.is_error:
            return evidence_of_errors(estimates, self.targets[: len(last), 0])
        assert self.y is not None
        return evidence_of_classes(estimates, last, self.y)


@dataclass(frozen=True, eq=False)
class Mixtures:
    """Rows between two rows, with what the graph makes of them in real numbers."""

    parents: Array  # [2, n] indices of rows
    rows: Array
    answers: Array
    features: Sequence[Array]  # by exit


def checked(graph: Graph, x: Array, y: Array | None, parts: int, is_error: bool) -> Array | None:
    """Labels; UserError where there are none or too few rows."""
    if graph.is_float:
        raise UserError(f"{graph.name} is a float graph", "quantize it first, or train the exits jointly")
    if not is_error and y is None:
        raise UserError(
            "exits of a classifier need labels, the data has none", "add an array y [n] of class numbers"
        )
    if not is_error and len(x) < class_count(graph):
        raise UserError(
            f"{len(x)} rows for {class_count(graph)} classes", "a few hundred labelled rows are wanted"
        )
    if len(x) < 2 * parts:
        raise UserError(f"{len(x)} rows to train exits on", f"{2 * parts} at least, a few hundred are wanted")
    if is_error or y is None:
        return None
    return checked_labels(graph, y, len(x))


def folds(rows: int, y: Array | None, parts: int, rng: np.random.Generator) -> Array:
    """Of each row its fold, classes spread evenly: int [n]."""
    order = rng.permutation(rows)
    if y is not None:
        order = order[np.argsort(y[order], kind="stable")]
    found = np.empty(rows, np.int64)
    found[order] = np.arange(rows) % parts
    return found


def integer_head(graph: Graph, features: Tensor, layers: Layers, values: Array, name: str) -> Graph:
    """The dense layers of a head in integers, calibrated on features [n, ...] in the graph's integers.

    Scores have the scale of the graph's own before a softmax: so all heads have the same table of exponentials.
    """
    real = classifying(graph, features, layers, name)
    inputs = {real.tensors[0].name: features.quant}
    found = quantize(real, real_values(values, features), QuantizeOptions(inputs=inputs))
    softmax = graph.producers().get(graph.outputs[0])
    if is_detector(graph) or softmax is None or not ends_in_softmax(graph):
        return found
    return rescaled(found, graph.tensors[graph.ops[softmax].inputs[0]].quant)


def rescaled(head: Graph, q: Quantization) -> Graph:
    """The head with another scale of its scores, which nothing but its last dense layer and the softmax read."""
    last = max(i for i, op in enumerate(head.ops) if op.kind == "fully_connected")
    places = {t for op in head.ops[last:-1] for t in op.outputs}
    return with_tensors(head, {t: replace(head.tensors[t], quantization=q) for t in places})


def last_dense(graph: Graph) -> int:
    """Index of the op that gives a classifier's scores; UserError where it is no dense layer."""
    producers, tensor = graph.producers(), graph.outputs[0]
    while tensor in producers and graph.ops[producers[tensor]].kind in ("softmax", "reshape"):
        tensor = graph.ops[producers[tensor]].inputs[0]
    at = producers.get(tensor)
    if at is None or graph.ops[at].kind != "fully_connected" or is_detector(graph):
        kind = "an input" if at is None else f"{graph.ops[at].kind} ({graph.ops[at].name})"
        raise UserError(
            f"the last layer of {graph.name} is {kind}", "final = true trains dense layers of classifiers"
        )
    return at


def with_layer(graph: Graph, at: int, head: Graph) -> Graph:
    """The graph with weights and bias of a head's only dense layer in place of op `at`'s."""
    [layer] = [op for op in head.ops if op.kind == "fully_connected"]
    op, new = graph.ops[at], len(graph.tensors)
    tensors = tuple(head.tensors[i] for i in layer.inputs[1:])
    changed = replace(op, inputs=(op.inputs[0], *range(new, new + len(tensors))))
    found = with_op(replace(graph, tensors=(*graph.tensors, *tensors)), at, changed)
    scores = replace(graph.tensors[op.outputs[0]], quantization=head.tensors[layer.outputs[0]].quantization)
    return with_tensors(found, {op.outputs[0]: scores})
