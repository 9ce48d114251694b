"""What a user may choose about exits on a frozen graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from offramp.errors import UserError
from offramp.ir import MAX_EXITS

AUTO = "auto"


@dataclass(frozen=True)
class FrozenOptions:
    """How heads are trained."""

    hidden: int | None = None  # values between two dense layers, 0: one layer; None: from the budgets
    folds: int = 5  # parts of the rows, each judged by heads that never saw it
    mixtures: int = 8  # a row: mixed with other rows, answered by the graph itself
    own: float = 0.5  # share of the graph's own answer beside the label
    final: bool = False  # train the last dense layer too
    seed: int = 0


def check_asked(at: Sequence[str], lost_points: float, of_at: str, of_lost_points: str) -> None:
    """What can be told without a graph, before any work is done; messages begin with `of_at`, `of_lost_points`."""
    twice = [name for i, name in enumerate(at) if name in at[:i]]
    wrong = ""
    if not all(at):
        wrong = "a layer has no name"
    elif twice:
        wrong = f"{twice[0]} is named twice"
    elif AUTO in at and len(at) > 1:
        wrong = "auto stands alone"
    elif len(at) > MAX_EXITS:
        wrong = f"{len(at)} exits, at most {MAX_EXITS} are possible"
    if wrong:
        raise UserError(f"{of_at}: {wrong}", "auto, or layers as `offramp inspect` prints them, each once")
    if not 0 < lost_points <= 100:
        raise UserError(
            f"{of_lost_points}: {lost_points:g} is no number of points above 0, up to 100",
            "1 lets exits lose one point of accuracy; n labelled rows prove 270/n at best",
        )
