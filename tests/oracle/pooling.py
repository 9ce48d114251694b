"""Grids of AVERAGE_POOL_2D and MAX_POOL_2D."""

from __future__ import annotations

import itertools
from collections.abc import Callable

from .case import ACTIVATIONS, SAME, VALID, Case, Cases, Grid, NewGrid, dims, like
from .weighted import fitting, place

KERNELS = ((1, 1), (2, 2), (3, 3), (2, 5), (7, 1), (8, 8))
STRIDES = ((1, 1), (2, 2), (1, 3), (3, 2))


def pool(op: str, new: NewGrid = Grid) -> Callable[[int], Cases]:
    def cases(seed: int) -> Cases:
        grid = new(op, seed)
        for i, (kernel, stride, padding) in enumerate(itertools.product(KERNELS, STRIDES, (SAME, VALID))):
            size, out = place(grid, kernel, stride, (1, 1), padding)
            yield pool_case(grid, i, size, fitting(grid, size[0] * size[1]), out, kernel, stride, padding)
        # The whole image at once, as classifiers end.
        for i, (size, channels) in enumerate(
            itertools.product(((4, 4), (25, 5), (1, 13), (7, 7)), (1, 5, 16))
        ):
            yield pool_case(grid, i, size, channels, (1, 1), size, (1, 1) if i % 2 else size, VALID)

    return cases


def pool_case(
    grid: Grid,
    i: int,
    size: tuple[int, int],
    channels: int,
    out: tuple[int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: int,
) -> Case:
    # Both pools pass the zero point through, so only the fused activation sees the scale.
    source = grid.tensor("input", (1, *size, channels), scale=grid.scale(5e-3, 0.2))
    name = (
        f"{dims((*size, channels))}_k{dims(kernel)}_s{dims(stride)}_{'same' if padding == SAME else 'valid'}"
    )
    return grid.case(
        name,
        [source],
        [like(source, "output", (1, *out, channels))],
        "Pool2DOptions",
        Padding=padding,
        StrideH=stride[0],
        StrideW=stride[1],
        FilterHeight=kernel[0],
        FilterWidth=kernel[1],
        FusedActivationFunction=ACTIVATIONS[i % 4],
    )
