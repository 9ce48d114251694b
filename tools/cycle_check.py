"""Holds the Cortex-M4 cycle model against published silicon, leaving one model out at a time.

Our cmsis_nn set in the emulator against CMSIS-NN on an STM32L4R5. One parameter is fitted, the flash's read cost
in cycles a byte: three models give it, the fourth is predicted. `python -m tools.cycle_check` prints the table.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from offramp import boards
from offramp.pack import pack
from offramp.plan import Options
from offramp_host.profile import profile
from tools.bench import MODELS

BOARD = "mps2_an386"
PUBLISHED = Path(__file__).with_name("cycle_check.json")
LIMIT = 0.20


@dataclass(frozen=True)
class Case:
    """A model's published cycles, and ours without wait states with the bytes that are read from flash."""

    published: float
    instructions: int
    core_cycles: int
    flash_bytes: int

    def cycles(self, read_cycles_per_byte: float) -> float:
        return self.core_cycles + read_cycles_per_byte * self.flash_bytes


@dataclass(frozen=True)
class Prediction:
    case: Case
    read_cycles_per_byte: float
    """Fitted on the other models."""
    cycles: float
    error: float
    """Relative to the published figure."""
    error_of_instructions: float
    """The same with nothing but a fitted number of cycles an instruction, for comparison."""


def cases() -> dict[str, Case]:
    """The MLPerf Tiny models with our cmsis_nn set; those whose files are absent are left out."""
    published = json.loads(PUBLISHED.read_text())["cycles"]
    board = boards.load(BOARD)
    found = {}
    for model, cycles in published.items():
        if MODELS[model].exists():
            _, blob = pack(MODELS[model], board, Options(kernels="cmsis_nn", passes=False))
            cost = profile(board, blob, name=model).cost
            found[model] = Case(cycles, cost.instructions, cost.cycles, cost.flash_bytes)
    return found


def fit(of: Sequence[tuple[float, float]]) -> float:
    """The factor k with the least squared error of the sum base + k * added against 1, both relative."""
    return sum(added * (1 - base) for base, added in of) / sum(added * added for _, added in of)


def read_cost(of: Sequence[Case]) -> float:
    return fit([(c.core_cycles / c.published, c.flash_bytes / c.published) for c in of])


def predictions(of: Mapping[str, Case]) -> dict[str, Prediction]:
    """Of each model from the others."""
    found = {}
    for name, case in of.items():
        others = [other for key, other in of.items() if key != name]
        cost = read_cost(others)
        an_instruction = fit([(0.0, c.instructions / c.published) for c in others])
        found[name] = Prediction(
            case,
            cost,
            case.cycles(cost),
            case.cycles(cost) / case.published - 1,
            an_instruction * case.instructions / case.published - 1,
        )
    return found


def main() -> int:
    found = predictions(cases())
    if not found:
        print("the MLPerf Tiny models are absent (OFFRAMP_TEST_DATA)", file=sys.stderr)
        return 1
    print(json.loads(PUBLISHED.read_text())["source"])
    print(
        f"{'':5}{'published':>12}{'no waits':>12}{'flash bytes':>13}{'cycles/byte':>13}{'predicted':>12}{'error':>8}"
    )
    for name, p in found.items():
        print(
            f"{name:5}{p.case.published:12,.0f}{p.case.core_cycles:12,}{p.case.flash_bytes:13,}"
            f"{p.read_cycles_per_byte:13.2f}{p.cycles:12,.0f}{p.error:+8.1%}"
        )
    worst = max(abs(p.error) for p in found.values())
    plain = max(abs(p.error_of_instructions) for p in found.values())
    print(f"worst error {worst:.1%} (allowed {LIMIT:.0%}); with cycles an instruction alone {plain:.1%}")
    print(f"fitted on all: {read_cost([p.case for p in found.values()]):.2f} cycles a byte read from flash")
    return 0 if worst <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
