"""Budgets on the zoo's network with exits: stage costs bound what stages take, no run exceeds its budget."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from offramp import boards
from offramp.blob import read
from offramp.boards import Board
from offramp.build.blob_image import blob_image
from offramp.compress.accuracy import input_rows
from offramp.compress.data import Rows, Source, load_data
from offramp.frontends import load_model
from offramp.ir import Graph
from offramp.pack import pack
from offramp.plan import Plan
from offramp.resources import root
from offramp_host.certify import certify
from offramp_host.device import Device, RefusedError, Result
from offramp_host.emulator import Emulator
from offramp_host.exits import ExitPolicy

pytestmark = pytest.mark.emulator

ZOO = root() / "models" / "fashion_mnist"
IDX = Path("/usr/share/datasets/fashion-mnist")
LOOSE = 0.02  # by how much a stage's bound may exceed what it takes
COUNTS = [24, pytest.param(500, marks=pytest.mark.soak)]


@dataclass(frozen=True)
class Bench:
    board: Board
    graph: Graph
    plan: Plan
    device: Device

    @property
    def stages(self) -> list[int]:
        """The most instructions of each."""
        return [stage.proved(self.plan.certificate)[0] for stage in self.plan.stages]

    def instructions(self, result: Result) -> int:
        assert result.ticks is not None and self.board.emulator is not None
        return self.board.emulator.instructions(result.ticks)

    def run(self, rows: NDArray[np.int8]) -> list[Result]:
        return list(self.device.stream(list(rows[:, None]), measure=True))


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    folder, board = tmp_path_factory.mktemp("budgets"), boards.load("mps2_an386")
    graph = load_model(ZOO / "exits.ofg")
    plan, data = certify(pack(graph, board)[0], board)
    blob = folder / "exits.ofr"
    blob.write_bytes(data)
    image = blob_image(read(data, blob), board, folder / "image.elf", linked=blob)
    with (
        Emulator(board, image.elf, timeout_s=1200) as emulator,
        Device(emulator.url, timeout_s=60) as device,
    ):
        yield Bench(board, graph, plan, device)


def rows(count: int) -> Rows:
    """Of the test images that come with the zoo, or of the whole data set."""
    if count <= 200:
        images = np.load(ZOO / "test_images.npz")
        return Rows((images["x"][:count].astype(np.float32) + 128) / 255, images["y"][:count].astype(int))
    if not IDX.exists():
        pytest.skip("needs the Debian package dataset-fashion-mnist")
    test = load_data(Source(str(IDX), 255), root()).test
    assert test is not None
    return Rows(test.x[:count], test.labelled("the test")[1][:count])


def test_stage_costs_are_tight_bounds(bench: Bench) -> None:
    """Of the steps of each stage; and of whole runs to each way out, with what the policy takes."""
    x = input_rows(bench.graph, rows(1).x)[0]
    emulator = bench.board.emulator
    assert emulator is not None
    ticks = bench.device.profile([x])
    for stage, most in zip(bench.plan.stages, bench.stages, strict=True):
        found = emulator.instructions(sum(ticks[stage.first_step : stage.end]))
        print(f"stage of {stage.n_steps} steps: {found:,} instructions, at most {most:,}")
        assert found <= most <= (1 + LOOSE) * found
    exits = range(len(bench.graph.exits))
    try:
        for way in range(len(exits) + 1):
            for exit_ in exits:
                bench.device.set_threshold(exit_, 0 if exit_ == way else 65535)
            [result] = bench.run(x)
            assert result.exit == (way if way < len(exits) else None) and result.outcome is not None
            found, most = bench.instructions(result), result.outcome.instructions
            print(f"to way {way}: {found:,} instructions, at most {most:,} ({most / found - 1:+.2%})")
            assert found <= most <= (1 + LOOSE) * found
    finally:
        for exit_, e in enumerate(bench.graph.exits):
            bench.device.set_threshold(exit_, e.threshold)


@pytest.mark.parametrize("count", COUNTS)
def test_no_run_exceeds_its_budget(bench: Bench, count: int) -> None:
    """Six budgets from the least to all that a run may want; accuracy falls with them, within noise."""
    data = rows(count)
    x, y = input_rows(bench.graph, data.x)[0], data.labelled("the test")[1]
    least = bench.device.set_exit_policy(ExitPolicy()).least
    bounds = np.cumsum(bench.stages) + 20_000
    budgets = [
        least,
        bounds[0],
        (bounds[0] + bounds[1]) // 2,
        bounds[1],
        (bounds[1] + bounds[2]) // 2,
        bounds[2],
    ]
    right = []
    for budget in map(int, budgets):
        bench.device.set_exit_policy(ExitPolicy(budget=budget))
        found = bench.run(x)
        taken = [bench.instructions(result) for result in found]
        assert max(taken) <= budget
        assert all(r.outcome is not None and r.outcome.budget_met for r in found)
        cut = sum(r.outcome is not None and r.outcome.cut_short for r in found)
        hits = np.array([r.outputs[0].argmax() for r in found]) == y
        right.append(hits)
        print(
            f"budget {budget:,}: mean {np.mean(taken):,.0f}, most {max(taken):,}, {cut} cut short, "
            f"{100 * hits.mean():.1f} % right"
        )
    for less, more in itertools.pairwise(right):
        pairs = less.astype(int) - more
        assert pairs.mean() <= 2 * pairs.std() / np.sqrt(count)
    assert count < 100 or right[0].mean() < right[-1].mean()
    bench.device.set_exit_policy(ExitPolicy())


def test_a_budget_below_the_first_exit_is_refused(bench: Bench) -> None:
    least = bench.device.set_exit_policy(ExitPolicy()).least
    with pytest.raises(RefusedError, match=f"OFR_E_BUDGET.*found {least - 1} instructions"):
        bench.device.set_exit_policy(ExitPolicy(budget=least - 1))
