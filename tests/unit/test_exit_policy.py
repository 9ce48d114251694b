"""Policies do what tests/policy_model.py says: every figure of every run's outcome, over drawn settings and streams."""

from __future__ import annotations

import subprocess
from collections import Counter
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from offramp.blob import read, write
from offramp.exits import Answers, answers
from offramp.ir import Graph
from offramp.plan import Bound, Certificate, Plan
from tests.fuzz import programs, seeds
from tests.policy_model import (
    E_ARGUMENT,
    E_BUDGET,
    E_CLOCK,
    E_COST,
    INSTRUCTIONS,
    NO_EXIT,
    TICKS,
    Model,
    Ran,
    Row,
    Settings,
    StageCost,
)
from tests.unit.test_exits_api import backbone, planned, rows, taps
from tests.with_exits import with_exits

SOURCE = Path(__file__).with_name("policy_api.c")
HEADER = Path(__file__).parents[2] / "firmware/include/offramp_policy.h"
E_DTYPE, E_ORDER = -15, -26


def net() -> Graph:
    return with_exits(backbone(), taps(backbone()))


def certified(plan: Plan) -> Plan:
    """Bounds of steps that differ by much."""
    steps = tuple(Bound(3000 * (1 + i % 3) + 17 * i, 1) for i in range(len(plan.steps)))
    return replace(plan, certificate=Certificate(steps, Bound(90_000, 1), 100, 200, "a compiler", "0" * 64))


def costs(plan: Plan, graph: Graph) -> list[StageCost]:
    [record] = read(write(plan), "model.ofr").plans
    sizes = [*(e.port.bytes for e in record.exits), record.outputs[0].bytes]
    return [
        StageCost(s.instructions, s.head_instructions, s.n_steps, s.head_steps, n)
        for s, n in zip(record.stages, sizes, strict=True)
    ]


def of_rows(found: Answers) -> list[Row]:
    tops = [a.reshape(len(a), -1).argmax(axis=1) for a in (*found.exits, found.last)]
    return [
        Row([int(c) for c in found.confidences[:, i]], [int(t[i]) for t in tops])
        for i in range(len(found.last))
    ]


