"""Kernel set mve with compressed weights: bits on random shapes, which layers are offered what, hostile streams."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest

from offramp import boards
from offramp.boards import Board
from offramp.frontends import tflite
from offramp.ir import Graph
from offramp.kernels import mve
from offramp.kernels.mve import compressed
from offramp.plan import Options, make_plan
from offramp.plan.choose import all_candidates
from offramp_host.certify import certify
from tests.emulator import test_mve
from tests.emulator.grid import failures, from_oracle, run_grid
from tests.emulator.test_mve import TAKEN, grown_conv, mutant
from tests.fuzz.seeds import of_compressed_weights
from tests.oracle import weighted
from tests.oracle.case import SAME, VALID, Case, Cases, Grid
from tests.oracle.weighted import conv_case
from tests.ways import without_costs
from tests.weights import Change, four_bits, weights_by, with_blocks_of_zeros, with_zeros

pytestmark = pytest.mark.emulator

BOARD = "mps3_an547"


@contextmanager
def storing(number: int) -> Iterator[None]:
    """Within it the set has but one way for layers with weights, the further one of this number."""
    with (
        patch.dict(mve.LOWER, {kind: ways[number] for kind, ways in mve.COMPRESSED.items()}),
        without_costs(),
    ):
        yield


def fours_cases(seed: int, count: int) -> Cases:
    """Channels in fours, 1x1 and larger windows."""
    grid = Grid("CONV_2D", seed + 3000)
    rng = grid.rng
    for n in range(count):
        in_c = 4 * int(rng.integers(1, 17))
        size = [int(rng.integers(1, 9)), int(rng.integers(1, 12))]
        if n % 2:
            kernel = (int(rng.integers(1, 5)), int(rng.integers(1, 5)))
            stride, padding = (int(rng.integers(1, 3)), int(rng.integers(1, 3))), (SAME, VALID)[n // 2 % 2]
            yield grown_conv(grid, n, size, in_c, kernel, stride, (int(rng.integers(1, 3)), 1), padding)
        else:
            at, out_c = (size[0], size[1]), int(rng.integers(1, 24))
            i = TAKEN[n // 2 % len(TAKEN)]
            yield conv_case(grid, i, at, in_c, 1, at, out_c, (1, 1), (1, 1), (1, 1), SAME)


def deep_cases(seed: int, count: int) -> Cases:
    """Fully connected layers mostly of inputs in fours."""
    for n, case in enumerate(test_mve.dense_cases(seed, 4 * count)):
        depth = int(case.inputs[0].shape[-1])
        if depth % 4 == 0 or n % 8 == 0:
            yield case


def far_cases(seed: int, count: int) -> Cases:
    """More taps than a group of bytes spans."""
    grid = Grid("CONV_2D", seed + 4000)
    rng = grid.rng
    for n in range(count):
        kernel = ((1, 1), (3, 3))[n % 2]
        in_c = int(rng.integers(257, 700)) if n % 2 == 0 else 4 * int(rng.integers(9, 24))
        size = [int(rng.integers(1, 4)), int(rng.integers(1, 5))]
        yield grown_conv(grid, n, size, in_c, kernel, (1, 1), (1, 1), SAME)


GRIDS: dict[str, Callable[[int, int], Cases]] = {
    "pointwise": test_mve.pointwise_cases,
    "window": test_mve.conv_cases,
    "fours": fours_cases,
    "far": far_cases,
    "fully_connected": deep_cases,
}


@dataclass(frozen=True)
class Way:
    """Of the set's further ways one, weights that it takes, and the grids that try it."""

    number: int
    weights: Change
    grids: tuple[str, ...]

    @property
    def kernels(self) -> set[str]:
        s = compressed.STORAGES[self.number]
        return {k.name for k in (*s.pointwise, *s.conv, *(s.rows or ()))}

    def cases(self, grid: str, seed: int, count: int) -> list[Case]:
        with weights_by(self.weights, weighted, test_mve):
            return list(GRIDS[grid](seed, count))


WAYS = {
    "four bits": Way(0, four_bits, ("pointwise", "window", "fully_connected")),
    "sparse": Way(1, with_zeros, ("pointwise", "window", "far", "fully_connected")),
    "blocks": Way(2, with_blocks_of_zeros, ("fours", "far", "fully_connected")),
    "lanes": Way(3, with_zeros, ("pointwise", "window", "far")),
}
each_way = pytest.mark.parametrize("way", WAYS.values(), ids=list(WAYS))


def check(way: Way, grids: tuple[str, ...], seed: int, count: int, folder: Path) -> dict[str, int]:
    """Runs the grids; how many cases each kernel of the set served."""
    board = boards.load(BOARD)
    drawn = [case for grid in grids for case in way.cases(grid, seed, count)]
    with storing(way.number):
        cases = [from_oracle(case, board, "mve") for case in drawn]
    cases = [case for case in cases if case.kernels[0].split("/")[1] in way.kernels]
    assert failures(run_grid(board, cases, folder)) == []
    used = [case.kernels[0].split("/")[1] for case in cases]
    return {name: used.count(name) for name in used}


@each_way
def test_a_share_of_random_shapes_equals_the_oracle(way: Way, tmp_path: Path) -> None:
    used = check(way, way.grids, 1, 40, tmp_path)
    assert set(used) == way.kernels
    assert min(used.values()) >= 5, used


