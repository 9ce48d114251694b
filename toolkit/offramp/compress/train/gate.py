"""A gate: a small network that names, from what the narrowest width's first layer makes of an input, the width to run.

It is trained to make the least of errors and cost: the sum over the widths of its share of each times how wrong the
width is, 1 less the probability of the label, and how much it costs. What an error is worth in cost is chosen on rows
of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from offramp.compress.accuracy import accuracy, input_rows
from offramp.compress.data import Rows
from offramp.compress.gating import named
from offramp.compress.quantize import quantize
from offramp.compress.train.arrays import tensor_of
from offramp.compress.train.fit import deterministic
from offramp.compress.train.functions import Value
from offramp.compress.train.layer import WEIGHTED
from offramp.errors import UserError
from offramp.ir import GATE, Graph, Op, Tensor
from offramp.ops import OPS
from offramp.ops.fully_connected import FullyConnected
from offramp.ops.op import Array, elements
from offramp.ops.pool_2d import Pool
from offramp.ops.reshape import Reshape
from offramp.passes.rewrite import macs
from offramp.reference import run_all

CELLS, HIDDEN = 4, 24  # the map is averaged over so many cells each way; units of the hidden layer
STEPS, BATCH, RATE, DECAY = 1200, 256, 4e-3, 1e-3
LEAST_WORTH, MOST_WORTH, TRIES = 0.003, 1.0, 7  # errors that the whole cost of the widest is worth


@dataclass(frozen=True)
class Gated:
    """The family with its gate as the last member, and what it did on the rows that chose it."""

    graph: Graph
    worth: float
    accuracy: float
    shares: tuple[float, ...]  # of the rows, by width
    cost: float  # in parts of the widest's


def gated(
    family: Graph,
    real: Graph,
    train: Rows,
    validation: Rows,
    lost_points: float,
    quantized: Callable[[Graph], Graph] = quantize,
    seed: int = 1,
    told: Callable[[int, int], None] = lambda done, total: None,
) -> Gated:
    """The int8 family with a gate that loses at most `lost_points` of the widest's accuracy on the validation rows.

    `real` is the float family, `quantized` makes integers of a float graph. UserError where no gate keeps that.
    """
    stem = first_layer(real.members[-1] if real.members else real)
    graphs = [replace(g, members=()) for g in (family, *family.members)]
    costs = np.array([macs(g) for g in graphs]) / macs(graphs[0])
    wrong = [1 - label_share(g, train) for g in graphs]
    x, y = validation.labelled("a gate")
    ok = np.stack([accuracy(g, x, y).right for g in graphs], axis=1)
    least = ok[:, 0].mean() - lost_points / 100
    found: list[Gated] = []
    features = pooled(stem, train.x)
    low, high = LEAST_WORTH, MOST_WORTH
    for n in range(TRIES):
        worth = (low * high) ** 0.5 if n else low
        head = trained(features, np.stack(wrong, axis=1) + worth * costs, seed)
        gate = quantized(with_head(stem, head, f"{family.name}_gate"))
        picked = named(gate, x)
        chosen = np.bincount(picked, minlength=len(graphs)) / len(picked)
        share = float(ok[np.arange(len(picked)), picked].mean())
        cost = float((chosen * costs).sum() + macs(gate) / macs(graphs[0]))
        graph = replace(
            family,
            members=(*family.members, gate),
            metadata={**family.metadata, GATE: gate.name},
        )
        found.append(Gated(graph, worth, share, tuple(map(float, chosen)), cost))
        low, high = (worth, high) if share >= least else (low, worth)
        told(n + 1, TRIES)
    good = [g for g in found if g.accuracy >= least]
    if not good:
        best = max(found, key=lambda g: g.accuracy)
        raise UserError(
            f"{family.name}: no gate keeps the loss within {lost_points} points: {best.accuracy:.2%}, "
            f"the widest {ok[:, 0].mean():.2%}",
            "allow more lost_points",
        )
    return min(good, key=lambda g: g.cost)


def first_layer(graph: Graph) -> Graph:
    """The graph up to the output of its first layer with weights, which must be a map."""
    at = next((i for i, op in enumerate(graph.ops) if op.kind in WEIGHTED), None)
    if at is None or len(graph.tensors[graph.ops[at].outputs[0]].shape) != 4:
        raise UserError(
            f"{graph.name}: its first layer makes no map [1, h, w, c]", "a gate reads a convolution's output"
        )
    return replace(graph, ops=graph.ops[: at + 1], outputs=graph.ops[at].outputs, members=(), metadata={})


def window(stem: Graph) -> Pool:
    _, h, w, _ = stem.tensors[stem.outputs[0]].shape
    fh, fw = max(1, h // CELLS), max(1, w // CELLS)
    return Pool(fh, fw, fh, fw, "valid")


def pooled(stem: Graph, x: Array) -> Array:
    """float32 [n, cells * channels]."""
    maps = run_all(stem, x.astype(np.float32))[0]
    pool = window(stem)
    n, h, w, c = maps.shape
    h, w = h // pool.filter_h * pool.filter_h, w // pool.filter_w * pool.filter_w
    cells = maps[:, :h, :w].reshape(
        n, h // pool.filter_h, pool.filter_h, w // pool.filter_w, pool.filter_w, c
    )
    found: Array = cells.mean(axis=(2, 4)).reshape(n, -1).astype(np.float32)
    return found


def scores_of(graph: Graph, rows: Rows) -> Array:
    """Real numbers [n, classes]."""
    given = input_rows(graph, rows.x)[0]
    out = run_all(graph, given)[0].reshape(len(rows), -1).astype(np.float64)
    q = graph.tensors[graph.outputs[0]].quant
    found: Array = (out - q.zero_point) * q.scale
    return found


def label_share(graph: Graph, rows: Rows) -> Array:
    """The label's part of the scores' sum, or of their exponentials' where they are no probabilities."""
    _, y = rows.labelled("a gate")
    scores = scores_of(graph, rows)
    if scores.min() < 0 or scores.max() > 1:
        scores = np.exp(scores - scores.max(axis=1, keepdims=True))
    found: Array = scores[np.arange(len(y)), y] / np.maximum(scores.sum(axis=1), 1e-9)
    return found


