"""A family whose members have exits: each plan keeps its own thresholds and statistics beside the others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pytest
from numpy.typing import NDArray

from offramp import boards
from offramp.blob import read, write
from offramp.build.blob_image import blob_image
from offramp.exits import LAST, Answers, answers
from offramp.ir import Graph
from offramp.plan import Options, make_plan
from offramp_host.device import Device
from offramp_host.emulator import Emulator
from tests.emulator.test_family import image_inputs
from tests.families import family
from tests.with_exits import with_exits

pytestmark = pytest.mark.emulator

EXITS = (2, 1, 0)  # of each plan


@dataclass(frozen=True)
class Bench:
    device: Device
    graphs: list[Graph]
    x: NDArray[np.int8]
    answers: list[Answers]

    def check(self, plan: int, thresholds: list[int]) -> None:
        """Runs of this plan leave where the reference does at these thresholds, with its bits."""
        results = [self.device.run(row, plan=plan) for row in self.x]
        found = self.answers[plan]
        left = found.left(thresholds)
        assert [LAST if r.exit is None else r.exit for r in results] == left.tolist()
        ways = [*found.exits, found.last]
        for i, result in enumerate(results):
            assert result.plan == plan
            np.testing.assert_array_equal(result.outputs[0].ravel(), ways[left[i]][i].ravel())


def family_with_exits() -> Graph:
    large, medium, small = (replace(g, members=()) for g in (family(), *family().members))
    maps = [g.ops[0].outputs[0] for g in (large, medium)]
    of_large = with_exits(large, [maps[0], large.ops[1].outputs[0]], ("margin", "maximum"), seed=1)
    return replace(halving(of_large), members=(halving(with_exits(medium, maps[1:], seed=2)), small))


def halving(graph: Graph) -> Graph:
    """Each threshold at the median of its confidence."""
    confidences = answers(graph, image_inputs()).confidences
    exits = (replace(e, threshold=int(np.median(c))) for e, c in zip(graph.exits, confidences, strict=True))
    return replace(graph, exits=tuple(exits))


@pytest.fixture(scope="module", params=["mps2_an386", "posix"])
def bench(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    board, graph = boards.load(request.param), family_with_exits()
    plan = make_plan(graph, board, Options())
    blob = tmp_path_factory.mktemp(request.param) / "family.ofr"
    blob.write_bytes(write(plan))
    image = blob_image(read(blob.read_bytes(), blob), board, blob.with_suffix(".elf"), linked=blob)
    graphs, x = [replace(g, members=()) for g in (graph, *graph.members)], image_inputs()
    with (
        Emulator(board, image.elf, timeout_s=120) as emulator,
        Device(emulator.url, timeout_s=30) as device,
    ):
        yield Bench(device, graphs, x, [answers(g, x) for g in graphs])


def thresholds(graph: Graph) -> list[int]:
    return [e.threshold for e in graph.exits]


def test_every_plan_leaves_by_its_own_exits(bench: Bench) -> None:
    info = bench.device.info()
    assert tuple(sum(s.exit is not None for s in p.stages) for p in info.plans) == EXITS
    for plan, graph in enumerate(bench.graphs):
        bench.check(plan, thresholds(graph))
    left = bench.answers[0].left(thresholds(bench.graphs[0]))
    assert len(set(left)) > 1, "else this test shows little"


def test_thresholds_of_one_plan_leave_the_others(bench: Bench) -> None:
    medium = thresholds(bench.graphs[1])
    bench.device.set_threshold(0, 0, plan=1)
    bench.check(1, [0])
    bench.check(0, thresholds(bench.graphs[0]))
    bench.device.set_threshold(0, 65535, plan=1)
    bench.check(1, [65535])
    bench.device.set_threshold(0, medium[0], plan=1)


def test_statistics_count_each_plans_exits(bench: Bench) -> None:
    before = [bench.device.statistics(plan).exit_runs for plan in range(2)]
    for row in bench.x[:6]:
        bench.device.run(row, plan=1)
    after = [bench.device.statistics(plan).exit_runs for plan in range(2)]
    assert after[0] == before[0]
    left = bench.answers[1].left(thresholds(bench.graphs[1]))[:6]
    assert [b - a for a, b in zip(before[1], after[1], strict=True)] == [
        int((left == i).sum()) for i in (0, LAST)
    ]


def test_a_cascade_asks_the_next_where_the_answer_by_an_exit_is_unsure(bench: Bench) -> None:
    bench.device.set_policy("cascade", 256, 0)
    results = [bench.device.run(row) for row in bench.x]
    left = bench.answers[0].left(thresholds(bench.graphs[0]))
    assert [(r.plan, r.plans_run, LAST if r.exit is None else r.exit) for r in results] == [
        (0, 2, e) for e in left
    ]
    bench.device.set_policy("plan", 0)
