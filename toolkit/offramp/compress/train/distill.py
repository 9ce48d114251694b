"""Distillation: a student learns its teachers' scores beside the labels, and is compared with one that does not."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from offramp.compress.dequantize import dequantize
from offramp.compress.train.fit import History, Loss, Progress, fit
from offramp.compress.train.functions import Value
from offramp.compress.train.module import (
    SETTLED,
    GraphModule,
    initialize,
    logits_of,
    settle,
    to_graph,
    to_module,
)
from offramp.compress.training import Teaching, Training
from offramp.errors import UserError
from offramp.ir import Graph
from offramp.ops.op import Array, elements
from offramp.passes.rewrite import macs


@dataclass(frozen=True)
class Distilled:
    """A student, and the same one trained on the labels alone from the same start with the same budget."""

    graph: Graph
    history: History
    plain: Graph
    plain_history: History


def distill(
    student: Graph,
    teachers: Sequence[Graph],
    x: Array,
    y: Array,
    training: Training | None = None,
    teaching: Teaching | None = None,
    seed: int | None = None,
    progress: Progress | None = None,
) -> Distilled:
    """Trains a student on the mean of its teachers' scores (float or int8 graphs), and its plain counterpart.

    `seed`: the student begins with random weights, else with its own. UserError where a teacher's classes or rows
    differ from the student's, or a named layer is unknown.
    """
    training, teaching = training or Training(), teaching or Teaching()
    check(student, teachers)

    def begun() -> GraphModule:
        if seed is not None:
            return to_module(initialize(student, seed), with_batch_norm=True)
        return settle(to_module(student, with_batch_norm=True), x[:SETTLED])

    plain, pupil = begun(), Pupil(begun(), teachers, teaching)
    plain_history = fit(plain, x, y, training, progress=progress)
    loss = pupil.loss(training.label_smoothing)
    history = fit(pupil, x, y, training, loss, progress=progress)
    return Distilled(to_graph(pupil.student), history, to_graph(plain), plain_history)


def family(
    students: Sequence[Graph],
    teachers: Sequence[Graph],
    x: Array,
    y: Array,
    training: Training | None = None,
    teaching: Teaching | None = None,
    seed: int | None = None,
    progress: Progress | None = None,
) -> list[Distilled]:
    """Several students of the same teachers, the one of the most MACs first; arguments as `distill`'s."""
    ordered = sorted(students, key=macs, reverse=True)
    return [distill(s, teachers, x, y, training, teaching, seed, progress) for s in ordered]


def distillation(
    student: Graph, teachers: Sequence[Graph], teaching: Teaching | None = None, smoothing: float = 0.0
) -> Loss:
    """The loss alone, for `fit`, `prune`, `sparsify` and `train_quantized` of this student; no features."""
    check(student, teachers)
    t = teaching or Teaching()
    modules = [teacher_module(g) for g in teachers]

    def loss(module: Any, x: Value, y: Value) -> Value:
        return softened(module.logits(x), mean_logits(modules, x), y, t, smoothing)

    return loss


def softened(found: Value, wanted: Value, y: Value, t: Teaching, smoothing: float) -> Value:
    """Hinton, Vinyals and Dean, 2015: both scores at a temperature, the labels beside them."""
    soft = F.kl_div(
        F.log_softmax(found / t.temperature, 1),
        F.log_softmax(wanted / t.temperature, 1),
        reduction="batchmean",
        log_target=True,
    )
    hard = F.cross_entropy(found, y, label_smoothing=smoothing)
    return t.weight * t.temperature**2 * soft + (1 - t.weight) * hard


def mean_logits(modules: Sequence[GraphModule], x: Value) -> Value:
    with torch.no_grad():
        return torch.stack([module.logits(x) for module in modules]).mean(0)


def teacher_module(graph: Graph) -> GraphModule:
    module = to_module(dequantize(graph))
    module.eval().requires_grad_(False)
    return module


