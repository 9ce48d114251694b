"""Kernels of the dsp set that store weights smaller: bits over grids of shapes, which values are offered what."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from offramp import boards
from tests.emulator.grid import GridCase, failures, from_oracle, run_grid
from tests.oracle import compressed_layers as compressed
from tests.oracle.case import Case, Cases
from tests.oracle.compressed_layers import INT4, Values
from tests.ways import taking

pytestmark = pytest.mark.emulator

BOARD = "mps2_an386"
SHAPES, SHARE = 210, 24  # of each kernel, in full and by default

SPARSE = (Values(127, 127, 0.9), Values(127, 127, 0.7), Values(8, 7, 0.95), Values(127, 127, 1.0))
BLOCKS = (Values(127, 127, 0.8, 4), Values(127, 127, 0.9, 4), Values(8, 7, 0.65, 4))
# Kernel -> (seed, number) -> cases that it serves, nearly all.
GRIDS: dict[str, Callable[[int, int], Cases]] = {
    "pointwise_conv_2d_4": lambda seed, n: compressed.pointwise_cases(seed, n, INT4),
    "conv_2d_4": lambda seed, n: compressed.window_cases(seed, n, INT4, fours=True),
    "gather_conv_2d_4": lambda seed, n: compressed.window_cases(seed, n, INT4),
    "fully_connected_4": lambda seed, n: compressed.row_cases(seed, n, INT4),
    "conv_2d_sparse": lambda seed, n: both(seed, n, SPARSE, False),
    "conv_2d_blocks": lambda seed, n: both(seed, n, BLOCKS, True),
    "conv_2d_packed": lambda seed, n: both(seed, n, SPARSE, False),
    "conv_2d_packed_blocks": lambda seed, n: both(seed, n, BLOCKS, True),
    "fully_connected_packed": lambda seed, n: compressed.row_cases(seed, n, *SPARSE),
    "fully_connected_packed_blocks": lambda seed, n: compressed.row_cases(seed, n, *BLOCKS),
    "fully_connected_sparse": lambda seed, n: compressed.row_cases(seed, n, *SPARSE),
    "fully_connected_blocks": lambda seed, n: compressed.row_cases(seed, n, *BLOCKS),
}


def both(seed: int, n: int, values: tuple[Values, ...], fours: bool) -> Cases:
    yield from compressed.pointwise_cases(seed, n // 2, *values)
    yield from compressed.window_cases(seed, n - n // 2, *values, fours=fours, groups=False)


def packed(case: Case, kernel: str) -> GridCase:
    with taking(f"dsp/{kernel}"):
        return from_oracle(case, boards.load(BOARD))


def check(kernel: str, seed: int, n: int, folder: Path) -> None:
    cases = [packed(case, kernel) for case in GRIDS[kernel](seed, n)]
    taken = [case for case in cases if case.kernels == (f"dsp/{kernel}",)]
    assert len(taken) >= (0.6 if kernel == "gather_conv_2d_4" else 0.95) * len(cases), cases[0].kernels
    assert failures(run_grid(boards.load(BOARD), taken, folder)) == []


@pytest.mark.parametrize("kernel", GRIDS)
def test_a_share_of_random_shapes_equals_the_oracle(kernel: str, tmp_path: Path) -> None:
    check(kernel, 1, SHARE, tmp_path)


@pytest.mark.soak
@pytest.mark.parametrize("kernel", GRIDS)
def test_random_shapes_equal_the_oracle(kernel: str, tmp_path: Path) -> None:
    check(kernel, 2, 2 * SHAPES if kernel == "gather_conv_2d_4" else SHAPES, tmp_path)
