"""Joint training: a backbone and the heads of its exits learn together, the heads from the last answer too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F

from offramp.compress.train.distill import check as check_teachers
from offramp.compress.train.distill import mean_logits, softened, teacher_module
from offramp.compress.train.exact import quantized, real_of
from offramp.compress.train.fit import Loss, Progress, fit
from offramp.compress.train.functions import Value, channels_first
from offramp.compress.train.module import SETTLED, GraphModule, settle, to_graph, to_module
from offramp.compress.train.qat import IntegerModule
from offramp.compress.training import RETRAINING, Shares, Teaching, Training
from offramp.errors import UserError
from offramp.ir import Graph
from offramp.ops.op import Array, elements


def train_jointly(
    graph: Graph,
    x: Array,
    y: Array,
    training: Training = RETRAINING,
    shares: Shares | None = None,
    teachers: Sequence[Graph] = (),
    progress: Progress | None = None,
) -> Graph:
    """The float graph with exits after training of all its weights, with batch normalization in between.

    x float32 [n, *input without batch], y int64 [n]. The last answer learns from the labels and, where there are
    some, from teachers (float or int8 graphs). UserError where the graph has no exits or the data do not fit.
    """
    module = settle(to_module(graph, with_batch_norm=True), x[:SETTLED])
    fit(module, x, y, training, joint_loss(graph, shares, teachers, training.label_smoothing), None, progress)
    return to_graph(module)


def joint_loss(
    graph: Graph, shares: Shares | None = None, teachers: Sequence[Graph] = (), smoothing: float = 0.0
) -> Loss:
    """Of all answers of the graph (float, or the integers made of it: `train_quantized` takes it too)."""
    check(graph)
    if teachers:
        check_teachers(graph, teachers)
    s, modules = shares or Shares(), [teacher_module(g) for g in teachers]
    taught = Teaching(s.temperature, s.taught)

    def loss(module: Any, x: Value, y: Value) -> Value:
        *of_exits, last = scores(module, x)
        if modules:
            total = softened(last, mean_logits(modules, x), y, taught, smoothing)
        else:
            total = F.cross_entropy(last, y, label_smoothing=smoothing)
        for found in of_exits:
            total = total + s.exits / len(of_exits) * softened(found, last.detach(), y, taught, smoothing)
        return total

    return loss


def scores(module: GraphModule | IntegerModule, x: Value) -> list[Value]:
    """[n, classes] before a softmax: of each exit, then of the end, for real rows."""
    g = module.graph
    wanted = [*(scores_behind(g, e.answer) for e in g.exits), scores_behind(g, 0)]
    if isinstance(module, GraphModule):
        values = module.values(x)
        return [values[t].flatten(1) for t in wanted]
    values = module.values(channels_first(quantized(g.tensors[g.inputs[0]], x)))
    return [real_of(g.tensors[t], values[t]).flatten(1) for t in wanted]


def scores_behind(graph: Graph, output: int) -> int:
    """The tensor of a classifier's scores, before the softmax that may make the output of them."""
    tensor, producers = graph.outputs[output], graph.producers()
    while tensor in producers and graph.ops[producers[tensor]].kind in ("softmax", "quantize"):
        tensor = graph.ops[producers[tensor]].inputs[0]
    return tensor


def check(graph: Graph) -> None:
    """UserError where the graph has no exits, or one whose answer has not the classes of the last."""
    if not graph.exits:
        raise UserError(f"{graph.name} has no exits to train", "add some first: --exits auto")
    classes = elements(graph.tensors[graph.outputs[0]].shape)
    for e in graph.exits:
        found = elements(graph.tensors[graph.outputs[e.answer]].shape)
        if found != classes:
            raise UserError(
                f"exit {e.name} of {graph.name} answers with {found} values, its end with {classes}",
                "joint training is for classifiers",
            )
