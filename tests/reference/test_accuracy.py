"""Accuracy, its errors, and labels that do not fit."""

from __future__ import annotations

import numpy as np
import pytest

from offramp.compress.accuracy import Accuracy, accuracy, agreement, classes, difference, input_rows
from offramp.compress.quantize import quantize
from offramp.errors import UserError
from tests.float_layers import random_float_net, rows_of

GRAPH = random_float_net(2)
X = rows_of(GRAPH, 80)


def test_of_float_and_integer_graphs() -> None:
    y = classes(GRAPH, X)
    assert accuracy(GRAPH, X, y).value == 1
    y[:20] = (y[:20] + 1) % 5
    found = accuracy(GRAPH, X, y)
    assert (found.value, found.samples) == (0.75, 80)
    assert found.stderr == pytest.approx(np.sqrt(0.75 * 0.25 / 80))
    assert str(found) == "75.00 ± 4.84 % of 80"
    made = quantize(GRAPH, X)
    assert agreement(GRAPH, made, X).value > 0.9
    assert np.array_equal(
        classes(made, X), classes(made, input_rows(made, X)[0])
    )  # int8 rows are taken as they are


def test_paired_error_is_of_the_rows_that_differ() -> None:
    first = Accuracy(np.arange(1000) % 10 < 9)
    second = Accuracy(first.right ^ (np.arange(1000) % 100 == 0))
    found = difference(first, second)
    assert found.value == pytest.approx(-0.01)
    assert found.stderr == pytest.approx(np.sqrt((0.01 - 0.0001) / 1000))
    assert found.stderr < 0.5 * first.stderr


REFUSED = {
    "too many": (np.zeros(81, int), "81 labels for 80 rows"),
    "above": (
        np.r_[np.zeros(79, int), 7],
        "label 7 of row 79 is out of range: net has 5 classes, 1 of 80 labels",
    ),
    "below": (np.r_[-1, np.zeros(79, int)], "label -1 of row 0 is out of range"),
    "fractions": (np.full(80, 0.5), "labels are float64"),
    "names": (np.full(80, "cat"), "labels are <U3"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_labels_that_do_not_fit(name: str) -> None:
    y, message = REFUSED[name]
    with pytest.raises(UserError) as error:
        accuracy(GRAPH, X, y)
    assert message in error.value.message and error.value.hint


def test_rows_that_do_not_fit() -> None:
    with pytest.raises(UserError, match="the model takes"):
        accuracy(GRAPH, X[:, :3], np.zeros(80, int))
    with pytest.raises(UserError, match="no rows"):
        accuracy(GRAPH, X[:0], np.zeros(0, int))
