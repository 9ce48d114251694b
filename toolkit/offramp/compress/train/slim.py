"""One set of weights that serves several widths: each takes the first channels of every layer.

Slimmable networks with the sandwich rule and in-place distillation (Yu et al., arXiv:1812.08928, arXiv:1903.05134). A
width has its own batch normalization and biases; the integers of its weights are the first ones of the widest's, its
scales of them are its own.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from offramp.compress.train.fit import History, Progress, fit
from offramp.compress.train.functions import Value
from offramp.compress.train.layer import Layer, of_graph
from offramp.compress.train.module import GraphModule, to_graph, to_module
from offramp.compress.train.width import narrowed
from offramp.compress.training import Training
from offramp.compress.weights import channel_axis, quantize_rows, rows_of
from offramp.errors import UserError
from offramp.ir import OF_WIDEST, Graph, Op, Quantization
from offramp.ops.op import Array, elements

LEAST_GAIN = 1e-3  # of batch normalization: scales of weights are positive
MOST_WIDTHS = 8


def slim(
    graph: Graph,
    x: Array,
    y: Array,
    widths: Sequence[float] = (1.0, 0.75, 0.5, 0.25),
    training: Training | None = None,
    round_to: int = 4,
    progress: Progress | None = None,
) -> tuple[Graph, History]:
    """The float graph trained from random weights at these widths, the narrower ones as its members.

    x float32 [n, *input without batch], y int64 [n]. Weights hold integers times their remembered scales, so that
    `quantize` keeps them. UserError where the widths are no shares that begin with 1 and fall, or a layer's input
    channels do not stand last in its weights.
    """
    t = training or Training()
    module = Slim(graph, checked_widths(graph, widths), t.seed, round_to)
    loss = sandwich(t.label_smoothing)
    history = fit(module, x, y, t, loss, lambda step, steps: module.keep_positive(), progress)
    return module.family(), history


def checked_widths(graph: Graph, widths: Sequence[float]) -> tuple[float, ...]:
    found = tuple(widths)
    falls = all(a > b for a, b in itertools.pairwise(found))
    if not 2 <= len(found) <= MOST_WIDTHS or found[0] != 1 or not falls or found[-1] <= 0:
        raise UserError(
            f"{graph.name}: widths {', '.join(f'{w:g}' for w in found) or 'none'}",
            f"2 to {MOST_WIDTHS} shares of the channels that begin with 1 and fall: widths = [1, 0.75, 0.5, 0.25]",
        )
    return found


class Slim(nn.Module):  # type: ignore[misc]
    """Modules of all widths, the widest first; the others' weights are parts of the widest's."""

    def __init__(self, graph: Graph, widths: tuple[float, ...], seed: int, round_to: int) -> None:
        super().__init__()
        graphs = [narrowed(graph, w, seed, round_to) for w in widths]
        for g, w in zip(graphs[1:], widths[1:], strict=True):
            check_slices(graphs[0], replace(g, name=f"{graph.name}_{100 * w:.0f}"))
        self.names = [graph.name, *(f"{graph.name}_{100 * w:.0f}" for w in widths[1:])]
        self.widths = nn.ModuleList(to_module(g, with_batch_norm=True) for g in graphs)
        self.graph = self.widths[0].graph
        for narrow in self.widths[1:]:
            for _, layer in narrow.weighted():
                del layer.core.weight
        self.share()

    def layers(self, width: GraphModule) -> list[tuple[Op, Layer, Layer]]:
        """(op, the widest's layer, the width's)."""
        wide = self.widths[0].weighted()
        return [(op, layer, own) for (op, layer), (_, own) in zip(wide, width.weighted(), strict=True)]

    def share(self) -> None:
        """Gives the narrower widths their parts of the weights as these are now."""
        for narrow in self.widths[1:]:
            for op, wide, own in self.layers(narrow):
                own.core.weight = part(op, wide.core.weight, own.core)

    def logits(self, x: Value) -> Value:
        found: Value = self.widths[0].logits(x)
        return found

    def each_logits(self, x: Value) -> list[Value]:
        """Scores [n, classes] of every width, the widest first."""
        self.share()
        return [width.logits(x) for width in self.widths]

    def keep_positive(self) -> None:
        with torch.no_grad():
            for width in self.widths:
                for _, layer in width.weighted():
                    if layer.norm is not None:
                        layer.norm.weight.clamp_(min=LEAST_GAIN)

    def family(self) -> Graph:
        """The widest graph with the others as members."""
        with torch.no_grad():
            self.share()
            graphs = [
                replace(with_integers(self, width), name=name)
                for width, name in zip(self.widths, self.names, strict=True)
            ]
        return replace(graphs[0], members=tuple(graphs[1:]))


def part(op: Op, weight: Value, core: Any) -> Value:
    """The first outputs and inputs of a weight as PyTorch holds it; a depthwise layer's inputs are its outputs."""
    if isinstance(core, nn.Linear):
        return weight[: core.out_features, : core.in_features]
    group_c = core.in_channels // core.groups
    return weight[: core.out_channels, :group_c]


