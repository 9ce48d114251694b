"""Graph to graph: what makes a quantized model smaller and faster without changing a bit of its results."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from offramp.ir import Graph
from offramp.ops.verify import verify
from offramp.passes.channels import remove_channels, settle_constants
from offramp.passes.fusion import (
    drop_identity,
    everywhere,
    fold_constants,
    fuse_clamp,
    fuse_pad,
    merge_moves,
    merge_tables,
    reshape_for_transpose,
)
from offramp.passes.rewrite import macs, without_unused

# A tensor that loses channels keeps a multiple of this many.
CHANNEL_MULTIPLE = 4


@dataclass(frozen=True)
class Change:
    """What one pass did; passes that found nothing leave none."""

    name: str
    count: int
    what: str  # ops | channels
    macs_before: int
    macs_after: int

    def __str__(self) -> str:
        saved = self.macs_before - self.macs_after
        macs = f" (MACs {self.macs_before:,} -> {self.macs_after:,})" if saved else ""
        return f"{self.name}: {self.count} {self.what if self.count > 1 else self.what[:-1]}{macs}"


def optimize(graph: Graph, channel_multiple: int = CHANNEL_MULTIPLE) -> tuple[Graph, list[Change]]:
    """The graph after every pass, and what the passes did, in order."""

    def channels(g: Graph) -> tuple[Graph, int]:
        return remove_channels(settle_constants(g), channel_multiple)

    changes: list[Change] = []
    for name, what, run in (
        ("drop identities", "ops", lambda g: everywhere(g, drop_identity)),
        ("reshape for transpose", "ops", lambda g: everywhere(g, reshape_for_transpose)),
        ("merge moves", "ops", lambda g: everywhere(g, merge_moves)),
        ("fuse padding", "ops", lambda g: everywhere(g, fuse_pad)),
        ("fuse activations", "ops", lambda g: everywhere(g, fuse_clamp)),
        ("merge tables", "ops", lambda g: everywhere(g, merge_tables)),
        ("fold constants", "ops", fold_constants),
        ("remove constant and dead channels", "channels", channels),
    ):
        graph, change = applied(graph, name, what, run)
        changes += [change] if change.count else []
    return graph, changes


def applied(
    graph: Graph, name: str, what: str, run: Callable[[Graph], tuple[Graph, int]]
) -> tuple[Graph, Change]:
    before = macs(graph)
    graph, count = run(graph)
    graph = without_unused(graph)
    verify(graph, f"pass {name}")
    return graph, Change(name, count, what, before, macs(graph))
