"""The one training loop, on two cores and repeatable to the bit."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from offramp.compress.train.arrays import tensor_of
from offramp.compress.train.augment import augmentation
from offramp.compress.train.functions import Value
from offramp.compress.train.module import logits_of
from offramp.compress.training import Training
from offramp.errors import UserError
from offramp.ir import Graph
from offramp.ops.op import Array, elements

WARM_UP = 0.2  # share of the steps in which the learning rate rises
START, END = 0.04, 0.001  # first and last learning rate, in parts of the highest

# (module, rows, labels) -> the loss to be lowered
Loss = Callable[[Any, Value, Value], Value]
AfterStep = Callable[[int, int], None]  # (steps done, steps)
Progress = Callable[[int, int, float], None]  # (steps done, steps, loss)


@dataclass(frozen=True)
class Epoch:
    number: int  # from 1
    loss: float  # mean over the epoch's steps
    accuracy: float  # on the rows held out; nan where there are none
    seconds: float  # since the start


@dataclass(frozen=True)
class History:
    epochs: tuple[Epoch, ...]
    rows: int  # trained on
    held_out: int

    @property
    def accuracy(self) -> float:
        """At the end, on the rows held out."""
        return self.epochs[-1].accuracy


def fit(
    module: Any,
    x: Array,
    y: Array,
    training: Training | None = None,
    loss: Loss | None = None,
    after_step: AfterStep | None = None,
    progress: Progress | None = None,
) -> History:
    """Trains a module that has `graph` and `logits` (GraphModule, IntegerModule), in place.

    x float32 [n, *input without batch], y int64 [n]. `loss` is cross entropy where not given. `after_step(step,
    steps)` runs after each step, `progress(step, steps, loss)` too. Equal arguments give equal bits. UserError where
    the data do not fit the graph.
    """
    t = training or Training()
    x, y = checked(module.graph, x, y)
    kept, held = split(len(x), t.validation, t.seed)
    with deterministic(t.threads):
        rows = loop(
            module, x[kept], y[kept], t, loss or cross_entropy(t.label_smoothing), after_step, progress
        )
        epochs = tuple(
            Epoch(i + 1, value, accuracy(module, x[held], y[held]) if len(held) else math.nan, seconds)
            for i, (value, seconds) in enumerate(rows)
        )
    module.eval()
    return History(epochs, len(kept), len(held))


def loop(
    module: Any, x: Array, y: Array, t: Training, loss: Loss, after_step: Any, progress: Any
) -> Iterator[tuple[float, float]]:
    """Yields (mean loss, seconds since the start) after each epoch."""
    rows, labels, batch = tensor_of(x), tensor_of(y), min(t.batch, len(x))
    a_round, generator, start = len(x) // batch, torch.Generator().manual_seed(t.seed), time.monotonic()
    steps = t.steps or max(1, round(t.epochs * a_round))
    optimizer, augment, losses = optimizer_of(module, t), augmentation(t.augment, x.ndim), list[float]()
    for step in range(steps):
        if step % a_round == 0:
            order = torch.randperm(len(x), generator=generator)
            module.train()
        chosen = order[step % a_round * batch :][:batch]
        for group in optimizer.param_groups:
            group["lr"] = t.rate * one_cycle(step, steps)
        found = loss(module, augment(rows[chosen], generator), labels[chosen])
        optimizer.zero_grad()
        found.backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), t.clip)
        optimizer.step()
        losses.append(finite(found.item(), step, t))
        for hook, value in ((after_step, ()), (progress, (losses[-1],))):
            if hook is not None:
                hook(step + 1, steps, *value)
        if (step + 1) % a_round == 0 or step + 1 == steps:
            yield sum(losses) / len(losses), time.monotonic() - start
            losses.clear()


def finite(loss: float, step: int, t: Training) -> float:
    if not math.isfinite(loss):
        raise UserError(
            f"training diverged at step {step + 1}: the loss is {loss}",
            f"lower the rate, {t.rate:g}, tenfold",
        )
    return loss


def one_cycle(step: int, steps: int) -> float:
    """Learning rate as a part of the highest."""
    top = WARM_UP * steps
    low, at = (START, step / top) if step < top else (END, 1 - (step - top) / max(steps - top, 1))
    return low + (1 - low) * (1 - math.cos(math.pi * at)) / 2


def optimizer_of(module: Any, t: Training) -> Any:
    trained = [p for p in module.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.dim() > 1], "weight_decay": t.weight_decay},
        {"params": [p for p in trained if p.dim() <= 1], "weight_decay": 0.0},
    ]
    if t.optimizer == "sgd":
        return torch.optim.SGD(groups, t.rate, momentum=0.9, nesterov=True)
    if t.optimizer == "adamw":
        return torch.optim.AdamW(groups, t.rate)
    raise UserError(f"optimizer {t.optimizer} is unknown", "known: sgd, adamw")


def cross_entropy(smoothing: float = 0.0) -> Loss:
    return lambda module, x, y: F.cross_entropy(module.logits(x), y, label_smoothing=smoothing)


def predict(module: Any, x: Array, batch: int = 500) -> Array:
    """Scores float32 [n, classes] of rows x, in evaluation mode."""
    module.eval()
    with torch.no_grad():
        return np.concatenate([module.logits(part).numpy() for part in tensor_of(x).split(batch)])


def accuracy(module: Any, x: Array, y: Array) -> float:
    """Share of the rows whose highest score is their label's."""
    return float((predict(module, x).argmax(axis=1) == y).mean())


def split(n: int, share: float, seed: int) -> tuple[Array, Array]:
    """Row numbers to train on, and those held out."""
    order = np.random.default_rng(seed).permutation(n)
    held = min(round(n * share), n - 1)
    return np.sort(order[held:]), np.sort(order[:held])


@contextmanager
def deterministic(threads: int) -> Iterator[None]:
    """Within it equal computations give equal bits; PyTorch's settings come back after it."""
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        torch.use_deterministic_algorithms(before[1])


def checked(graph: Graph, x: Array, y: Array) -> tuple[Array, Array]:
    """Rows float32 and labels int64 that fit the graph; UserError says what does not."""
    shape, classes = graph.tensors[graph.inputs[0]].shape[1:], elements(graph.tensors[logits_of(graph)].shape)
    if len(graph.inputs) != 1:
        raise UserError(f"{graph.name} has {len(graph.inputs)} inputs, training takes one", "join them")
    if x.shape[1:] != shape:
        raise UserError(
            f"rows have the shape {list(x.shape[1:])}, the model takes {list(shape)}", "reshape x"
        )
    if y.shape != (len(x),):
        raise UserError(f"{len(x)} rows and labels of shape {list(y.shape)}", "one label a row is needed")
    if len(x) < classes:
        raise UserError(f"{len(x)} samples, the model has {classes} classes", "some of each class are needed")
    bad = np.flatnonzero(~np.isfinite(x).reshape(len(x), -1).all(axis=1))
    if len(bad):
        raise UserError(
            f"{len(bad)} of {len(x)} rows hold NaN or infinity, first row {bad[0]}", "clean the data"
        )
    wrong = np.flatnonzero((y < 0) | (y >= classes))
    if len(wrong):
        raise UserError(
            f"label {y[wrong[0]]} of row {wrong[0]}, the model has classes 0 to {classes - 1}",
            f"{len(wrong)} labels are out of range",
        )
    return np.ascontiguousarray(x, np.float32), np.ascontiguousarray(y, np.int64)