class Pupil(nn.Module):  # type: ignore[misc]
    """A student with an adaptor, a 1x1 convolution, for each layer that is to match one of its first teacher."""

    def __init__(self, student: GraphModule, teachers: Sequence[Graph], teaching: Teaching) -> None:
        super().__init__()
        self.student, self.graph, self.teaching = student, student.graph, teaching
        self.teachers = [teacher_module(g) for g in teachers]  # a list: they are not trained
        self.matched = [
            (output_of(student.graph, mine), output_of(self.teachers[0].graph, theirs))
            for mine, theirs in (teaching.features or {}).items()
        ]
        self.adaptors = nn.ModuleList(self.adaptor(*pair) for pair in self.matched)

    def adaptor(self, mine: int, theirs: int) -> Any:
        """From a student's channels to the teacher's, the same ones whatever the seed of PyTorch is."""
        shapes = self.graph.tensors[mine].shape, self.teachers[0].graph.tensors[theirs].shape
        if not len(shapes[0]) == len(shapes[1]) or len(shapes[0]) not in (2, 4):
            raise UserError(
                f"features of shape {list(shapes[0])} and {list(shapes[1])} cannot be matched",
                "name two maps, or two layers of vectors",
            )
        made = nn.Conv2d(shapes[0][-1], shapes[1][-1], 1)
        with torch.no_grad():
            spread = (1 / shapes[0][-1]) ** 0.5
            made.weight.normal_(0, spread, generator=torch.Generator().manual_seed(len(self._modules)))
            made.bias.zero_()
        return made

    def logits(self, x: Value) -> Value:
        return self.student.logits(x)

    def loss(self, smoothing: float) -> Loss:
        return lambda module, x, y: self.both(x, y, smoothing)

    def both(self, x: Value, y: Value, smoothing: float) -> Value:
        """Scores at a temperature, labels, and features where some are named."""
        values = self.student.values(x)
        found = values[logits_of(self.graph)].flatten(1)
        total = softened(found, mean_logits(self.teachers, x), y, self.teaching, smoothing)
        if not self.matched:
            return total
        with torch.no_grad():
            wanted = self.teachers[0].values(x)
        for adaptor, (mine, theirs) in zip(self.adaptors, self.matched, strict=True):
            total = total + self.teaching.feature_weight * mismatch(adaptor, values[mine], wanted[theirs])
        return total


def mismatch(adaptor: Any, found: Value, wanted: Value) -> Value:
    """Mean squared error of features as a part of their variance; the larger map is averaged to the smaller."""
    if wanted.dim() == 2:
        found, wanted = found[:, :, None, None], wanted[:, :, None, None]
    size = tuple(min(a, b) for a, b in zip(found.shape[2:], wanted.shape[2:], strict=True))
    found, wanted = (v if v.shape[2:] == size else F.adaptive_avg_pool2d(v, size) for v in (found, wanted))
    return F.mse_loss(adaptor(found), wanted) / (wanted.var() + 1e-6)


def output_of(graph: Graph, name: str) -> int:
    """What the op of this name computes."""
    named = {op.name: op.outputs[0] for op in graph.ops}
    if name not in named:
        near = difflib.get_close_matches(name, named, 1, 0) or sorted(named)
        raise UserError(f"{graph.name} has no layer {name}", f"did you mean {near[0]}?")
    return named[name]


def check(student: Graph, teachers: Sequence[Graph]) -> None:
    if not teachers:
        raise UserError(f"{student.name} has no teacher", "name one or more models")
    for teacher in teachers:
        shapes = [g.tensors[g.inputs[0]].shape for g in (student, teacher)]
        classes = [elements(g.tensors[logits_of(g)].shape) for g in (student, teacher)]
        if shapes[0] != shapes[1]:
            raise UserError(
                f"teacher {teacher.name} takes rows of {list(shapes[1][1:])}, "
                f"student {student.name} of {list(shapes[0][1:])}",
                "both see the same data",
            )
        if classes[0] != classes[1]:
            raise UserError(
                f"teacher {teacher.name} has {classes[1]} classes, student {student.name} {classes[0]}",
                "a teacher must know the student's classes, in their order",
            )