def check_slices(wide: Graph, narrow: Graph) -> None:
    """UserError where a layer's weights are no slice of the widest's along first and last axis."""
    for a, b in zip(wide.ops, narrow.ops, strict=True):
        if a.kind == "fully_connected" and not a.attributes.keep_num_dims:
            shape = wide.tensors[a.inputs[0]].shape
            spread = elements(shape) > shape[-1] or is_flattened(wide, a.inputs[0])
            if spread and wide.tensors[a.inputs[1]].shape[1] != narrow.tensors[b.inputs[1]].shape[1]:
                raise UserError(
                    f"{wide.name}: {a.name} reads a whole map, whose first channels do not lie together",
                    "put a mean over the map before it",
                )
        if a.kind == "conv_2d":
            x, w = wide.tensors[a.inputs[0]].shape[3], wide.tensors[a.inputs[1]].shape[3]
            if x != w:
                raise UserError(
                    f"{wide.name}: {a.name} has {x // w} groups", "widths take one, or depthwise layers"
                )


def is_flattened(graph: Graph, tensor: int) -> bool:
    maker = graph.producers().get(tensor)
    if maker is None or graph.ops[maker].kind != "reshape":
        return False
    shape = graph.tensors[graph.ops[maker].inputs[0]].shape
    return elements(shape) > shape[-1]


def with_integers(module: Slim, width: GraphModule) -> Graph:
    """A width's graph, batch normalization folded; its weights are the widest's integers times its own scales."""
    for _, _, own in module.layers(width):
        if not isinstance(own.core.weight, nn.Parameter):
            own.core.weight = nn.Parameter(own.core.weight.detach().clone())
    graph = to_graph(width)
    tensors = list(graph.tensors)
    for op, wide, own in module.layers(width):
        t, axis = tensors[op.inputs[1]], channel_axis(op.kind)
        whole = rows_of(of_graph(op.kind, wide.core.weight.detach().numpy()), axis)
        _, scales = quantize_rows(whole, 8, np.zeros(len(whole)))
        scales = scales[: t.shape[axis]]
        if own.norm is not None:
            gain = own.norm.weight / torch.sqrt(own.norm.running_var + own.norm.eps)
            scales = scales * gain.numpy()
        scales = scales.astype(np.float32)
        shape = [1] * len(t.shape)
        shape[axis] = -1
        steps = np.clip(np.rint(t.data / scales.reshape(shape)), -127, 127)
        q = Quantization(tuple(map(float, scales)), (0,) * len(scales), axis)
        data = (steps * scales.reshape(shape)).astype(np.float32)
        tensors[op.inputs[1]] = replace(t, data=data, quantization=q, storage=OF_WIDEST)
    return replace(graph, tensors=tuple(tensors))


def sandwich(smoothing: float) -> Any:
    """Labels for the widest, half labels and half the widest's scores for the others."""

    def loss(module: Slim, x: Value, y: Value) -> Value:
        wide, *narrow = module.each_logits(x)
        target = F.softmax(wide.detach(), 1)
        found = F.cross_entropy(wide, y, label_smoothing=smoothing)
        for scores in narrow:
            taught = -(target * F.log_softmax(scores, 1)).sum(1).mean()
            found = found + (taught + F.cross_entropy(scores, y, label_smoothing=smoothing)) / 2
        return found / (1 + len(narrow))

    return loss
