"""Trains heads of exits on features that are computed once; many heads, one a fold, at a time."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from offramp.compress.train.arrays import tensor_of
from offramp.compress.train.fit import deterministic
from offramp.compress.train.functions import Value
from offramp.compress.train.module import to_module
from offramp.ir import Graph
from offramp.ops.op import Array

Layers = list[tuple[Array, Array]]  # of a head: weights [out, in] and bias [out] of each dense layer
FLOOR = 0.02  # with 0.1 heads of a keyword network lost 3 points on rows held out
EVERY = 10  # steps between looks at the rows that are held out


@dataclass(frozen=True)
class HeadTraining:
    """The whole set is one batch; Adam, whose rate falls to 0 along a half cosine."""

    steps: int = 200  # at most: as many as serve the rows held out best
    rate: float = 0.02
    weight_decay: float = 0.01  # times half the sum of squares is added to the loss
    seed: int = 0


def fit_heads(
    x: Array,
    targets: Array,
    weights: Array,
    held: Array,
    hidden: Sequence[int] = (),
    is_error: bool = False,
    training: HeadTraining | None = None,
) -> list[Layers]:
    """One head for each row of `weights`, on features x [n, d] standardized; equal arguments give equal bits.

    `targets` [n, outputs] are probabilities of classes, or with `is_error` values that a head estimates; `weights`
    [heads, n] say how much each row counts for each head, and `held` [heads, n] the rows that only judge how many steps
    all heads take. Without any, or for a head that has none, all steps are taken.
    """
    t = training or HeadTraining()
    mean, deviation = x.mean(axis=0), spread(x)
    zero, unit = (float(targets.mean()), float(targets.std()) + 1e-12) if is_error else (0.0, 1.0)
    with deterministic(1):
        z, goal, w, out = (
            tensor_of(np.asarray(a, np.float32))
            for a in ((x - mean) / deviation, (targets - zero) / unit, weights, held)
        )
        w = w / w.sum(dim=1, keepdim=True)
        found = trained(z, goal, w, out, [x.shape[1], *hidden, targets.shape[1]], is_error, t)
    heads = [[(a.numpy(), b.numpy()) for a, b in layers] for layers in found]
    return [on_features(layers, mean, deviation, zero, unit) for layers in heads]


def trained(
    z: Value, goal: Value, w: Value, held: Value, sizes: Sequence[int], is_error: bool, t: HeadTraining
) -> list[list[tuple[Value, Value]]]:
    """The heads' layers at the step at which the loss of the rows held out was least."""
    layers = begun(len(w), sizes, t.seed)
    every = [p for layer in layers for p in layer]
    optimizer = torch.optim.Adam(every, lr=t.rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, t.steps)
    judged = held.any(dim=1)
    best, kept = float("inf"), [p.detach().clone() for p in every]
    for step in range(1, t.steps + 1):
        loss = losses(forward(z, layers), goal, is_error)
        size = sum((a**2).sum() for a, _ in layers)
        total = (loss * w).sum() + t.weight_decay / 2 * size
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        schedule.step()
        if step % EVERY == 0 or step == t.steps:
            with torch.no_grad():
                now = float((losses(forward(z, layers), goal, is_error) * held)[judged].sum())
            if now < best or not judged.any():
                best, kept = now, [p.detach().clone() for p in every]
    return [[(kept[i][head], kept[i + 1][head, 0]) for i in range(0, len(kept), 2)] for head in range(len(w))]


def begun(heads: int, sizes: Sequence[int], seed: int) -> list[tuple[Value, Value]]:
    """Weights [heads, out, in], the same for each head, and biases [heads, 1, out]."""
    random = torch.Generator().manual_seed(seed)
    found = []
    for k, out in itertools.pairwise(sizes):
        start = torch.randn(1, out, k, generator=random) * (1 / k) ** 0.5
        parameters = start.repeat(heads, 1, 1), torch.zeros(heads, 1, out)
        found.append(tuple(p.requires_grad_() for p in parameters))
    return found


def forward(z: Value, layers: Sequence[tuple[Value, Value]]) -> Value:
    """[heads, n, outputs] of features [n, d]."""
    for i, (weights, bias) in enumerate(layers):
        z = z @ weights.transpose(1, 2) + bias
        z = F.relu(z) if i < len(layers) - 1 else z
    return z


def losses(out: Value, goal: Value, is_error: bool) -> Value:
    """[heads, n]: cross entropy, or of errors the square of the difference."""
    if is_error:
        return ((out - goal) ** 2).sum(dim=2)
    return -(goal * F.log_softmax(out, dim=2)).sum(dim=2)


def spread(x: Array) -> Array:
    """Standard deviation of each feature, not below FLOOR times their root mean square; infinite where it is 0.

    Weights are divided by it: of a feature that hardly changes one would be so large that the others, of the same
    integers, were rounded away.
    """
    found = x.std(axis=0)
    floor = FLOOR * float(np.sqrt((found**2).mean()))
    return np.where(found > 0, np.maximum(found, floor), np.inf)


def on_features(layers: Layers, mean: Array, deviation: Array, zero: float, unit: float) -> Layers:
    """Layers that take features as they are, and give targets as they were."""
    (weights, bias), *rest = layers
    first = weights / deviation
    found = [(first, bias - first @ mean), *rest]
    weights, bias = found[-1]
    found[-1] = (weights * unit, bias * unit + zero)
    return [(a.astype(np.float32), b.astype(np.float32)) for a, b in found]


def features_of(graph: Graph, x: Array, rows: int = 256) -> list[Array]:
    """Outputs [n, ...] of a float graph by PyTorch, which is faster than the reference by far."""
    module = to_module(graph).eval()
    with torch.no_grad(), deterministic(1):
        parts = [module(tensor_of(x[i : i + rows])) for i in range(0, len(x), rows)]
    return [torch.cat(found).numpy() for found in zip(*parts, strict=True)]