def trained(features: Array, price: Array, seed: int) -> Sequence[tuple[Array, Array]]:
    """Weights and bias of two dense layers: the least mean of price [n, widths], weighted with their softmax."""
    torch.manual_seed(seed)
    x, costs = tensor_of(features), tensor_of(price.astype(np.float32))
    mean, spread = x.mean(0), x.std(0) + 1e-3
    head = nn.Sequential(nn.Linear(x.shape[1], HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, price.shape[1]))
    optimizer = torch.optim.AdamW(head.parameters(), RATE, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    generator = torch.Generator().manual_seed(seed)
    with deterministic(1):
        for _ in range(STEPS):
            at = torch.randint(len(x), (BATCH,), generator=generator)
            loss = expected(head((x[at] - mean) / spread), costs[at])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    first, second = ((p.weight.detach(), p.bias.detach()) for p in (head[0], head[2]))
    w = first[0] / spread
    return [(w.numpy(), (first[1] - w @ mean).numpy()), (second[0].numpy(), second[1].numpy())]


def expected(scores: Value, costs: Value) -> Value:
    """Mean cost of the widths as the scores' softmax mixes them, in parts of what they differ."""
    return (F.softmax(scores, 1) * costs).sum(1).mean()


def with_head(stem: Graph, layers: Sequence[tuple[Array, Array]], name: str) -> Graph:
    """The stem, a mean over cells, two dense layers."""
    tensors, ops = list(stem.tensors), list(stem.ops)

    def add(kind: str, attributes: object, constants: Sequence[Tensor]) -> None:
        inputs = (ops[-1].outputs[0], *range(len(tensors), len(tensors) + len(constants)))
        tensors.extend(constants)
        shape = OPS[kind].shapes(attributes, [tensors[i] for i in inputs])[0]
        tensors.append(Tensor(f"gate_{kind}_{len(ops)}", shape, "f32"))
        ops.append(Op(kind, f"gate_{kind}_{len(ops)}", inputs, (len(tensors) - 1,), attributes))

    add("average_pool_2d", window(stem), ())
    add("reshape", Reshape((1, elements(tensors[-1].shape))), ())
    for i, layer in enumerate(layers):
        constants = [
            Tensor(f"gate_{what}_{i}", data.shape, "f32", None, np.ascontiguousarray(data, np.float32))
            for what, data in zip(("weights", "bias"), layer, strict=True)
        ]
        add("fully_connected", FullyConnected("none" if i else "relu", False), constants)
    return replace(stem, name=name, tensors=tuple(tensors), ops=tuple(ops), outputs=(len(tensors) - 1,))
