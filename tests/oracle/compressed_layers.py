"""Layers whose weights have four bits or are mostly zeros, for the kernels that store them so."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .case import ACTIVATIONS, SAME, VALID, Case, Cases, Grid, dims
from .tflite_writer import Tensor
from .weighted import window


@dataclass(frozen=True)
class Values:
    """How weights are drawn: values from -low to high, this share of them zero, in whole blocks of taps."""

    low: int
    high: int
    zeros: float = 0.0
    block: int = 1

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        out_c, k = shape[0], int(np.prod(shape[1:]))
        blocks = -(-k // self.block)
        kept = np.repeat(rng.random((out_c, blocks)) >= self.zeros, self.block, axis=1)[:, :k]
        drawn = rng.integers(-self.low, self.high + 1, (out_c, k)) * kept
        return drawn.reshape(shape).astype(np.int8)


INT4 = Values(8, 7)


def layer_case(
    grid: Grid,
    i: int,
    source: Tensor,
    values: np.ndarray,
    out_shape: tuple[int, ...],
    name: str,
    options: str,
    per_channel: bool,
    **attributes: object,
) -> Case:
    """A layer with these weights: every activation in turn, sometimes no bias, outputs that use int8."""
    rng, out_c = grid.rng, len(values)
    scale = float(np.float32(grid.scale(1e-3, 2e-2)))
    spread = rng.uniform(-1, 1, out_c) if per_channel else np.zeros(1)
    scales = (scale * 2.0**spread).astype(np.float32)
    squares = (values.reshape(out_c, -1).astype(np.float64) ** 2).sum(axis=1)
    rms = 60 * max(float(squares.mean()), 1.0) ** 0.5
    bias = rng.integers(-int(rms) - 1, int(rms) + 2, out_c).astype(np.int32)
    out_scale = float(np.float32(source.scale * scale * rms / 50 * 2 ** rng.uniform(-1, 1)))
    constants = [Tensor("weights", values.shape, "int8", scales, 0, 0, values)]
    if i % 6 != 5:
        constants.append(Tensor("bias", (out_c,), "int32", np.float32(source.scale) * scales, 0, 0, bias))
    return grid.case(
        name,
        [source, *constants],
        [grid.tensor("output", out_shape, scale=out_scale)],
        options,
        FusedActivationFunction=ACTIVATIONS[i % 4],
        **attributes,
    )


def conv_case(
    grid: Grid,
    i: int,
    size: tuple[int, ...],
    in_c: int,
    out_c: int,
    values: Values,
    kernel: tuple[int, int] = (1, 1),
    stride: tuple[int, int] = (1, 1),
    dilation: tuple[int, int] = (1, 1),
    padding: int = SAME,
    groups: int = 1,
) -> Case:
    out = tuple(
        window(n, k, s, d, padding) for n, k, s, d in zip(size, kernel, stride, dilation, strict=True)
    )
    name = f"{dims(size)}x{in_c}_to{out_c}_k{dims(kernel)}_s{dims(stride)}_d{dims(dilation)}_p{padding}_g{groups}"
    return layer_case(
        grid,
        i,
        grid.tensor("input", (1, *size, in_c)),
        values.draw(grid.rng, (out_c, *kernel, in_c // groups)),
        (1, *out, out_c),
        f"{name}_{values}",
        "Conv2DOptions",
        i % 5 != 4,
        Padding=padding,
        StrideH=stride[0],
        StrideW=stride[1],
        DilationHFactor=dilation[0],
        DilationWFactor=dilation[1],
    )


def fully_connected_case(grid: Grid, i: int, depth: int, out_c: int, values: Values) -> Case:
    return layer_case(
        grid,
        i,
        grid.tensor("input", (1, depth)),
        values.draw(grid.rng, (out_c, depth)),
        (1, out_c),
        f"{depth}_to{out_c}_{values}",
        "FullyConnectedOptions",
        False,
    )


def pointwise_cases(seed: int, n: int, *choices: Values) -> Cases:
    """1x1 windows at every stride, any number of channels and of pixels."""
    grid = Grid("CONV_2D", seed)
    for i in range(n):
        size = tuple(int(m) for m in grid.rng.integers(1, 10, 2))
        in_c, out_c = int(grid.rng.integers(1, 70)), int(grid.rng.integers(1, 40))
        stride = (1, 1) if i % 3 else tuple(int(m) for m in grid.rng.integers(1, 4, 2))
        yield conv_case(grid, i, size, in_c, out_c, choices[i % len(choices)], stride=stride)


def window_cases(seed: int, n: int, *choices: Values, fours: bool = False, groups: bool = True) -> Cases:
    """Larger windows at any stride and dilation, in groups too; `fours`: of channels."""
    grid = Grid("CONV_2D", seed)
    for i in range(n):
        kernel = grid.pick(((3, 3), (3, 3), (5, 2), (1, 7), (2, 2), (7, 3)))
        stride = (grid.pick((1, 1, 2, 3)), grid.pick((1, 1, 2)))
        dilation, padding = grid.pick(((1, 1), (1, 1), (2, 3))), grid.pick((SAME, VALID))
        group = grid.pick((1, 1, 1, 2, 3)) if groups and not fours else 1
        in_c = group * int(grid.pick((4, 8, 12, 16, 20) if fours else (1, 2, 3, 4, 5, 7, 8, 16)))
        out_c = group * int(grid.rng.integers(1, 12))
        reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
        size = tuple(int(grid.rng.integers(r if padding == VALID else 1, r + 9)) for r in reach)
        of = choices[i % len(choices)]
        yield conv_case(grid, i, size, in_c, out_c, of, kernel, stride, dilation, padding, group)


def row_cases(seed: int, n: int, *choices: Values) -> Cases:
    """Fully connected layers of any depth, large enough for a kernel of their own."""
    grid = Grid("FULLY_CONNECTED", seed)
    for i in range(n):
        depth, out_c = int(grid.rng.integers(30, 400)), int(grid.rng.integers(35, 80))
        yield fully_connected_case(grid, i, depth, out_c, choices[i % len(choices)])


def small_cases(seed: int) -> Cases:
    """A few small layers with weights of each kind."""
    for values in (INT4, Values(127, 127, 0.8), Values(8, 7, 0.8), Values(8, 7, 0.8, 4)):
        yield from pointwise_cases(seed, 1, values)
        yield from window_cases(seed, 2, values, fours=True)
        yield from window_cases(seed, 3, values, groups=False)
        yield fully_connected_case(Grid("FULLY_CONNECTED", seed), seed, 45, 38, values)
