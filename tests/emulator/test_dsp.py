"""Kernel set dsp on a core that has it: bits over grids of shapes, which kernel takes which weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from offramp import boards
from offramp.frontends import tflite
from offramp.ir import Graph
from offramp.kernels import dsp
from offramp.ops.verify import verify
from offramp.reference import Reference
from tests.emulator.grid import GridCase, failures, from_graph, from_oracle, run_grid
from tests.oracle.case import ACTIVATIONS, SAME, VALID, Case, Cases, Grid
from tests.oracle.cases import OPS
from tests.oracle.weighted import conv_case, layer, window

pytestmark = pytest.mark.emulator

BOARD = "mps2_an386"
SHAPES = 220  # drawn at random for each of convolution and depthwise; a share of them by default


def depthwise_cases(seed: int, n: int) -> Cases:
    """3x3 windows at strides 1 and 2: odd sizes and channel counts, every activation."""
    grid = Grid("DEPTHWISE_CONV_2D", seed)
    for i in range(n):
        padding, stride = grid.pick((SAME, VALID)), (grid.pick((1, 2)), grid.pick((1, 2)))
        size = tuple(int(grid.rng.integers(3 if padding == VALID else 1, 20)) for _ in range(2))
        if i % 9 == 0:
            size = (size[0], 40)
        channels = int(grid.pick((1, 2, 3, 4, 5, 7, 8, 9, 12, 16, 33)))
        out = tuple(window(k, 3, s, 1, padding) for k, s in zip(size, stride, strict=True))
        source = grid.tensor("input", (1, *size, channels))
        drawn = layer(grid, source, (1, 3, 3, channels), 3, (1, *out, channels), "usual", i % 5 != 4, True)
        yield grid.case(
            f"{size}_c{channels}_s{stride}_p{padding}",
            [source, drawn.weights, drawn.bias],
            [drawn.output],
            "DepthwiseConv2DOptions",
            Padding=padding,
            StrideH=stride[0],
            StrideW=stride[1],
            DepthMultiplier=1,
            FusedActivationFunction=ACTIVATIONS[i % 4],
        )


def conv_cases(seed: int, n: int) -> Cases:
    """Every kernel of the set: 1x1, channels in fours, any channels and groups."""
    grid = Grid("CONV_2D", seed)
    for i in range(n):
        kernel = grid.pick(((1, 1), (3, 3), (3, 3), (5, 2), (1, 7), (2, 2), (10, 4)))
        stride, dilation = (grid.pick((1, 2, 3)), grid.pick((1, 2))), grid.pick(((1, 1), (1, 1), (2, 3)))
        padding, groups = grid.pick((SAME, VALID)), grid.pick((1, 1, 1, 2, 3))
        in_c, out_c = (groups * int(grid.pick((1, 2, 3, 4, 5, 8, 12, 16, 20))) for _ in range(2))
        reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
        size = tuple(int(grid.rng.integers(r if padding == VALID else 1, r + 9)) for r in reach)
        out = tuple(
            window(k, t, s, d, padding) for k, t, s, d in zip(size, kernel, stride, dilation, strict=True)
        )
        yield conv_case(grid, 7 * i, size, in_c, groups, out, out_c, kernel, stride, dilation, padding)


def share(config: pytest.Config) -> int:
    """All shapes where soak tests are asked for, else a quarter."""
    return SHAPES if "soak" in str(config.getoption("-m")) else SHAPES // 4


@pytest.mark.parametrize("draw", [conv_cases, depthwise_cases])
def test_random_shapes_equal_the_oracle(draw, tmp_path: Path, request: pytest.FixtureRequest) -> None:  # type: ignore[no-untyped-def]
    board = boards.load(BOARD)
    cases = [from_oracle(case, board) for case in draw(11, share(request.config))]
    fast = [case for case in cases if any(kernel.startswith("dsp/") for kernel in case.kernels)]
    assert len(fast) > 0.8 * len(cases)
    assert failures(run_grid(board, cases, tmp_path)) == []
