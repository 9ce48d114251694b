"""The cost table against models that gave it nothing, and that no choice changes a bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from offramp.blob import write
from offramp.plan import OPTIMIZE, Options, make_plan
from offramp.reference import Reference
from tests.emulator.grid import GridCase, failures, run_grid
from tests.unit.test_choose import NET, reading
from tools import bench
from tools.cost_check import MEDIAN, WORST, errors, judged

pytestmark = pytest.mark.emulator

MODELS = ("KWS", "AD", "fashion_mnist")
CELLS = [cell for cell in bench.cells() if cell[1] != "microbit"]  # which holds none of these models


def check(model: str, board: str, variant: str) -> None:
    median, worst = errors(judged(board, model, bench.options(variant)))
    assert median <= MEDIAN and worst <= WORST


@pytest.mark.parametrize(
    ("model", "board", "variant"), [c for c in CELLS if c[0] in MODELS and c[2] == bench.BALANCED]
)
def test_predicted_instructions(model: str, board: str, variant: str) -> None:
    check(model, board, variant)


@pytest.mark.soak
@pytest.mark.parametrize(("model", "board", "variant"), CELLS)
def test_predicted_instructions_of_all(model: str, board: str, variant: str) -> None:
    check(model, board, variant)


def test_no_choice_changes_a_bit(tmp_path: Path) -> None:
    board = reading(8.0)
    x = np.random.default_rng(0).integers(-128, 128, NET.tensors[0].shape).astype(np.int8)
    expected = [a.tobytes() for a in Reference(NET).run([x])]
    free = make_plan(NET, board)
    least = make_plan(NET, board, Options(optimize="flash"))
    wanted = {o: Options(optimize=o) for o in OPTIMIZE} | {
        "flash limit": Options(flash_limit=len(least.constants)),
        "RAM limit": Options(ram_limit=free.arena_bytes - 16),
    }
    plans = {name: make_plan(NET, board, options) for name, options in wanted.items()}
    assert len({tuple(s.kernel.id for s in plan.steps) for plan in plans.values()}) >= 3
    cases = [GridCase(name, write(plan), [([x.tobytes()], expected)]) for name, plan in plans.items()]
    assert failures(run_grid(board, cases, tmp_path)) == []
