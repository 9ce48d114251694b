"""One form for a float graph, whatever file it came from: equal networks give equal graphs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from offramp.errors import UserError
from offramp.ir import Graph
from offramp.ops.verify import verify
from offramp.passes import canonical_fold as fold
from offramp.passes import canonical_forms as forms
from offramp.passes import canonical_layout as layout
from offramp.passes.canonical_names import port_names, renamed
from offramp.passes.fusion import Rewrite, everywhere, merge_moves, reshape_for_transpose
from offramp.passes.rewrite import without_unused

RULES: tuple[Rewrite, ...] = (
    fold.fold_constant,
    fold.constant_second,
    forms.slice_keeps_axes,
    forms.slice_of_slice,
    forms.one_of_twins,
    forms.mean_drops_axes,
    forms.mean_of_mean,
    forms.dense_of_rows,
    forms.depthwise_of_groups,
    forms.convolution_of_one_channel,
    forms.settle_window,
    forms.global_pool_as_mean,
    forms.drop_nothing,
    merge_moves,
    reshape_for_transpose,
    *layout.RULES,
    fold.hoist_above_reshape,
    fold.fuse_hard_swish,
    fold.fold_affine,
    fold.fuse_activation,
    fold.fuse_zero_padding,
)
# After all others: what they might still have taken in.
LAST: tuple[Rewrite, ...] = (forms.affine_as_depthwise, forms.with_bias)


def canonical(graph: Graph, channels_first: bool = False) -> Graph:
    """The canonical form of a float graph; `channels_first`: it comes from a format with images as N, C, H, W.

    Then its inputs and outputs become channels-last where that costs no transpose; the metadata names them.
    """
    return renamed(with_f32(form(graph, channels_first)))


def form(graph: Graph, channels_first: bool) -> Graph:
    """As canonical, but with the names that it had and constants still in float64."""
    settled = settle(graph)
    if channels_first:
        settled = with_best_ports(settled)
    return settle(settled, LAST)


def settle(graph: Graph, more: Sequence[Rewrite] = ()) -> Graph:
    """The graph after all rules, again and again until none finds anything."""
    while True:
        n = 0
        for rule in (*RULES, *more):
            graph, found = everywhere(graph, rule)
            if found:
                graph = without_unused(graph)
                n += found
        if n == 0:
            verify(graph, graph.name)
            return graph


def with_best_ports(graph: Graph) -> Graph:
    """Inputs and outputs of three or four axes are channels-last, unless that leaves more transposes to be run.

    Where it makes no difference images (four axes) are channels-last and others as they were.
    """
    ports = [i for i in (*graph.inputs, *graph.outputs) if len(graph.tensors[i].shape) in (3, 4)]
    chosen = frozenset(ports)
    best = settle(layout.channels_last(graph, chosen))
    for port in ports:
        other = settle(layout.channels_last(graph, chosen - {port}))
        gain = transposes(best) - transposes(other)
        if gain > 0 or (gain == 0 and len(graph.tensors[port].shape) == 3):
            chosen, best = chosen - {port}, other
    names = ",".join(port_names(graph)[i] for i in ports if i in chosen)
    return replace(best, metadata={**best.metadata, "channels_last": names}) if names else best


def transposes(graph: Graph) -> int:
    return sum(op.kind == "transpose" for op in graph.ops)


def with_f32(graph: Graph) -> Graph:
    """Constants rounded to f32 once, whatever was folded into them; read-only. UserError for NaN and infinity."""
    tensors = []
    for t in graph.tensors:
        data = t.data
        if data is not None and t.dtype == "f32":
            with np.errstate(over="ignore"):
                data = np.ascontiguousarray(data, np.float32)
            data.setflags(write=False)
            if not np.isfinite(data).all():
                raise UserError(
                    f"{graph.name}: {t.name} holds NaN or infinity", "train or export the model again"
                )
        tensors.append(replace(t, data=data))
    return replace(graph, tensors=tuple(tensors))
