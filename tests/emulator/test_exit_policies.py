"""Exit policies on an emulated board over the link: what runs take, what they answer, what is refused."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from offramp import boards
from offramp.blob import read, write
from offramp.boards import Board
from offramp.build import Image
from offramp.build.blob_image import blob_image
from offramp.errors import UserError
from offramp.exits import LAST, Answers, answers
from offramp.ir import Graph
from offramp.plan import Options, make_plan
from offramp_host.certify import certify
from offramp_host.device import Device, ExitPolicy, RefusedError, Result
from offramp_host.emulator import Emulator
from offramp_host.link import Code
from tests.digits_exits import N_FITTED, classifier, digits
from tests.policy_model import NO_EXIT, Model, Row, Settings, StageCost

pytestmark = pytest.mark.emulator

ROWS = 80


@dataclass(frozen=True)
class Bench:
    board: Board
    graph: Graph
    image: Image
    device: Device
    x: NDArray[np.int8]
    y: NDArray[np.int64]
    answers: Answers

    def instructions(self, results: list[Result]) -> list[int]:
        assert self.board.emulator is not None
        return [self.board.emulator.instructions(result.ticks or 0) for result in results]

    def ran(self, rows: NDArray[np.int8], **options: Any) -> list[Result]:
        return list(self.device.stream(rows, measure=True, **options))

    def accuracy(self, results: list[Result]) -> float:
        return float(np.mean(np.array(classes(results)) == self.y[: len(results)]))


def classes(results: list[Result]) -> list[int]:
    return [int(result.outputs[0].argmax()) for result in results]


def started(board_name: str, folder: Path) -> Iterator[Bench]:
    board, graph = boards.load(board_name), classifier()
    plan = make_plan(graph, board, Options())
    data = write(plan) if board.emulator is None else certify(plan, board)[1]
    (folder / "digits.ofr").write_bytes(data)
    image = blob_image(read(data, "digits.ofr"), board, folder / "image.elf", linked=folder / "digits.ofr")
    x, y = (a[N_FITTED:] for a in digits())
    with (
        Emulator(board, image.elf, timeout_s=300) as emulator,
        Device(emulator.url, timeout_s=60) as device,
    ):
        yield Bench(board, graph, image, device, x, y, answers(graph, x))


@pytest.fixture(scope="module")
def module_bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    yield from started("mps2_an386", tmp_path_factory.mktemp("an386"))


@pytest.fixture
def bench(module_bench: Bench) -> Bench:
    """Thresholds and policy as after a load."""
    for exit_ in module_bench.graph.exits:
        module_bench.device.set_threshold(exit_.name, exit_.threshold)
    module_bench.device.set_exit_policy(ExitPolicy())
    return module_bench


def test_info_says_the_stages(bench: Bench) -> None:
    stages = bench.device.info().plans[0].stages
    assert [s.exit and (s.exit.name, s.exit.confidence, s.exit.threshold, s.exit.shape) for s in stages] == [
        ("exit0", "margin", 60, (1, 10)),
        ("exit1", "margin", 60, (1, 10)),
        None,
    ]
    assert all(s.instructions > s.head_instructions for s in stages) and stages[-1].head_steps == 0


@pytest.mark.parametrize("thresholds", [(60, 60), (0, 0), (65535, 0), (65535, 65535), (40, 90)])
def test_thresholds_over_the_link(bench: Bench, thresholds: tuple[int, int]) -> None:
    for i, threshold in enumerate(thresholds):
        bench.device.set_threshold(i, threshold)
    assert [s.exit.threshold for s in bench.device.info().plans[0].stages if s.exit] == list(thresholds)
    before = bench.device.statistics().exit_runs
    results = bench.ran(bench.x[:ROWS])
    left = bench.answers.left(thresholds)[:ROWS]
    assert [LAST if r.exit is None else r.exit for r in results] == left.tolist()
    ways = [*bench.answers.exits, bench.answers.last]
    for i, result in enumerate(results):
        assert np.array_equal(result.outputs[0], ways[left[i]][i : i + 1].reshape(result.outputs[0].shape))
        assert result.outcome is not None
        assert result.outcome.confidence == (0 if left[i] == LAST else bench.answers.confidences[left[i], i])
    after = bench.device.statistics().exit_runs
    assert [b - a for a, b in zip(before, after, strict=True)] == [
        int((left == i).sum()) for i in (0, 1, LAST)
    ]


def test_to_the_end_takes_no_exit(bench: Bench) -> None:
    bench.device.set_threshold(0, 0)
    results = bench.ran(bench.x[:10], to_the_end=True)
    assert all(r.exit is None for r in results)
    assert classes(results) == bench.answers.last[:10].reshape(10, -1).argmax(axis=1).tolist()
    assert len(bench.device.profile(bench.x[0])) == bench.device.info().model.n_steps


def test_no_budget_is_exceeded_and_accuracy_falls_with_it(bench: Bench) -> None:
    for i in range(2):
        bench.device.set_threshold(i, 65535)  # the budget alone decides
    least = bench.device.set_exit_policy(ExitPolicy()).least
    results = bench.ran(bench.x[:200])
    whole = max(r.outcome.instructions for r in results if r.outcome)
    accuracies = [bench.accuracy(results)]
    for budget in np.linspace(whole, least, 6, dtype=int):
        bench.device.set_exit_policy(ExitPolicy(budget=int(budget)))
        results = bench.ran(bench.x[:200])
        taken = bench.instructions(results)
        assert max(taken) <= budget
        assert all(r.outcome and r.outcome.budget_met and r.outcome.instructions <= budget for r in results)
        assert all(r.outcome and r.outcome.cut_short == (r.exit is not None) for r in results)
        accuracies.append(bench.accuracy(results))
    print("accuracy from all to the least:", accuracies)
    assert all(b <= a + 0.01 for a, b in itertools.pairwise(accuracies))
    assert accuracies[-1] < accuracies[0] - 0.1
    with pytest.raises(RefusedError, match=f"OFR_E_BUDGET.*found {least - 1} instructions, allowed {least} "):
        bench.device.set_exit_policy(ExitPolicy(budget=least - 1))


def test_energy_of_a_window(bench: Bench) -> None:
    policy = bench.device.set_exit_policy(ExitPolicy())
    energy = 5 * policy.least + 60_000
    bench.device.set_exit_policy(ExitPolicy(energy=energy, window=5))
    taken = bench.instructions(bench.ran(bench.x[:ROWS]))
    assert all(sum(taken[i : i + 5]) <= energy for i in range(0, ROWS, 5))
    with pytest.raises(RefusedError, match=rf"OFR_E_BUDGET.*allowed {5 * policy.least}\b"):
        bench.device.set_exit_policy(ExitPolicy(energy=5 * policy.least - 1, window=5))


def model(bench: Bench, settings: Settings) -> Model:
    stages = bench.device.info().plans[0].stages
    costs = [StageCost(s.instructions, s.head_instructions, s.n_steps, s.head_steps, 10) for s in stages]
    found = Model(costs, [s.exit.threshold for s in stages if s.exit])
    assert found.set(settings)[0] == 0
    return found


def row(bench: Bench, i: int) -> Row:
    tops = [int(a[i].argmax()) for a in (*bench.answers.exits, bench.answers.last)]
    return Row([int(c) for c in bench.answers.confidences[:, i]], tops)


def test_patience_on_a_stream(bench: Bench) -> None:
    """Runs of one class: patience leaves earlier, reports as the model says, and takes less."""
    order = [i for c in (3, 0, 7, 1) for i in np.flatnonzero(bench.y == c)[:20]]
    plain = bench.instructions(bench.ran(bench.x[order]))
    bench.device.set_exit_policy(
        ExitPolicy(patience_step=15, patience_floor=10, doubt=20, doubt_runs=2, confirm=3)
    )
    results = bench.ran(bench.x[order])
    oracle = model(bench, Settings(patience_step=15, floor=10, doubt=20, doubt_runs=2, confirm=3))
    for i, result in zip(order, results, strict=True):
        expected = oracle.run(row(bench, i))
        assert (NO_EXIT if result.exit is None else result.exit) == expected.exit
        assert result.outcome is not None and result.outcome.answer == expected.answer
        assert (0xFFFF if result.outcome.reported is None else result.outcome.reported) == expected.reported
    taken = bench.instructions(results)
    print("mean instructions", np.mean(plain), "with patience", np.mean(taken))
    assert np.mean(taken) < np.mean(plain)


def test_prediction_skips_heads_that_hardly_fire(bench: Bench) -> None:
    """Exit 0 is worth nothing at its threshold, exit 1 much."""
    n = 400
    bench.device.set_threshold(0, int(np.sort(bench.answers.confidences[0])[-6]))
    without = bench.ran(bench.x[:n])
    expected = bench.device.set_exit_policy(ExitPolicy(look=25)).expected
    results = bench.ran(bench.x[:n])
    skipped = np.mean([r.outcome is not None and r.outcome.heads_skipped for r in results])
    same = np.mean(np.array(classes(results)) == np.array(classes(without)))
    saved = 1 - np.mean(bench.instructions(results)) / np.mean(bench.instructions(without))
    print(
        f"heads skipped in {skipped:.0%} of the runs, {same:.1%} same answers, {saved:.2%} instructions saved"
    )
    assert skipped > 0.8 and same >= 0.99 and saved > 0.01
    assert 0.8 < expected / np.mean(bench.instructions(results)) < 1.25


def test_budget_in_ticks_of_measured_stages(module_bench: Bench, tmp_path: Path) -> None:
    with (
        Emulator(module_bench.board, module_bench.image.elf, timeout_s=120) as emulator,
        Device(emulator.url, timeout_s=60) as device,
    ):
        with pytest.raises(RefusedError, match="OFR_E_COST"):
            device.set_exit_policy(ExitPolicy(budget=10_000, unit="ticks"))
        for x in module_bench.x[:5]:
            whole = device.run(x, to_the_end=True, measure=True).ticks
        least = device.set_exit_policy(ExitPolicy(unit="ticks")).least
        assert whole is not None and 0 < least < whole
        device.set_threshold(0, 65535)
        device.set_threshold(1, 65535)
        exits = set()
        for budget in np.linspace(least, whole * 9 // 8 + 50, 5, dtype=int):
            device.set_exit_policy(ExitPolicy(budget=int(budget), unit="ticks"))
            results = list(device.stream(module_bench.x[:20], measure=True))
            assert all(
                r.outcome and r.outcome.budget_met and (r.ticks or 0) <= budget * 1.02 for r in results
            )
            exits |= {r.exit for r in results}
        assert exits == {0, 1, None}
        with pytest.raises(RefusedError, match="OFR_E_BUDGET") as error:
            device.set_exit_policy(ExitPolicy(budget=least - 1, unit="ticks"))
        assert isinstance(error.value, RefusedError) and least <= error.value.allowed < least * 1.1


def test_a_board_without_counter_refuses_ticks(tmp_path: Path) -> None:
    for bench in started("posix", tmp_path):
        bench.device.run(bench.x[0], to_the_end=True)
        with pytest.raises(RefusedError, match="OFR_E_CLOCK"):
            bench.device.set_exit_policy(ExitPolicy(budget=10_000, unit="ticks"))
        with pytest.raises(RefusedError, match="OFR_E_COST"):
            bench.device.set_exit_policy(ExitPolicy(budget=10_000))
        assert [LAST if r.exit is None else r.exit for r in bench.device.stream(bench.x[:20])] == list(
            bench.answers.left([60, 60])[:20]
        )


def test_wrong_requests_are_refused_each_by_its_own(bench: Bench) -> None:
    device = bench.device
    with pytest.raises(UserError, match="the plan has no exit 2") as error:
        device.set_threshold(2, 10)
    assert error.value.hint == "Its exits: 0 exit0, 1 exit1"
    with pytest.raises(UserError, match="threshold 65536 is no number from 0 to 65535"):
        device.set_threshold(0, 65536)
    with pytest.raises(UserError, match="look 256 is no number from 0 to 255"):
        device.set_exit_policy(ExitPolicy(look=256))
    with pytest.raises(UserError, match="energy of 5 instructions for a window of 0 runs"):
        device.set_exit_policy(ExitPolicy(energy=5))
    for code, payload, status in (
        (Code.THRESHOLD, struct.pack("<BBBxI", 0, 0, 2, 5), "LINK_E_EXIT.*found 2, allowed 2"),
        (
            Code.THRESHOLD,
            struct.pack("<BBBxI", 0, 0, 0, 65536),
            "LINK_E_THRESHOLD.*found 65536, allowed 65535",
        ),
        (Code.THRESHOLD, struct.pack("<BBBxI", 0, 1, 0, 5), "LINK_E_INDEX"),
        (Code.THRESHOLD, struct.pack("<BBBxI", 1, 0, 0, 5), "LINK_E_INDEX"),
        (Code.THRESHOLD, b"\0" * 7, "LINK_E_LENGTH"),
        (Code.EXIT_POLICY, b"\0" * 27, "LINK_E_LENGTH"),
        (Code.EXIT_POLICY, b"\0\0\2" + b"\0" * 25, "OFR_E_ARGUMENT"),
        (Code.STATISTICS, b"\1", "LINK_E_INDEX"),
        (Code.INFO, struct.pack("<BBH", 6, 0, 3), "LINK_E_INDEX"),
        (Code.INFO, struct.pack("<BBH", 6, 0, 1 << 8), "LINK_E_INDEX"),
    ):
        with pytest.raises(RefusedError, match=status):
            device._session.request(code, payload)


def test_an_image_without_exits_holds_none_of_it(tmp_path: Path, bench: Bench) -> None:
    """And refuses the model with exits, by name."""
    board = bench.board
    plan = make_plan(replace(bench.graph, outputs=bench.graph.own_outputs, exits=()), board, Options())
    (tmp_path / "plain.ofr").write_bytes(write(plan))
    image = blob_image(
        read(write(plan), "plain.ofr"), board, tmp_path / "image.elf", linked=tmp_path / "plain.ofr"
    )
    sizes, with_exits = image.footprint, bench.image.footprint
    print(
        "exits cost",
        with_exits.flash_bytes["application"] - sizes.flash_bytes["application"],
        "of the application,",
        with_exits.flash_bytes["runtime"] - sizes.flash_bytes["runtime"],
        "of the runtime;",
        with_exits.static_ram_bytes - sizes.static_ram_bytes,
        "RAM",
    )
    assert b"ofr_policy" not in image.elf.read_bytes()
    with Emulator(board, image.elf, timeout_s=60) as emulator, Device(emulator.url, timeout_s=30) as device:
        assert device.info().plans[0].stages == ()
        assert device.run(bench.x[0]).outcome is None
        with pytest.raises(UserError, match="the model has no exits"):
            device.set_exit_policy(ExitPolicy())
        for code, n in ((Code.THRESHOLD, 8), (Code.EXIT_POLICY, 28)):
            with pytest.raises(RefusedError, match="LINK_E_REQUEST"):
                device._session.request(code, bytes(n))