@pytest.mark.soak
@each_way
def test_random_shapes_equal_the_oracle(way: Way, tmp_path: Path) -> None:
    used = check(way, way.grids, 2, 1500, tmp_path)
    assert set(used) == way.kernels
    assert min(used.values()) >= 200, used


@each_way
def test_outputs_lie_over_inputs_in_a_share_of_the_shapes(way: Way) -> None:
    board, over = boards.load(BOARD), dict.fromkeys(("pointwise_conv_2d", "conv_2d"), 0)
    with storing(way.number):
        for case in (case for grid in way.grids for case in way.cases(grid, 1, 40)):
            plan = make_plan(tflite.load(case.model, case.name), board, Options(kernels="mve"))
            [step] = plan.steps
            source, target = plan.tensors[step.inputs[0]], plan.tensors[step.outputs[0]]
            if step.kernel.name in way.kernels and source.offset == target.offset:
                over[step.kernel.name.removesuffix("_signed").rpartition("_")[0]] += 1
    assert min(over.values()) >= 5, over


@each_way
def test_inputs_lie_anywhere(way: Way, tmp_path: Path) -> None:
    """At odd addresses, from where words cannot be gathered, though the emulator does: pixels are copied."""
    board = boards.load(BOARD)
    drawn = [case for grid in way.grids for case in way.cases(grid, 5, 12)]
    with storing(way.number):
        cases = [from_oracle(case, board, "mve", ("input",)) for case in drawn]
    assert {name for case in cases for name in case.kernels} >= {f"mve/{name}" for name in way.kernels}
    assert failures(run_grid(board, cases, tmp_path)) == []


@pytest.mark.soak
def test_instructions_are_bounded(tmp_path: Path) -> None:
    """Streams decide how far loops go, data nothing: bounds are exact."""
    for name, plan in of_compressed_weights(boards.load(BOARD), tmp_path):
        certificate = certify(plan, boards.load(BOARD))[0].certificate
        assert certificate is not None and all(b.most == b.least for b in certificate.steps), name


def ways_of(graph: Graph, board: Board) -> set[str]:
    [found] = all_candidates(graph, board, Options()).values()
    return {step.kernel.name.removesuffix("_signed") for way in found.ways for step in way.steps}


@pytest.mark.parametrize(
    ("weights", "offered"),
    [
        ([[127, 5, 0, 1], [-9, 1, 1, 1]], set()),
        ([[7, -8, 1, 1], [1, 1, 1, 1]], {"pointwise_conv_2d_4"}),
        ([[7, -9, 1, 1], [1, 1, 1, 1]], set()),
        ([[8, -8, 1, 1], [1, 1, 1, 1]], set()),
        ([[99, 0, 0, 1], [0, 0, 1, 2]], {"pointwise_conv_2d_sparse", "pointwise_conv_2d_lanes"}),
        ([[99, 0, 0, 1], [0, 3, 1, 2]], set()),
        ([[99, 1, 1, 1], [0, 0, 0, 0]], {f"pointwise_conv_2d_{s}" for s in ("sparse", "blocks", "lanes")}),
    ],
)
def test_ways_are_offered_where_values_allow(weights: list[list[int]], offered: set[str]) -> None:
    grid = Grid("CONV_2D", 1)
    with weights_by(lambda rng, old: np.array(weights).reshape(old.shape), weighted):
        case = conv_case(grid, 0, (3, 3), 4, 1, (3, 3), 2, (1, 1), (1, 1), (1, 1), SAME)
    found = ways_of(tflite.load(case.model, case.name), boards.load(BOARD))
    assert {name for name in found if name.startswith("pointwise_conv_2d_")} == offered


@pytest.mark.parametrize(
    ("way", "share"), [("four bits", 0.52), ("sparse", 0.27), ("blocks", 0.20), ("lanes", 0.22)]
)
def test_blocks_are_small(way: str, share: float) -> None:
    """Against the weights at int8, of a layer with 1,024 inputs, 90 % of them zeros."""
    rng = np.random.default_rng(1)
    weights = rng.integers(-8, 8, (64, 1024 // 4, 4)) * (rng.random((64, 1024 // 4, 1)) < 0.1)
    flat = weights.reshape(64, -1)
    s = mve.product.Scaling(0, (0, 0), np.zeros(64, np.int32), np.zeros(64, np.int32))
    storage = compressed.STORAGES[WAYS[way].number]
    for stream in (storage.pairs, storage.eights) if storage.rows else (storage.pairs,):
        assert len(stream(flat, np.zeros(64), s)) <= share * flat.size


def test_hostile_blocks_stay_inside(tmp_path: Path) -> None:
    """Random words of a block replaced, those of streams too."""
    board, rng = boards.load(BOARD), np.random.default_rng(0)
    cases = []
    for way in WAYS.values():
        with storing(way.number):
            for case in (case for grid in way.grids for case in way.cases(grid, 4, 10)):
                cases += [mutant(case, board, n, rng) for n in range(8)]
    for result in run_grid(board, cases, tmp_path):
        assert not result.failure.startswith("no answer") and "behind the arena" not in result.failure, result
