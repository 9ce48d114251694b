"""Kernel set dsp beyond the benchmark's shapes: random ones for each kernel that serves any window, length or pair."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from offramp import boards
from offramp.kernels import dsp
from offramp.ops import OPS
from tests.emulator.grid import GridCase, failures, from_oracle, run_grid
from tests.oracle.case import ACTIVATIONS, SAME, VALID, Case, Cases, Grid, constant, dims
from tests.oracle.pooling import pool_case
from tests.oracle.weighted import conv_case, layer, place, window

pytestmark = pytest.mark.emulator

BOARD = "mps2_an386"
SHAPES, SHARE = 240, 12  # of each kernel, in full and by default
USUAL = (0, 1, 3, 4, 6)  # regimes of tests/oracle/weighted.py that the set takes


def pairs(grid: Grid, low: int, high: int) -> tuple[int, int]:
    a, b = (int(n) for n in grid.rng.integers(low, high, 2))
    return a, b


def depthwise_case(
    grid: Grid, i: int, in_c: int, multiplier: int, kernel: tuple[int, int], padding: int
) -> Case:
    stride, dilation = pairs(grid, 1, 4), pairs(grid, 1, 4 if i % 3 == 0 else 2)
    size = [int(grid.rng.integers(1, 13)) for _ in range(2)]
    if padding == VALID:
        size = [max(n, (k - 1) * d + 1) for n, k, d in zip(size, kernel, dilation, strict=True)]
    out = [window(n, k, s, d, padding) for n, k, s, d in zip(size, kernel, stride, dilation, strict=True)]
    source, out_c = grid.tensor("input", (1, *size, in_c)), in_c * multiplier
    drawn = layer(grid, source, (1, *kernel, out_c), 3, (1, *out, out_c), "usual", i % 5 != 4, i % 6 != 5)
    return grid.case(
        f"{dims(size)}x{in_c}_m{multiplier}_k{dims(kernel)}_s{dims(stride)}_d{dims(dilation)}_p{padding}",
        [source, drawn.weights] + ([drawn.bias] if drawn.bias else []),
        [drawn.output],
        "DepthwiseConv2DOptions",
        Padding=padding,
        StrideH=stride[0],
        StrideW=stride[1],
        DilationHFactor=dilation[0],
        DilationWFactor=dilation[1],
        DepthMultiplier=multiplier,
        FusedActivationFunction=ACTIVATIONS[i % 4],
    )


def depthwise_cases(seed: int, n: int) -> Cases:
    """Windows inside, outside and larger than the image, channels around the four that go together."""
    grid = Grid("DEPTHWISE_CONV_2D", seed)
    for i in range(n):
        kernel = pairs(grid, 1, 8)
        kernel = (kernel[0], kernel[1] + 1) if kernel == (3, 3) else kernel
        in_c = int(grid.pick((2, 3, 4, 5, 6, 7, 8, 9, 12, 13, 16, 21)))
        yield depthwise_case(grid, i, in_c, int(grid.pick((1, 1, 2, 3, 5))), kernel, (SAME, VALID)[i % 2])


def narrow_cases(seed: int, n: int) -> Cases:
    """Kernel rows of 8, 12, 16 … bytes of 1 to 7 channels, as a convolution and as depthwise of one channel."""
    grid = Grid("CONV_2D", seed)
    depthwise = Grid("DEPTHWISE_CONV_2D", seed)
    for i in range(n):
        in_c = int(grid.pick((1, 1, 2, 3, 5, 6, 7)))
        width = next(w for w in range(1 + i % 5, 20) if w * in_c % 4 == 0 and w * in_c >= 8)
        kernel, padding = (int(grid.rng.integers(1, 7)), width), (SAME, VALID)[i // 2 % 2]
        stride, dilation = pairs(grid, 1, 4), (1 + int(i % 7 == 3), 1)
        size = [int(grid.rng.integers(1, 16)) for _ in range(2)]
        if padding == VALID:
            size = [max(s, (k - 1) * d + 1) for s, k, d in zip(size, kernel, dilation, strict=True)]
        out = [window(s, k, t, d, padding) for s, k, t, d in zip(size, kernel, stride, dilation, strict=True)]
        if i % 4 == 1:
            yield depthwise_case(depthwise, 1, 1, int(grid.rng.integers(1, 10)), (kernel[0], 8), padding)
        else:
            regime = USUAL[i % len(USUAL)]
            out_c = int(grid.rng.integers(1, 10))
            yield conv_case(
                grid,
                regime,
                (size[0], size[1]),
                in_c,
                1,
                (out[0], out[1]),
                out_c,
                kernel,
                stride,
                dilation,
                padding,
            )


def broadcast_pair(grid: Grid) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Two shapes: equal, or one with some axes of length 1, or left out, or a scalar."""
    shape = tuple(int(n) for n in grid.rng.integers(1, (2, 9, 9, 40)))
    kept = grid.rng.random(4) < grid.pick((0.0, 0.5, 1.0, 1.0))
    other: tuple[int, ...] = tuple(n if keep else 1 for n, keep in zip(shape, kept, strict=True))
    other = other[int(grid.rng.integers(0, 5)) :] if not kept.any() else other
    return (shape, other) if grid.rng.random() < 0.5 else (other, shape)


