"""The runtime leaves where offramp.exits says, with the answer, the confidence and the steps that it says."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from offramp.blob import read, write
from offramp.errors import UserError
from offramp.exits import LAST, answers
from offramp.ir import CONFIDENCES, Graph
from offramp.ops.mean import Mean
from offramp.plan import Options, Plan, make_plan
from tests.fuzz import programs, seeds
from tests.random_nets import Net
from tests.with_exits import with_exits

SOURCE = Path(__file__).with_name("exits_api.c")
ROWS = 40
NO_EXIT = 255


def backbone() -> Graph:
    net = Net(5)
    first = x = net.input(1, 9, 9, 1)
    for channels in (4, 8, 40):
        x = net.conv(x, channels, 3)
    pooled = net.op("mean", [x], Mean((1, 2), False))
    return net.graph([first], [net.dense(pooled, 7)])


def taps(graph: Graph) -> list[int]:
    return [op.outputs[0] for op in graph.ops if op.kind == "conv_2d"]


def rows(graph: Graph) -> NDArray[np.int8]:
    """Of differing brightness, so that what heads pool differs."""
    shape = graph.tensors[graph.inputs[0]].shape
    rng = np.random.default_rng(1)
    bright = rng.integers(-100, 100, (ROWS, 1, 1, 1))
    return np.asarray(np.clip(bright + rng.integers(-60, 60, (ROWS, *shape[1:])), -128, 127), np.int8)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exits")
    plans = {"model": planned(with_exits(backbone(), taps(backbone())))}
    return programs.host_program(SOURCE, seeds.kernels_of(plans), folder / "program")


def planned(graph: Graph) -> Plan:
    return make_plan(graph, programs.POSIX, Options())


Way = tuple[int, int, int, bytes]


def ran(
    program: Path, folder: Path, plan: Plan, x: NDArray[np.int8], mask: int, *thresholds: int
) -> list[list[Way]]:
    """By line: (exit, confidence, steps, answer) of each way out."""
    model = folder / "model.ofr"
    model.write_bytes(write(plan))
    command = [program, model, str(mask), *map(str, thresholds)]
    done = subprocess.run(command, input=x.tobytes(), capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr.decode()
    words = [line.split() for line in done.stdout.decode().splitlines()]
    return [
        [(int(w[i]), int(w[i + 1]), int(w[i + 2]), bytes.fromhex(w[i + 3])) for i in range(0, len(w), 4)]
        for w in words
    ]


@pytest.mark.parametrize("kind", CONFIDENCES)
@pytest.mark.parametrize("mask", [0, 2, 5, 255])
def test_equal_to_the_reference(program: Path, tmp_path: Path, kind: str, mask: int) -> None:
    graph = with_exits(backbone(), taps(backbone()), (kind,), seed=mask)
    x, plan = rows(graph), planned(graph)
    expected = answers(graph, x)
    middle = [int(np.median(np.unique(c))) + 1 for c in expected.confidences]
    used = [mask >> i & 1 for i in range(len(middle))]
    left = expected.left([t if u else 1 << 20 for t, u in zip(middle, used, strict=True)])
    assert len(set(left)) > 1 or mask < 255
    lines = ran(program, tmp_path, plan, x, mask, *middle)
    assert len(lines) == 2 * ROWS
    ends = [stage.end for stage in plan.stages]
    for i in range(ROWS):
        ways = [
            (e, int(expected.confidences[e][i]), ends[e], expected.exits[e][i].tobytes())
            for e in range(len(middle))
            if used[e]
        ]
        ways.append((NO_EXIT, 0, ends[-1], expected.last[i].tobytes()))
        assert lines[2 * i + 1] == ways
        [found] = lines[2 * i]
        wanted = NO_EXIT if left[i] == LAST else left[i]
        assert found == next(way for way in ways if way[0] == wanted)


def test_extreme_thresholds(program: Path, tmp_path: Path) -> None:
    graph = with_exits(backbone(), taps(backbone()), ("margin",))
    x = rows(graph)
    always = ran(program, tmp_path, planned(graph), x, 255, 0, 0, 0)
    never = ran(program, tmp_path, planned(graph), x, 255, 65535, 65535, 65535)
    assert {line[0][0] for line in always[::2]} == {0}
    assert {line[0][0] for line in never[::2]} == {NO_EXIT}


def test_heads_cost_no_arena_and_no_bits(tmp_path: Path, program: Path) -> None:
    graph = backbone()
    plain, with_heads = planned(graph), planned(with_exits(graph, taps(graph)))
    assert with_heads.arena_bytes == plain.arena_bytes
    x = rows(graph)
    last = [line[-1][3] for line in ran(program, tmp_path, with_heads, x, 0)[1::2]]
    alone = [line[-1][3] for line in ran(program, tmp_path, plain, x, 0)[1::2]]
    assert last == alone


def test_an_early_leaver_takes_less_memory() -> None:
    stages = planned(with_exits(backbone(), taps(backbone()))).stages
    arenas = [stage.arena_bytes for stage in stages]
    assert max(arenas) > min(arenas) > 0


def test_blob_says_what_was_planned() -> None:
    graph = with_exits(backbone(), taps(backbone()), CONFIDENCES)
    plan = planned(graph)
    blob = read(write(plan), "exits.ofr")
    [found] = blob.plans
    assert blob.format == "1.2" and read(write(planned(backbone())), "plain.ofr").format == "1.0"
    assert [(e.port.name, e.confidence, e.threshold) for e in found.exits] == [
        (e.name, e.confidence, e.threshold) for e in graph.exits
    ]
    assert [(s.first_step, s.n_steps, s.head_steps) for s in found.stages] == [
        (s.first_step, s.n_steps, s.head_steps) for s in plan.stages
    ]
    assert len(found.outputs) == 1 and sum(s.n_steps for s in found.stages) == len(found.steps)


def test_two_exits_at_one_place_are_refused() -> None:
    graph = backbone()
    with pytest.raises(UserError, match="exit1 is behind the same layer"):
        planned(with_exits(graph, [taps(graph)[0]] * 2))
