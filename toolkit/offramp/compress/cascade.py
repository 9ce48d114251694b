"""A cascade of two: the cheapest graph of a family answers; where its two largest scores are close, the first does."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from offramp.compress.accuracy import Accuracy, input_rows
from offramp.compress.data import Rows
from offramp.compress.gating import widths
from offramp.errors import UserError
from offramp.ir import CASCADE_MARGIN, IN_PLANES, Graph
from offramp.passes.rewrite import macs
from offramp.reference import run_all

Array = NDArray[Any]
MARGINS = range(1, 256)  # a blob that states 0 states none


@dataclass(frozen=True)
class Cascade:
    """What a margin does on rows."""

    margin: int  # of the two largest outputs, in their integers; below it the dear graph runs too
    accuracy: float  # of the two together
    again: float  # share of the rows that ran twice
    accuracy_dear: float
    accuracy_cheap: float


def cascaded(family: Graph, validation: Rows, lost_points: float) -> tuple[Graph, Cascade]:
    """The int8 family with the least margin that loses at most `lost_points` against its first graph on these rows.

    UserError where the family has no members, or no margin keeps that.
    """
    x, y = validation.labelled("a cascade")
    cheap, dear = scores_of(cheapest(family), x), scores_of(family, x)
    found = least_margin(cheap, dear, y, lost_points)
    if found is None:
        shares = [float((scores.argmax(axis=1) == y).mean()) for scores in (cheap, dear)]
        raise UserError(
            f"{family.name}: no margin keeps the loss within {lost_points} points: {cheapest(family).name} "
            f"{shares[0]:.2%}, {family.name} {shares[1]:.2%}",
            "allow more lost_points, or train the cheapest further",
        )
    return replace(family, metadata={**family.metadata, CASCADE_MARGIN: str(found.margin)}), found


def cheapest(family: Graph) -> Graph:
    """Of those that answer the one of fewest MACs, without members; of nested precision the four-bit one.

    UserError where none takes fewer than the first: no board would run it first.
    """
    first, *others = widths(family)
    if not others:
        raise UserError(
            f"{family.name} holds one graph, a cascade wants two", "slim or family before it makes others"
        )
    found = min(others, key=macs)
    if macs(found) >= macs(first) and not any(t.storage == IN_PLANES for t in found.tensors):
        raise UserError(
            f"{family.name}: no member takes fewer MACs than its {macs(first):,}, asking one first saves nothing",
            "make the cheapest the member and the dearest the first, of fewer channels: slim, student or prune",
        )
    return found


def least_margin(cheap: Array, dear: Array, y: Array, lost_points: float) -> Cascade | None:
    """From scores [n, classes], in integers, and labels [n]; None: no margin loses so little."""
    unsure = margins(cheap)
    right_cheap, right_dear = cheap.argmax(axis=1) == y, dear.argmax(axis=1) == y
    of_cheap, of_dear = float(right_cheap.mean()), float(right_dear.mean())
    for margin in MARGINS:
        again = unsure < margin
        accuracy = float(np.where(again, right_dear, right_cheap).mean())
        if accuracy >= of_dear - lost_points / 100:
            return Cascade(margin, accuracy, float(again.mean()), of_dear, of_cheap)
    return None


def margins(scores: Array) -> Array:
    """[n]: the largest of each row less the second largest."""
    top = np.sort(scores, axis=1)
    found: Array = top[:, -1] - top[:, -2]
    return found


def scores_of(graph: Graph, x: Array) -> Array:
    """int64 [n, classes] for rows x [n, ...] in real numbers."""
    alone = replace(graph, members=())
    found: Array = run_all(alone, input_rows(alone, x)[0])[0].reshape(len(x), -1).astype(np.int64)
    return found


def judged_by_margin(family: Graph, x: Array, y: Array) -> tuple[Accuracy, float]:
    """The family's accuracy under the margin it states, and the share of the rows that run twice."""
    cheap, dear = scores_of(cheapest(family), x), scores_of(family, x)
    again = margins(cheap) < int(family.metadata[CASCADE_MARGIN])
    answers = np.where(again, dear.argmax(axis=1), cheap.argmax(axis=1))
    return Accuracy(np.asarray(answers == y)), float(again.mean())
