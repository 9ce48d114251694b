"""A queue of three levels against a list of lists: who runs, who waits, who is refused, and every answer's bytes."""

from __future__ import annotations

import subprocess
from collections import deque
from pathlib import Path

import numpy as np
import pytest

from offramp.blob import write
from offramp.exits import LAST, answers
from offramp.ir import Graph
from tests.fuzz import programs, seeds
from tests.unit.test_exits_api import backbone, planned, taps
from tests.with_exits import with_exits

SOURCE = Path(__file__).with_name("queue_api.c")
E_ARGUMENT, OK, MORE, DONE, EXIT, E_FULL = -1, 0, 1, 2, 3, -31
PLACES = (4, 2, 1)
WITH_A_POLICY = 1


def net() -> Graph:
    return with_exits(backbone(), taps(backbone()))


class Model:
    """What offramp_queue.h promises. A run takes a call a step; a policy's takes one more."""

    def __init__(self) -> None:
        graph = net()
        shape = graph.tensors[graph.inputs[0]].shape
        x = np.repeat(np.arange(256, dtype=np.uint8).view(np.int8), np.prod(shape)).reshape(256, *shape[1:])
        self.answers = answers(graph, x)
        self.left = self.answers.left([e.threshold for e in graph.exits])
        self.ends = [stage.end for stage in planned(graph).stages]
        self.waiting: list[deque[tuple[int, int]]] = [deque() for _ in PLACES]
        self.running: list[list[int] | None] = [None] * len(PLACES)

    def push(self, level: int, tag: int, byte: int) -> str:
        fits = len(self.waiting[level]) < PLACES[level]
        if fits:
            self.waiting[level].append((tag, byte))
        return f"{OK if fits else E_FULL} {len(self.waiting[level])}"

    def step(self) -> str:
        level = next((i for i in range(len(PLACES)) if self.running[i] or self.waiting[i]), None)
        if level is None:
            return f"{OK} 99 99"
        run = self.running[level]
        if run is None:
            tag, byte = self.waiting[level].popleft()
            run = self.running[level] = [tag, byte, self.ends[self.left[byte]] + (level == WITH_A_POLICY)]
        run[2] -= 1
        if run[2]:
            return f"{MORE} {level} {run[0]}"
        self.running[level] = None
        left = self.left[run[1]]
        answer = self.answers.last if left == LAST else self.answers.exits[left]
        return f"{DONE if left == LAST else EXIT} {level} {run[0]} {answer[run[1]].tobytes().hex()}"


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("queue")
    plans = {"model": planned(net())}
    (folder / "model.ofr").write_bytes(write(plans["model"]))
    return [
        programs.host_program(SOURCE, seeds.kernels_of(plans), folder / "program"),
        folder / "model.ofr",
    ]


def said(command: list[Path], lines: list[str]) -> list[str]:
    done = subprocess.run(command, input="\n".join(lines) + "\n", text=True, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return [line.strip() for line in done.stdout.splitlines()]


@pytest.mark.parametrize("seed", range(4))
def test_order_refusals_and_answers(command: list[Path], seed: int) -> None:
    rng, model = np.random.default_rng(seed), Model()
    lines, expected = [], []
    for tag in range(400):
        level, byte = int(rng.integers(3)), int(rng.integers(256))
        lines.append(f"push {level} {tag} {byte}")
        expected.append(model.push(level, tag, byte))
        for _ in range(int(rng.integers(0, 24))):
            lines.append("step")
            expected.append(model.step())
    assert said(command, lines) == expected
    statuses = {int(line.split()[0]) for line in expected}
    assert statuses == {OK, MORE, DONE, EXIT, E_FULL}


def test_misuse(command: list[Path]) -> None:
    [line] = said(command, ["misuse"])
    *wrong, pushed, ran, level, tag, then = (int(word) for word in line.split())
    assert wrong == [E_ARGUMENT] * 10
    assert (pushed, ran, level, tag, then) == (OK, E_ARGUMENT, 2, 7, OK), (
        "an input that is not there; the run is dropped"
    )
