"""Nested precision and cascades: four bits first, and eight where the margin that validation rows chose says so."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from offramp.compress.cascade import cheapest, judged_by_margin, least_margin
from offramp.compress.data import Rows
from offramp.compress.nested import nested
from offramp.errors import UserError
from offramp.ir import CASCADE_MARGIN, IN_PLANES, Graph
from offramp.reference import run_all
from tests.families import SHAPE, family


def whole() -> Graph:
    return replace(family(), members=(), metadata={})


def rows(n: int = 300) -> Rows:
    """Inputs that the eight-bit graph names rightly, but for a tenth."""
    x = np.random.default_rng(7).integers(-128, 128, (n, *SHAPE)).astype(np.int8)
    y = run_all(whole(), x)[0].reshape(n, -1).argmax(axis=1)
    return Rows(x, np.where(np.arange(n) % 10 == 0, 0, y))


def test_the_four_bit_plan_answers_and_the_eight_bit_one_where_unsure() -> None:
    """Worked out again row by row."""
    x, y = rows().labelled("the test")
    family, found = nested(whole(), rows(50).x, rows(), 0.5)
    (short,) = family.members
    assert cheapest(family) == short and short.name == f"{family.name}_4"
    assert any(t.storage == IN_PLANES for t in family.tensors)
    quick, full = (run_all(replace(g, members=()), x)[0].reshape(len(x), -1) for g in (short, family))
    right = again = 0
    for i, scores in enumerate(quick.astype(int)):
        second, first = sorted(scores)[-2:]
        unsure = first - second < found.margin
        again += unsure
        right += (full if unsure else quick)[i].argmax() == y[i]
    assert int(family.metadata[CASCADE_MARGIN]) == found.margin
    assert (found.accuracy, found.again) == (right / len(x), again / len(x))
    assert found.accuracy >= (full.argmax(axis=1) == y).mean() - 0.005
    assert judged_by_margin(family, x, y)[0].value == found.accuracy


@pytest.mark.parametrize(
    ("cheap", "lost_points", "margin"),
    [
        ([[9, 0], [9, 0]], 0, 1),  # as right as the dear one
        ([[0, 9], [9, 0]], 50, 1),
        ([[0, 9], [9, 0]], 0, 10),  # its wrong answer has a margin of 9
        ([[0, 255], [9, 0]], 0, None),  # and this one more than any margin reaches
    ],
)
def test_the_least_margin(cheap: list[list[int]], lost_points: float, margin: int | None) -> None:
    dear, y = np.array([[1, 0], [1, 0]]), np.array([0, 0])
    found = least_margin(np.array(cheap), dear, y, lost_points)
    assert (None if found is None else found.margin) == margin


def test_no_margin_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("offramp.compress.cascade.MARGINS", range(0))
    with pytest.raises(
        UserError, match=r"no margin keeps the loss within 0 points: .* [0-9.]+%, .* [0-9.]+%$"
    ):
        nested(whole(), rows(50).x, rows(), 0)