class Program:
    """Lines for the C program beside what the oracle says of them."""

    def __init__(self, program: Path, folder: Path, plan: Plan, graph: Graph, x: NDArray[Any]) -> None:
        self.program, self.path, self.x = program, folder / "model.ofr", x
        self.path.write_bytes(write(plan))
        self.answers = answers(graph, x)
        self.rows = of_rows(self.answers)
        self.model = Model(costs(plan, graph), [e.threshold for e in graph.exits])
        self.lines: list[str] = []
        self.expected: list[Any] = []

    def threshold(self, exit_: int, value: int) -> None:
        self.lines.append(f"threshold {exit_} {value}")
        self.model.thresholds[exit_] = value

    def clock(self, factor: int) -> None:
        self.lines.append(f"clock {factor}")
        self.model.factor = factor

    def set(self, settings: Settings) -> int:
        self.lines.append("set " + " ".join(map(str, astuple(settings))))
        self.expected.append(self.model.set(settings))
        return int(self.expected[-1][0])

    def run(self, row: int, whole: bool = False) -> Ran:
        self.lines.append(f"{'whole' if whole else 'run'} {self.x[row].tobytes().hex()}")
        found = self.model.run(self.rows[row], whole)
        self.expected.append((found, row))
        return found

    def brief(self, row: int) -> Ran:
        """Without a counter."""
        self.lines.append(f"brief {self.x[row].tobytes().hex()}")
        factor, self.model.factor = self.model.factor, 0
        found = replace(self.model.run(self.rows[row]), steps=0)
        self.model.factor = factor
        self.expected.append((found, row))
        return found

    def check(self) -> None:
        """All of it, line by line."""
        done = subprocess.run(
            [self.program, self.path],
            input="\n".join(self.lines) + "\n",
            text=True,
            capture_output=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        found = done.stdout.splitlines()
        assert len(found) == len(self.expected)
        for line, expected in zip(found, self.expected, strict=True):
            words = line.split()
            if words[0] == "set":
                assert tuple(map(int, words[1:])) == expected
            else:
                self.check_run(words, *expected)

    def check_run(self, words: list[str], expected: Ran, row: int) -> None:
        numbers = [int(word) for word in words[1:15]]
        seen = Ran(*numbers[:5], *map(bool, numbers[5:7]), *numbers[7:12], steps=numbers[13])
        assert seen == expected
        if expected.status > 0:
            way = self.answers.last if expected.exit == NO_EXIT else self.answers.exits[expected.exit]
            assert bytes.fromhex(words[15]) == way[row].tobytes()


@pytest.fixture(scope="module")
def executable(tmp_path_factory: pytest.TempPathFactory) -> Path:
    plans = {"model": planned(net())}
    return programs.host_program(
        SOURCE, seeds.kernels_of(plans), tmp_path_factory.mktemp("policy") / "program"
    )


def started(executable: Path, folder: Path, plan: Plan | None = None) -> Program:
    graph = net()
    return Program(executable, folder, plan or certified(planned(graph)), graph, rows(graph))


def thresholds_of_half(p: Program) -> None:
    for i, found in enumerate(p.answers.confidences):
        p.threshold(i, int(np.median(np.unique(found))) + 1)


def drawn(rng: np.random.Generator, p: Program, unit: int) -> Settings:
    """Each part in half of the cases, near what the model costs."""
    before, p.model.settings = p.model.settings, Settings(unit=unit)
    n = len(p.model.stages)
    least, most = p.model.way(0, 0), p.model.way(0, n - 1)
    p.model.settings = before
    on = rng.random(5) < 0.5
    window = int(rng.integers(1, 6))
    energy = int(rng.integers(least * window // 2, most * window + 2)) if on[1] else 0
    return Settings(
        unit,
        budget=int(rng.integers(least // 2, 2 * most + 2)) if on[0] else 0,
        energy=energy,
        limit=energy + int(rng.integers(-1, most + 2)) if on[1] else 0,
        window=window if on[1] else 0,
        patience_step=int(rng.integers(1, 40)) if on[2] else 0,
        floor=int(rng.integers(0, 200)),
        doubt=int(rng.choice([0, 10, 65535])),
        doubt_runs=int(rng.integers(0, 4)),
        confirm=int(rng.integers(0, 5)) if on[3] else 0,
        look=int(rng.integers(1, 9)) if on[4] else 0,
    )


@pytest.mark.parametrize("unit", [INSTRUCTIONS, TICKS])
@pytest.mark.parametrize("seed", range(12))
def test_outcomes_equal_the_model(executable: Path, tmp_path: Path, unit: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    p = started(executable, tmp_path)
    thresholds_of_half(p)
    p.clock(int(rng.integers(1, 50)))
    statuses: Counter[int] = Counter()
    p.run(0, whole=True)
    for _ in range(12):
        statuses[p.set(drawn(rng, p, unit))] += 1
        row = 0
        for _ in range(int(rng.integers(5, 90))):
            row = row if rng.random() < 0.6 else int(rng.integers(len(p.x)))  # a stream repeats itself
            ran = p.brief(row) if rng.random() < 0.3 else p.run(row)
            statuses[ran.status] += 1
        if rng.random() < 0.3:
            p.clock(int(rng.integers(1, 50)))
    p.check()
    assert statuses[0] > 2 and statuses[2] and statuses[3], statuses


def test_settings_are_refused_with_the_least_possible(executable: Path, tmp_path: Path) -> None:
    p = started(executable, tmp_path)
    least = p.model.way(0, 0)
    cases = {
        Settings(budget=least - 1): E_BUDGET,
        Settings(budget=least): 0,
        Settings(budget=1): E_BUDGET,
        Settings(energy=3 * least - 1, limit=10 * least, window=3): E_BUDGET,
        Settings(energy=3 * least, limit=3 * least, window=3): 0,
        Settings(energy=3 * least, limit=3 * least - 1, window=3): E_ARGUMENT,
        Settings(energy=3 * least, limit=3 * least): E_ARGUMENT,
        Settings(unit=2): E_ARGUMENT,
        Settings(unit=TICKS, budget=1000): E_COST,
        Settings(unit=TICKS, look=3): E_COST,
        Settings(unit=TICKS, confirm=2): 0,
    }
    for settings, status in cases.items():
        assert p.set(settings) == status
    p.run(0, whole=True)  # the counter stands still
    assert p.set(Settings(unit=TICKS, budget=1000)) == E_CLOCK
    p.clock(3)
    p.run(0, whole=True)
    assert p.set(Settings(unit=TICKS, budget=1)) == E_BUDGET
    p.check()


def test_without_stage_costs_nothing_is_counted(executable: Path, tmp_path: Path) -> None:
    p = started(executable, tmp_path, planned(net()))
    for settings in (Settings(budget=1 << 31), Settings(energy=9, limit=9, window=1), Settings(look=4)):
        assert p.set(settings) == E_COST
    assert p.set(Settings(patience_step=5, confirm=2)) == 0
    assert p.run(0).instructions == 0
    p.check()


@pytest.mark.parametrize("unit", [INSTRUCTIONS, TICKS])
def test_no_run_exceeds_its_budget_nor_a_window_its_energy(
    executable: Path, tmp_path: Path, unit: int
) -> None:
    p = started(executable, tmp_path)
    thresholds_of_half(p)
    p.clock(7)
    p.run(0, whole=True)
    p.set(Settings(unit))
    least, most = p.model.way(0, 0), p.model.way(0, 3)
    cut = 0
    for budget in np.linspace(least, most, 6, dtype=int):
        p.set(Settings(unit, budget=int(budget)))
        for row in range(len(p.x)):
            ran = p.run(row)
            assert ran.met and (ran.ticks if unit else ran.instructions) <= budget
            cut += ran.cut
    assert cut > 10
    energy = int(4 * least + 0.3 * most)
    p.set(Settings(unit, energy=energy, limit=energy, window=4))
    for window in range(10):
        ran_all = [p.run(4 * window + i) for i in range(4)]
        assert all(ran.status > 0 for ran in ran_all)
        assert sum(ran.ticks if unit else ran.instructions for ran in ran_all) <= energy
    p.check()


def test_misuse(executable: Path, tmp_path: Path) -> None:
    p = started(executable, tmp_path)
    done = subprocess.run([executable, p.path], input="misuse\n", text=True, capture_output=True, timeout=60)
    wrong, rest = done.stdout.split("|")
    assert [int(n) for n in wrong.split()] == [-1, -1, E_ORDER] + [-1] * 8
    assert rest.split() == [str(E_ORDER), "1", "0"]


def test_the_oracle_has_the_headers_allowances() -> None:
    from tests import policy_model

    text = HEADER.read_text()
    model = policy_model
    values = {
        "RUN": model.A_RUN,
        "EXIT": model.AN_EXIT,
        "STAGE": model.A_STAGE,
        "STEP": model.A_STEP,
        "BYTE": model.A_BYTE,
    }
    for name, value in values.items():
        assert f"#define OFR_POLICY_{name}_INSTRUCTIONS {value}u" in text
