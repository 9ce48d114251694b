"""Weights set to zero one by one, in blocks or N of M, gradually while training."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import torch

from offramp.compress.train.fit import History, Loss, Progress, fit
from offramp.compress.train.functions import Value, channels_first, channels_last
from offramp.compress.train.module import SETTLED, settle, to_graph, to_module
from offramp.compress.training import RETRAINING, Training
from offramp.errors import UserError
from offramp.ir import Graph
from offramp.ops.op import Array

BLOCK = 4  # taps of "1x4"
RISE = 0.7  # share of the steps in which zeros become more
UPDATES = 40  # choices of zeros in that time
KINDS = (
    "conv_2d",
    "fully_connected",
)  # a depthwise layer has few weights, and no kernel that skips its zeros


def sparsify(
    graph: Graph,
    x: Array,
    y: Array,
    zeros: float = 0.9,
    pattern: str = "unstructured",
    everywhere: bool = False,
    training: Training = RETRAINING,
    loss: Loss | None = None,
    progress: Progress | None = None,
) -> tuple[Graph, History]:
    """The float graph after a training in which the smallest weights become zero, and the history.

    `zeros` is the share of the weights of convolutions and dense layers. `pattern`: "unstructured", "1x4" (blocks of
    four taps that follow one another in a channel's weights, OHWI), or "N:M" (N are left of every M such taps; then
    `zeros` is not used). `everywhere`: the same share in each layer, else where they matter least. Data, `loss` and
    `progress` are those of `fit`.
    """
    module = settle(to_module(graph, with_batch_norm=True), x[:SETTLED])
    masks = Masks(module, zeros, pattern, everywhere)
    history = fit(module, x, y, training, loss, masks.after_step, progress)
    return to_graph(module), history


def keep_zeros(module: Any) -> Callable[[int, int], None]:
    """For `fit(after_step=)`: weights that are zero now stay so, of a GraphModule or an IntegerModule."""
    weights = [layer.core.weight for _, layer in module.weighted()]
    kept = [weight.detach() != 0 for weight in weights]

    def after_step(step: int, steps: int) -> None:
        with torch.no_grad():
            for weight, mask in zip(weights, kept, strict=True):
                weight.mul_(mask)

    return after_step


def share_of_zeros(graph: Graph) -> Mapping[str, float]:
    """Of each layer that `sparsify` changes, by the op's name."""
    found = {}
    for op in graph.ops:
        data = graph.tensors[op.inputs[1]].data if op.kind in KINDS else None
        if data is not None:
            found[op.name] = float((data == 0).mean())
    return found


class Masks:
    """Which weights of a module are zero; more and more of them as training goes on."""

    def __init__(self, module: Any, zeros: float, pattern: str, everywhere: bool) -> None:
        self.weights = [layer.core.weight for op, layer in module.weighted() if op.kind in KINDS]
        self.left_of = of_groups(pattern)
        self.block = BLOCK if pattern == "1x4" else 1
        self.zeros, self.everywhere = zeros, everywhere
        if not 0 <= zeros < 1:
            raise UserError(f"a share of {zeros:g} zeros", "at least 0 and below 1")
        self.masks: list[Value] = []

    def after_step(self, step: int, steps: int) -> None:
        """For `fit`: the share of zeros rises along a cubic, as in Zhu and Gupta, 2017."""
        rise = max(1, round(RISE * steps))
        every = max(1, rise // UPDATES)
        with torch.no_grad():
            if not self.masks or (step <= rise and (step % every == 0 or step == rise)):
                self.choose(1 - (1 - min(step / rise, 1)) ** 3)
            for weight, mask in zip(self.weights, self.masks, strict=True):
                weight.mul_(mask)

    def choose(self, progress: float) -> None:
        """Masks for a part of the way, 0 to 1, to the wanted zeros."""
        if self.left_of is not None:
            left, group = self.left_of
            count = group - round((group - left) * progress)
            kept = [largest(blocks_of(rows(w), group).abs(), count) for w in self.weights]
        else:
            scores = [blocks_of(rows(w), self.block).square().sum(-1) for w in self.weights]
            kept = [
                m[..., None].expand(-1, -1, self.block)
                for m in chosen(scores, self.zeros * progress, self.everywhere)
            ]
        self.masks = [in_weights_order(m, w) for m, w in zip(kept, self.weights, strict=True)]


def of_groups(pattern: str) -> tuple[int, int] | None:
    """(N, M) of "N:M"; None for the other patterns."""
    if pattern in ("unstructured", "1x4"):
        return None
    found = re.fullmatch(r"(\d+):(\d+)", pattern)
    if found is None or not 0 < int(found[1]) < int(found[2]):
        raise UserError(f"pattern {pattern} is unknown", "known: unstructured, 1x4, N:M such as 2:4")
    return int(found[1]), int(found[2])


def rows(weight: Value) -> Value:
    """A layer's weights [channels, taps], taps in the graph's order."""
    return channels_last(weight).flatten(1)


def blocks_of(values: Value, n: int) -> Value:
    """[channels, taps] -> [channels, blocks, n]; the last block is filled with zeros."""
    return torch.nn.functional.pad(values, (0, -values.shape[1] % n)).unflatten(1, (-1, n))


def largest(groups: Value, n: int) -> Value:
    """Mask of the n largest of each group [..., m]."""
    order = groups.argsort(dim=-1, descending=True, stable=True)
    return torch.zeros_like(groups, dtype=torch.bool).scatter_(-1, order[..., :n], True)


def chosen(scores: list[Value], zeros: float, everywhere: bool) -> list[Value]:
    """Masks of what is left when this share of the blocks goes, the least scores first.

    Between layers a block's score counts as a part of those not below it in its layer (LAMP; Lee et al., 2021).
    """
    if everywhere:
        return [kept_of(s, zeros) for s in scores]
    kept = kept_of(torch.cat([relative(s) for s in scores]), zeros).split([s.numel() for s in scores])
    return [mask.reshape(s.shape) for mask, s in zip(kept, scores, strict=True)]


def relative(scores: Value) -> Value:
    """Scores, flat, as parts of the sum of those that are not smaller."""
    found, order = scores.flatten().double().sort(stable=True)
    parts = found / found.flip(0).cumsum(0).flip(0).clamp(min=1e-30)
    return torch.empty_like(parts).scatter_(0, order, parts)


def kept_of(scores: Value, zeros: float) -> Value:
    """Mask of the scores that are left when this share, the least, goes."""
    order = scores.flatten().argsort(stable=True)
    mask = torch.ones(scores.numel(), dtype=torch.bool)
    mask[order[: round(zeros * len(order))]] = False
    return mask.reshape(scores.shape)


def in_weights_order(mask: Value, weight: Value) -> Value:
    """[channels, blocks, n] -> a mask in the shape of the weight."""
    like = channels_last(weight)
    return channels_first(mask.flatten(1)[:, : like[0].numel()].reshape(like.shape))
