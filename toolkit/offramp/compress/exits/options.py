"""What a user may choose about exits on a frozen graph."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FrozenOptions:
    """How heads are trained."""

    hidden: int | None = None  # values between two dense layers, 0: one layer; None: from the budgets
    folds: int = 5  # parts of the rows, each judged by heads that never saw it
    mixtures: int = 8  # a row: mixed with other rows, answered by the graph itself
    own: float = 0.5  # share of the graph's own answer beside the label
    final: bool = False  # train the last dense layer too
    seed: int = 0