def arithmetic_cases(op: str) -> Callable[[int, int], Cases]:
    def cases(seed: int, n: int) -> Cases:
        grid = Grid(op, seed)
        for i in range(n):
            left, right = broadcast_pair(grid)
            if op == "ADD" and left == right:  # which another kernel serves
                right = right[-1:]
            a, b = grid.tensor("a", left), grid.tensor("b", right)
            reach = a.scale * b.scale * 16 if op == "MUL" else max(a.scale, b.scale)
            scale = float(np.float32(reach * 2.0 ** grid.rng.uniform(-1, 3)))
            yield grid.case(
                f"{dims(left)}_{dims(right)}",
                [a, b],
                [grid.tensor("output", np.broadcast_shapes(left, right), scale=scale)],
                f"{op.capitalize()}Options",
                FusedActivationFunction=ACTIVATIONS[i % 4],
            )

    return cases


def mean_cases(seed: int, n: int) -> Cases:
    """Rows and columns, or one of them, with more values than an int16 sum holds in every fourth."""
    grid = Grid("MEAN", seed)
    for i in range(n):
        high = 40 if i % 4 == 0 else 12
        shape = (1, *pairs(grid, 1, high), int(grid.rng.integers(4, 23)))
        axes = grid.pick(((1, 2), (1, 2), (1,)))
        keep = bool(i % 2)
        kept = tuple(1 if a in axes else s for a, s in enumerate(shape) if keep or a not in axes)
        source = grid.tensor("input", shape)
        out_scale = float(np.float32(source.scale * 2.0 ** grid.rng.uniform(-4, 2)))
        yield grid.case(
            f"{dims(shape)}_{axes}",
            [source, constant("axes", list(axes))],
            [grid.tensor("output", kept, scale=source.scale if i % 3 else out_scale)],
            "ReducerOptions",
            KeepDims=keep,
        )


def pool_cases(seed: int, n: int) -> Cases:
    grid = Grid("MAX_POOL_2D", seed)
    for i in range(n):
        kernel, stride, padding = pairs(grid, 1, 6), pairs(grid, 1, 4), (SAME, VALID)[i % 2]
        size, out = place(grid, kernel, stride, (1, 1), padding)
        yield pool_case(grid, i, size, int(grid.rng.integers(4, 22)), out, kernel, stride, padding)


GRIDS: dict[str, list[Callable[[int, int], Cases]]] = {
    "depthwise_conv_2d": [depthwise_cases],
    "narrow_conv_2d": [narrow_cases],
    "add_table": [arithmetic_cases("SUB"), arithmetic_cases("ADD")],
    "mul": [arithmetic_cases("MUL")],
    "mean": [mean_cases],
    "max_pool_2d": [pool_cases],
}


def check(kernel: str, seed: int, n: int, folder: Path) -> None:
    """Runs a kernel's grids; nearly all cases must be the kernel's."""
    board = boards.load(BOARD)
    cases: list[GridCase] = [from_oracle(case, board) for draw in GRIDS[kernel] for case in draw(seed, n)]
    taken = [case for case in cases if case.kernels == (f"dsp/{kernel}",)]
    assert len(taken) >= 0.85 * len(cases), sorted({k for case in cases for k in case.kernels})
    assert failures(run_grid(board, cases, folder)) == []


@pytest.mark.parametrize("kernel", GRIDS)
def test_a_share_of_random_shapes_equals_the_oracle(kernel: str, tmp_path: Path) -> None:
    check(kernel, 1, SHARE, tmp_path)


@pytest.mark.soak
@pytest.mark.parametrize("kernel", GRIDS)
def test_random_shapes_equal_the_oracle(kernel: str, tmp_path: Path) -> None:
    check(kernel, 2, SHAPES, tmp_path)


def test_every_operator_is_served_or_left_with_a_reason() -> None:
    views_and_state = {kind for kind, row in OPS.items() if row.is_view or kind.endswith("_variable")}
    assert set(dsp.LOWER) | set(dsp.LEFT_TO) == set(OPS) - views_and_state
    assert not set(dsp.LOWER) & set(dsp.LEFT_TO)
    for served_by, reason in dsp.LEFT_TO.values():
        assert served_by in ("generic", "cmsis_nn")
        assert any(c.isdigit() for c in reason)
