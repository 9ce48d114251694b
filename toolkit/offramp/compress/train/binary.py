"""Hidden convolutions with weights and inputs of one bit, trained by straight-through signs."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import replace

from offramp.compress.options import BINARY
from offramp.compress.train.fit import History, Loss, Progress, fit
from offramp.compress.train.module import SETTLED, settle, to_graph, to_module
from offramp.compress.training import BINARY_TRAINING, Training
from offramp.errors import UserError
from offramp.ir import Graph, Op
from offramp.ops.op import Array
from offramp.passes.rewrite import with_op


def binarize(
    graph: Graph,
    layers: Sequence[str],
    x: Array,
    y: Array,
    training: Training = BINARY_TRAINING,
    loss: Loss | None = None,
    progress: Progress | None = None,
) -> tuple[Graph, History]:
    """The float graph with these convolutions, by op name, as binary_conv_2d, after a training; and the history.

    A layer that feeds a binary one loses its ReLU, whose signs would all be 1. Data, `loss` and `progress` are those
    of `fit`. `quantize` makes the integer graph.
    """
    module = settle(to_module(with_binary(graph, layers), with_batch_norm=True), x[:SETTLED])
    history = fit(module, x, y, training, loss, progress=progress)
    return to_graph(module), history


def with_binary(graph: Graph, layers: Sequence[str]) -> Graph:
    """The graph with other kinds of op, weights as they are. UserError where a name is no hidden convolution."""
    for name in layers:
        at = convolution(graph, name)
        graph = with_op(graph, at, replace(graph.ops[at], kind=BINARY))
        maker = graph.producers().get(graph.ops[at].inputs[0])
        if maker is None:
            raise UserError(f"{name} reads the input of {graph.name}", "only hidden layers can be binary")
        graph = with_op(graph, maker, signed(graph.ops[maker], name))
    return graph


def convolution(graph: Graph, name: str) -> int:
    """The index of a conv_2d by its name."""
    named = {op.name: i for i, op in enumerate(graph.ops) if op.kind == "conv_2d"}
    if name not in named:
        near = difflib.get_close_matches(name, named, 1, 0) or ["a conv_2d"]
        raise UserError(f"{graph.name} has no conv_2d {name} to be made binary", f"did you mean {near[0]}?")
    return named[name]


def signed(op: Op, reader: str) -> Op:
    """The op without a fused activation that leaves no negative values."""
    if op.kind in ("relu", "relu6"):
        raise UserError(
            f"{reader} reads {op.name}, a {op.kind} of its own, which has no negative values",
            "fuse it into the layer before it (offramp.passes)",
        )
    activation = getattr(op.attributes, "activation", "none")
    if activation in ("relu", "relu6"):
        return replace(op, attributes=replace(op.attributes, activation="none"))
    return op
