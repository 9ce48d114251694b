"""The zoo's variant with exits: what its heads cost, and what the exits promise against a plain network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from offramp import boards
from offramp.cli.exits import exits_report
from offramp.compress.accuracy import Accuracy, accuracy, difference, input_rows
from offramp.compress.data import Rows, Source, load_data
from offramp.compress.exits.judging import evidence_on, without_exits
from offramp.exits import answers
from offramp.frontends import load_model
from offramp.ir import Graph
from offramp.pack import pack
from offramp.plan import Options
from offramp.resources import root
from offramp_host.emulated import outputs_on

pytestmark = pytest.mark.emulator

ZOO = root() / "models" / "fashion_mnist"
IDX = Path("/usr/share/datasets/fashion-mnist")
M4 = "mps2_an386"
HEAD, HEADS_BYTES = 0.02, 0.05  # shares of the network's instructions and bytes
MOST_MEAN, MOST_LOST = 0.5, 0.005
RIVALS = ("half", "plain")  # without exits, of at least as many instructions as the mean


def graph(variant: str) -> Graph:
    return load_model(ZOO / f"{variant}.ofg")


def instructions(g: Graph) -> int:
    """The plan's estimate, which is what thresholds were chosen by."""
    return pack(g, boards.load(M4), Options())[0].instructions


def test_heads_within_their_budgets() -> None:
    target, plain = boards.load(M4), without_exits(graph("exits"))
    plan, blob = pack(graph("exits"), target, Options())
    bare, bare_blob = pack(plain, target, Options())
    heads = [stage.head_instructions / bare.instructions for stage in plan.stages[:-1]]
    share = len(blob) / len(bare_blob) - 1
    print(
        f"heads {', '.join(f'{h:.2%}' for h in heads)} of the instructions, {share:.2%} of the bytes together"
    )
    assert len(heads) == 2 and max(heads) <= HEAD and share <= HEADS_BYTES
    assert abs(bare.instructions / instructions(graph("int8")) - 1) < 0.005
    assert bare.arena_bytes <= plan.arena_bytes <= 1.01 * bare.arena_bytes


def few() -> Rows:
    images = np.load(ZOO / "test_images.npz")
    return Rows((images["x"].astype(np.float32) + 128) / 255, images["y"].astype(np.int64))


def all_rows() -> Rows:
    if not IDX.exists():
        pytest.skip("needs the Debian package dataset-fashion-mnist")
    test = load_data(Source(str(IDX), 255), root()).test
    assert test is not None
    return test


@pytest.mark.parametrize("count", [12, pytest.param(500, marks=pytest.mark.soak)])
def test_the_board_leaves_where_the_reference_does(count: int) -> None:
    g, x = graph("exits"), (few() if count <= 200 else all_rows()).x[:count]
    given = input_rows(g, x)[0]
    expected = answers(g, given)
    left = expected.left([e.threshold for e in g.exits])
    every = [*expected.exits, expected.last]
    found = outputs_on(boards.load(M4), pack(g, boards.load(M4), Options())[1], list(given))
    equal = sum(
        np.array_equal(a.ravel(), every[e][i].ravel())
        for i, (a, e) in enumerate(zip(found, left, strict=True))
    )
    print(
        f"{equal} of {count} equal; left by each exit and the end: {[int((left == e).sum()) for e in (0, 1, -1)]}"
    )
    assert equal == count and len(set(left)) == 3


@pytest.mark.soak
def test_half_of_the_instructions_for_half_a_point() -> None:
    """Thresholds were chosen on validation rows; these rows chose nothing."""
    g, rows = graph("exits"), all_rows()
    found = exits_report(g, rows, boards.load(M4))
    judged, mean = found["judged"], found["judged"].cost
    print(f"mean {mean:,.0f} of {found['cost_without_exits']:,.0f} instructions, {judged}")
    assert mean <= MOST_MEAN * found["cost_without_exits"] and judged.lost <= MOST_LOST
    assert rows.y is not None
    evidence = evidence_on(g, rows.x, rows.y)
    left = answers(g, input_rows(g, rows.x)[0]).left(found["thresholds"])
    right = Accuracy(evidence.right[left, np.arange(len(left))])
    for name in RIVALS:
        rival = graph(name)
        gained, cost = difference(accuracy(rival, rows.x, rows.y), right), instructions(rival)
        print(f"against {name} of {cost:,} instructions: {gained}")
        assert cost >= mean and gained.value > gained.stderr
