"""Where an exit can stand: layers behind which one tensor alone carries everything that is still needed."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from offramp.compress.exits.options import AUTO
from offramp.errors import UserError
from offramp.ir import MAX_EXITS, Graph, Op
from offramp.ops import OPS
from offramp.ops.op import elements
from offramp.passes.rewrite import macs

AUTO_EXITS = 3  # more heads cost more than they save in networks of this size
EARLIEST, LATEST = 0.1, 0.9  # share of the MACs before an exit that "auto" takes
# What a block does not end with: the next op belongs to it.
INSIDE = ("depthwise_conv_2d", "reshape", "transpose", "pad", "quantize", "softmax")
AFTER = ("relu", "relu6", "leaky_relu", "hard_swish", "logistic", "tanh", "table", "quantize")


@dataclass(frozen=True)
class Point:
    """Behind op `at`, on tensor `tensor`, through which everything flows."""

    layer: str  # as an exit is named
    at: int
    tensor: int
    share: float  # of the graph's MACs that are done here
    channels: int
    ends_block: bool  # whether "auto" may take it


def points(graph: Graph) -> list[Point]:
    """All of a float or integer graph, in order: cuts with MACs on both sides.

    UserError where the graph keeps state: a run that leaves early would not update it.
    """
    if graph.variables:
        raise UserError(
            f"{graph.name} keeps state from run to run ({graph.variables[0].name}), a run that leaves early "
            "would not update it",
            "exits need a model without state",
        )
    total, done, names, readers = macs(graph), 0, layer_names(graph), graph.consumers()
    found = []
    for at, op in enumerate(graph.ops):
        done += op_macs(graph, op)
        if not 0 < done < total or not is_cut(graph, at):
            continue
        next_ops = [graph.ops[i] for i in readers[op.outputs[0]]]
        ends = op.kind not in INSIDE and not (len(next_ops) == 1 and next_ops[0].kind in AFTER)
        shape = graph.tensors[op.outputs[0]].shape
        found.append(Point(names[at], at, op.outputs[0], done / total, shape[-1], ends))
    return found


def is_cut(graph: Graph, at: int) -> bool:
    """Whether behind op `at` nothing but its only output is needed of what was computed or given before."""
    op = graph.ops[at]
    if len(op.outputs) != 1:
        return False
    before = set(graph.inputs) | {t for o in graph.ops[: at + 1] for t in o.outputs}
    needed = {t for o in graph.ops[at + 1 :] for t in o.inputs} | set(graph.outputs)
    return before & needed == {op.outputs[0]} and op.outputs[0] not in graph.outputs


def op_macs(graph: Graph, op: Op) -> int:
    inputs = [graph.tensors[i] if i >= 0 else None for i in op.inputs]
    return OPS[op.kind].macs(op.attributes, inputs, [graph.tensors[i] for i in op.outputs])


def layer_names(graph: Graph) -> list[str]:
    """Of each op the end of its name's path where that is unique, as `offramp inspect` prints it; else all of it."""
    short = ["/".join(op.name.split(";")[0].split("/")[-2:]) for op in graph.ops]
    return [s if s and short.count(s) == 1 else op.name for s, op in zip(short, graph.ops, strict=True)]


def choose(graph: Graph, at: str | Sequence[str], at_most: int = MAX_EXITS) -> list[Point]:
    """The points of these layers, in the graph's order, or for "auto" some at even distances, AUTO_EXITS at most.

    UserError where a layer does not exist, is no cut or stands behind the last one, and for too many.
    """
    known = points(graph)
    if at == AUTO:
        return automatic(graph, known, min(at_most, AUTO_EXITS))
    wanted = [at] if isinstance(at, str) else list(dict.fromkeys(at))
    if len(wanted) > at_most:
        raise UserError(f"{len(wanted)} exits, at most {at_most} are possible", "leave out some")
    by_op = {p.at: p for p in known}
    chosen = {index: point_of(graph, by_op, index, name) for name in wanted for index in [find(graph, name)]}
    return [chosen[index] for index in sorted(chosen)]


def find(graph: Graph, name: str) -> int:
    """Index of the op with this name, whole or short; UserError with the nearest names."""
    names = layer_names(graph)
    found = [i for i, op in enumerate(graph.ops) if name in (op.name, op.name.split(";")[0], names[i])]
    if len(found) == 1:
        return found[0]
    if found:
        raise UserError(f"{graph.name} has {len(found)} layers {name}", "give the layer's whole name")
    near = difflib.get_close_matches(name, names, 3, 0.3) or names[:3]
    raise UserError(f"{graph.name} has no layer {name}", f"nearest: {', '.join(near)}")


def point_of(graph: Graph, known: dict[int, Point], at: int, name: str) -> Point:
    if at in known:
        return known[at]
    possible = ", ".join(p.layer for p in known.values() if p.ends_block) or "none"
    last = max((i for i, op in enumerate(graph.ops) if op_macs(graph, op)), default=0)
    if at >= last:
        raise UserError(
            f"an exit behind {name} would save nothing: no layer follows",
            f"layers that an exit can follow: {possible}",
        )
    raise UserError(
        f"no exit can stand behind {name}: what flows beside it is needed later",
        f"layers that an exit can follow: {possible}",
    )


def automatic(graph: Graph, known: list[Point], count: int) -> list[Point]:
    """Ends of blocks whose shares of the MACs are the nearest to even distances."""
    able = [p for p in known if p.ends_block and EARLIEST <= p.share <= LATEST]
    if not able:
        raise UserError(
            f"{graph.name} has no place for an exit between {EARLIEST:.0%} and {LATEST:.0%} of its MACs",
            f"name a layer: {', '.join(p.layer for p in known) or 'there is none'}",
        )
    chosen: list[Point] = []
    for i in range(min(count, len(able))):
        target = (i + 1) / (count + 1)
        left = [p for p in able if p not in chosen]
        chosen.append(
            min(left, key=lambda p: (abs(p.share - target), elements(graph.tensors[p.tensor].shape)))
        )
    return sorted(chosen, key=lambda p: p.at)
