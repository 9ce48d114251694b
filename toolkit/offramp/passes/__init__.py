"""Graph to graph: what makes a quantized model smaller and faster without changing a bit of its results."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from offramp.ir import OF_WIDEST, Graph
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


# Gives the new graph, and how many things it changed.
Pass = Callable[[Graph], tuple[Graph, int]]


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
    """The graph after all passes, repeated until none finds more, and what they did in order."""
    passes: list[tuple[str, str, Pass]] = [
        ("drop identities", "ops", lambda g: everywhere(g, drop_identity)),
        ("reshape for transpose", "ops", lambda g: everywhere(g, reshape_for_transpose)),
        ("merge moves", "ops", lambda g: everywhere(g, merge_moves)),
        ("fuse padding", "ops", lambda g: everywhere(g, fuse_pad)),
        ("fuse activations", "ops", lambda g: everywhere(g, fuse_clamp)),
        ("merge tables", "ops", lambda g: everywhere(g, merge_tables)),
        ("fold constants", "ops", fold_constants),
        ("settle constants", "channels", settle_constants),
        ("remove channels", "channels", lambda g: remove_channels(g, channel_multiple)),
    ]
    if any(t.storage == OF_WIDEST for t in graph.tensors):  # their channels are not theirs alone
        passes = [row for row in passes if row[1] != "channels"]
    changes: list[Change] = []
    while True:
        found = []
        for name, what, run in passes:
            graph, change = applied(graph, name, what, run)
            found += [change] if change.count else []
        changes += found
        if not found:
            return graph, changes


def applied(graph: Graph, name: str, what: str, run: Pass) -> tuple[Graph, Change]:
    changed, count = run(graph)
    if count == 0:
        return graph, Change(name, 0, what, 0, 0)
    changed = without_unused(changed)
    verify(changed, f"pass {name}")
    return changed, Change(name, count, what, macs(graph), macs(changed))
