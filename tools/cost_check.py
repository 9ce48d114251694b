"""Holds the planner's cost table against models that gave it nothing: `python -m tools.cost_check [BOARD...]`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np

from offramp import boards
from offramp.errors import UserError
from offramp.ops import Step
from offramp.ops.op import elements
from offramp.pack import pack
from offramp.plan import Options, Plan
from offramp.plan.cost import Cost, cost_table, name_of
from offramp_host.profile import profile
from tools import bench
from tools.bench import MODELS

MEDIAN, WORST = 0.15, 0.35  # so far only AD on Cortex-M55 is above 0.05 and 0.20
SHARE = 0.005
"""Steps below it of an inference are not judged: errors of a few hundred instructions decide nothing."""


@dataclass(frozen=True)
class Judged:
    kernel: str
    predicted: Cost
    counted: Cost
    share: float
    """Of the inference's instructions."""

    @property
    def error(self) -> float:
        return self.predicted.instructions / self.counted.instructions - 1

    @property
    def cycles_error(self) -> float:
        return self.predicted.cycles / self.counted.cycles - 1


def judged(board_name: str, model: str, options: Options) -> list[Judged]:
    """Every step of a model."""
    board = boards.load(board_name)
    plan, data = pack(MODELS[model], board, options)
    measured = profile(board, data, name=model)
    found = []
    for i, run in enumerate(measured.steps):
        counted = Cost(run.cost.instructions, run.cost.cycles, run.cost.flash_bytes)
        share = run.cost.instructions / measured.cost.instructions
        found.append(Judged(name_of(plan.steps[i].kernel), predicted(plan, i), counted, share))
    return found


def predicted(plan: Plan, i: int) -> Cost:
    s = plan.steps[i]
    params = plan.constants[s.params : s.params + s.params_bytes]
    out = plan.tensors[s.outputs[0]].tensor
    cost = cost_table(plan.core).cost(Step(s.kernel, (), (), params, s.scratch_bytes), elements(out.shape))
    assert cost is not None, name_of(s.kernel)
    return cost


def errors(of: Sequence[Judged]) -> tuple[float, float]:
    """Median and worst, of instructions and cycles, of the steps that count."""
    found = [abs(e) for j in of if j.share >= SHARE for e in (j.error, j.cycles_error)]
    return float(np.median(found)), max(found)


def main(names: Sequence[str]) -> int:
    columns = f"{'predicted':>12}{'counted':>12}{'error':>8}{'cycles':>8}{'median':>8}{'worst':>8}"
    cells = [cell for cell in bench.cells() if cell[1] in (names or boards.names())]
    print(f"{'board':12}{'model':15}{'variant':26}{columns}")
    with ProcessPoolExecutor(2) as pool:
        for line in pool.map(report, *zip(*cells, strict=True)):
            print(line, flush=True)
    return 0


def report(model: str, board: str, variant: str) -> str:
    try:
        of = judged(board, model, bench.options(variant))
    except UserError as error:
        return f"{board:12}{model:15}{variant:26} {error.message}"
    total, counted = sum((j.predicted for j in of), Cost()), sum((j.counted for j in of), Cost())
    whole, (median, worst) = Judged("", total, counted, 1.0), errors(of)
    return (
        f"{board:12}{model:15}{variant:26}{total.instructions:12,.0f}{counted.instructions:12,.0f}"
        f"{whole.error:+8.1%}{whole.cycles_error:+8.1%}{median:8.1%}{worst:8.1%}"
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
