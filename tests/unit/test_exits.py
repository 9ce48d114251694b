"""Exits of a graph: what confidence is, where rows leave, the file that keeps them, and what is refused."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from offramp import ofg
from offramp.compress.exits.heads import NEVER, with_heads
from offramp.compress.exits.points import choose
from offramp.compress.quantize import quantize
from offramp.errors import UserError
from offramp.exits import LAST, Answers, confidence
from offramp.ir import CONFIDENCES, MAX_EXITS, Exit, Graph
from offramp.ops.verify import verify
from tests.float_nets import digits_net


def slowly(kind: str, row: list[int], least: int) -> int:
    """The page's words in plain Python, one row."""
    u = [value - least for value in row]
    if kind == "margin":
        first = max(u)
        rest = u[: u.index(first)] + u[u.index(first) + 1 :]
        return first - max(rest) if rest else 0
    if kind == "maximum":
        return max(u)
    if kind == "error":
        return 255 - u[0]
    total = 0
    for value in u:
        if value:
            total += round(-value / 256 * math.log2(value / 256) * 4096)
    return max(0, 65535 - total)


@pytest.mark.parametrize("kind", CONFIDENCES)
@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
@pytest.mark.parametrize("values", [1, 2, 3, 12, 100])
def test_confidence_is_what_the_page_says(kind: str, dtype: type, values: int) -> None:
    rng = np.random.default_rng(values)
    ends = np.iinfo(dtype)
    rows = [rng.integers(ends.min, ends.max + 1, (200, values)) for _ in range(2)]
    # Estimates as a softmax gives them: they add up to about 256.
    shares = rng.dirichlet(np.full(values, 0.3), 200)
    rows.append(np.clip(np.rint(shares * 256), 0, 255) + ends.min)
    rows.append(np.array([[ends.min] * values, [ends.max] * values]))
    every = np.concatenate(rows).astype(dtype)
    found = confidence(kind, every.reshape(len(every), 1, values))
    assert found.tolist() == [slowly(kind, row, ends.min) for row in every.tolist()]
    assert found.min() >= 0 and found.max() <= 65535


def test_a_row_leaves_by_the_first_exit_that_is_sure() -> None:
    rng = np.random.default_rng(0)
    confidences = rng.integers(0, 6, (3, 500))
    answers = Answers([], confidences, np.zeros((500, 4), np.int8))
    for thresholds in ((3, 3, 3), (0, 0, 0), (6, 6, 6), (5, 0, 6)):
        wanted = []
        for row in confidences.T.tolist():
            sure = [i for i, (c, t) in enumerate(zip(row, thresholds, strict=True)) if c >= t]
            wanted.append(sure[0] if sure else LAST)
        assert answers.left(thresholds).tolist() == wanted


def graph() -> Graph:
    """Integers, with two exits."""
    real = digits_net()
    rows = np.random.default_rng(0).uniform(0, 1, (40, 8, 8, 1)).astype(np.float32)
    return quantize(with_heads(real, choose(real, "auto", 2)), rows)


def test_a_file_keeps_exits() -> None:
    found = graph()
    exits = tuple(
        replace(e, threshold=t, confidence=c)
        for e, t, c in zip(found.exits, (0, 65535), ("entropy", "maximum"), strict=True)
    )
    found = replace(found, exits=exits)
    again = ofg.load(ofg.dump(found), "net.ofg")
    assert again.exits == exits and len(exits) == 2
    assert again.own_outputs == found.own_outputs == found.outputs[:1]
    assert ofg.dump(again) == ofg.dump(found)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"answer": 7}, "exits refer to the outputs"),
        ({"answer": 0, "estimate": 0}, "exits refer to the outputs"),
        ({"answer": 2, "estimate": 2}, "exits refer to the outputs"),
        ({"threshold": 65536}, "with 65536"),
        ({"threshold": -1}, "with -1"),
        ({"confidence": "luck"}, "the luck of"),
    ],
)
def test_exits_that_are_wrong_are_refused(change: dict[str, int | str], said: str) -> None:
    found = graph()
    first = replace(found.exits[0], **change)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=said):
        verify(replace(found, exits=(first, *found.exits[1:])), "net")


def test_more_exits_than_the_format_holds_are_refused() -> None:
    found = graph()
    own, extra = found.outputs[0], found.outputs[1]
    count = MAX_EXITS + 1
    exits = tuple(Exit(f"e{i}", 1 + i, 1 + i, "margin", NEVER) for i in range(count))
    with pytest.raises(UserError, match=f"{count} exits, a plan holds {MAX_EXITS}"):
        verify(replace(found, outputs=(own, *[extra] * count), exits=exits), "net")
