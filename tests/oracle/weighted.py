"""Grids of the ops with weights: CONV_2D, DEPTHWISE_CONV_2D, FULLY_CONNECTED."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from .case import ACTIVATIONS, SAME, VALID, Case, Cases, Grid, NewGrid, dims
from .tflite_writer import Tensor

SIZES = (1, 2, 3, 5, 7, 8, 9, 13, 17)
CHANNELS = (1, 2, 3, 4, 5, 7, 8, 13, 16, 17)
KERNELS = ((1, 1), (3, 3), (5, 3), (1, 7), (2, 2), (4, 1), (7, 7))
STRIDES = ((1, 1), (2, 2), (3, 1))
DILATIONS = ((1, 1), (2, 3))
MAX_ELEMENTS = 4096

# How the requantizing multiplier falls: mostly a fraction, sometimes above 1, sometimes so small that
# only a bias of millions shows (trained models hold both, and shifts below -31 besides).
REGIMES = ("usual", "usual", "gain", "usual", "usual", "tiny", "usual")


@dataclass(frozen=True)
class Layer:
    """Drawn weights, bias and output of one layer."""

    weights: Tensor
    bias: Tensor | None
    output: Tensor
    near: int | None


def layer(
    grid: Grid,
    source: Tensor,
    weight_shape: tuple[int, ...],
    axis: int,
    out_shape: tuple[int, ...],
    regime: str,
    per_channel: bool,
    bias: bool,
) -> Layer:
    """Weights symmetric along `axis`, bias in input scale times weight scale, output scale to suit."""
    rng = grid.rng
    out_c = weight_shape[axis]
    k = int(np.prod(weight_shape)) // out_c
    source_scale = np.float32(source.scale)
    wide = grid.dtype == "int16"
    base = float(np.float32(np.exp(rng.uniform(np.log(1e-3 if wide else 1e-4), np.log(2e-2)))))
    spread = rng.uniform(-2, 2, out_c) if per_channel else np.zeros(1)
    scales = (base * 2.0**spread).astype(np.float32)
    if regime == "gain":
        values, rms, near = rng.integers(-2, 3, weight_shape), 3 * k**0.5, 4
        ratio = 2.0 ** -rng.uniform(0, 4)
    else:
        values, near = np.maximum(grid.ints(weight_shape, "int8"), -127), None
        rms, width = (2_000_000 * k**0.5, 12_000) if wide else (8000 * k**0.5, 50)
        ratio = 2.0 ** rng.uniform(18, 34) if regime == "tiny" else rms / width * 2 ** rng.uniform(-1, 2)
    if grid.weights == "int4":
        values = np.clip(values, -8, 7) if regime == "gain" else values >> 4
        ratio = ratio if regime in ("gain", "tiny") else ratio / 16
    values = grid.thin(rng, values) if grid.thin else values
    weights = Tensor("weights", weight_shape, grid.weights, scales, 0, axis, values.astype(np.int8))
    limit = 2**29 if regime == "tiny" else int(rms) + 1
    limit = 2**44 if regime == "tiny" and grid.bias == "int64" else limit
    bias_tensor = (
        Tensor(
            "bias",
            (out_c,),
            grid.bias,
            source_scale * scales,
            0,
            0,
            rng.integers(-limit, limit + 1, out_c).astype(grid.bias),
        )
        if bias
        else None
    )
    output = grid.tensor("output", out_shape, scale=float(np.float32(source_scale * base * ratio)))
    return Layer(weights, bias_tensor, output, near)


def window(size: int, kernel: int, stride: int, dilation: int, padding: int) -> int:
    """Output length along one axis; 0 or less where the kernel does not fit."""
    if padding == SAME:
        return -(-size // stride)
    return -(-(size - (kernel - 1) * dilation) // stride)


def place(
    grid: Grid, kernel: tuple[int, int], stride: tuple[int, int], dilation: tuple[int, int], padding: int
) -> tuple[tuple[int, int], tuple[int, int]]:
    """An input size drawn from the odd ones, grown until a VALID kernel fits, and its output size."""
    size = [grid.pick(SIZES) for _ in range(2)]
    if padding == VALID:
        size = [max(n, (k - 1) * d + 1) for n, k, d in zip(size, kernel, dilation, strict=True)]
    out = [window(n, k, s, d, padding) for n, k, s, d in zip(size, kernel, stride, dilation, strict=True)]
    return (size[0], size[1]), (out[0], out[1])


def fitting(grid: Grid, area: int) -> int:
    """A channel count that keeps an activation of this area small enough for a small board."""
    return int(grid.pick([c for c in CHANNELS if c * area <= MAX_ELEMENTS]))


def geometry() -> list[tuple]:
    """Kernel, stride, padding, dilation: each with each."""
    return list(itertools.product(KERNELS, STRIDES, (SAME, VALID), DILATIONS))


def detail(
    size: tuple[int, int],
    in_c: int,
    out_c: int,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    dilation: tuple[int, int],
    padding: int,
    regime: str,
) -> str:
    return (
        f"{dims((*size, in_c))}_to{out_c}_k{dims(kernel)}_s{dims(stride)}_d{dims(dilation)}"
        f"_{'same' if padding == SAME else 'valid'}_{regime}"
    )


def conv_2d(seed: int, new: NewGrid = Grid) -> Cases:
    grid = new("CONV_2D", seed)
    for i, (kernel, stride, padding, dilation) in enumerate(geometry()):
        size, out = place(grid, kernel, stride, dilation, padding)
        in_c, out_c = fitting(grid, size[0] * size[1]), fitting(grid, out[0] * out[1])
        yield conv_case(grid, i, size, in_c, 1, out, out_c, kernel, stride, dilation, padding)
    # Shapes of real nets: a keyword spectrogram's first layer, pointwise layers, one-dimensional signals.
    real = (
        ((25, 10), 1, 8, (10, 4), (2, 2)),
        ((5, 5), 32, 32, (1, 1), (1, 1)),
        ((1, 1), 128, 10, (1, 1), (1, 1)),
        ((1, 128), 3, 8, (1, 9), (1, 2)),
        ((16, 16), 3, 8, (3, 3), (2, 2)),
        ((6, 6), 24, 36, (1, 1), (2, 2)),
    )
    for i, (size, in_c, out_c, kernel, stride) in enumerate(real):
        out = (window(size[0], kernel[0], stride[0], 1, SAME), window(size[1], kernel[1], stride[1], 1, SAME))
        yield conv_case(grid, 7 * i, size, in_c, 1, out, out_c, kernel, stride, (1, 1), SAME)
    for i, (groups, group_c, kernel, padding) in enumerate(
        itertools.product((2, 3), (1, 4, 5), ((1, 1), (3, 2)), (SAME, VALID))
    ):
        size, out = place(grid, kernel, (1, 1), (1, 1), padding)
        yield conv_case(
            grid,
            i,
            size,
            groups * group_c,
            groups,
            out,
            groups * grid.pick((1, 2, 3)),
            kernel,
            (1, 1),
            (1, 1),
            padding,
        )
    # Few channels, kernel rows of whole words.
    for size, in_c, kernel, stride in (((13, 11), 1, (5, 8), (2, 2)), ((6, 9), 3, (2, 4), (1, 1))):
        out = (window(size[0], kernel[0], stride[0], 1, SAME), window(size[1], kernel[1], stride[1], 1, SAME))
        yield conv_case(grid, 0, size, in_c, 1, out, 8, kernel, stride, (1, 1), SAME)


def conv_case(
    grid: Grid,
    i: int,
    size: tuple[int, int],
    in_c: int,
    groups: int,
    out: tuple[int, int],
    out_c: int,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    dilation: tuple[int, int],
    padding: int,
) -> Case:
    source = grid.tensor("input", (1, *size, in_c))
    regime = REGIMES[i % len(REGIMES)]
    drawn = layer(
        grid,
        source,
        (out_c, *kernel, in_c // groups),
        0,
        (1, *out, out_c),
        regime,
        per_channel=i % 5 != 4,
        bias=i % 6 != 5,
    )
    inputs = [source, drawn.weights] + ([drawn.bias] if drawn.bias else [])
    name = detail(size, in_c, out_c, kernel, stride, dilation, padding, regime)
    return grid.case(
        name + (f"_groups{groups}" if groups > 1 else ""),
        inputs,
        [drawn.output],
        "Conv2DOptions",
        drawn.near,
        Padding=padding,
        StrideH=stride[0],
        StrideW=stride[1],
        DilationHFactor=dilation[0],
        DilationWFactor=dilation[1],
        FusedActivationFunction=ACTIVATIONS[i % 4],
    )


def depthwise_conv_2d(seed: int, new: NewGrid = Grid) -> Cases:
    grid = new("DEPTHWISE_CONV_2D", seed)
    for i, (kernel, stride, padding, dilation) in enumerate(geometry()):
        multiplier = (1, 1, 2, 3, 8)[i % 5]
        size, out = place(grid, kernel, stride, dilation, padding)
        area = max(size[0] * size[1], out[0] * out[1] * multiplier)
        # A single input channel is what some converters write for a first convolution.
        in_c = 1 if i % 10 == 4 else fitting(grid, area)
        out_c = in_c * multiplier
        source = grid.tensor("input", (1, *size, in_c))
        regime = REGIMES[i % len(REGIMES)]
        drawn = layer(
            grid,
            source,
            (1, *kernel, out_c),
            3,
            (1, *out, out_c),
            regime,
            per_channel=i % 6 != 5,
            bias=i % 8 != 7,
        )
        inputs = [source, drawn.weights] + ([drawn.bias] if drawn.bias else [])
        yield grid.case(
            detail(size, in_c, out_c, kernel, stride, dilation, padding, regime),
            inputs,
            [drawn.output],
            "DepthwiseConv2DOptions",
            drawn.near,
            Padding=padding,
            StrideH=stride[0],
            StrideW=stride[1],
            DilationHFactor=dilation[0],
            DilationWFactor=dilation[1],
            DepthMultiplier=multiplier,
            FusedActivationFunction=ACTIVATIONS[i % 4],
        )


def fully_connected(seed: int, new: NewGrid = Grid) -> Cases:
    grid = new("FULLY_CONNECTED", seed)
    # Input shape, length of the dot product, keep_num_dims.
    shapes = (
        ((1, 1), 1, False),
        ((1, 7), 7, False),
        ((1, 64), 64, False),
        ((1, 13, 5), 65, False),
        ((1, 3, 17), 17, True),
        ((1, 5, 13), 13, False),
        ((1, 3, 5, 7), 105, False),
        ((1, 3, 5, 7), 7, True),
        ((1, 1, 1, 32), 32, False),
        ((1, 250), 250, False),
    )
    for i, ((shape, depth, keep), out_c) in enumerate(itertools.product(shapes, (1, 3, 4, 10, 17, 32, 33))):
        source = grid.tensor("input", shape)
        rows = int(np.prod(shape)) // depth
        out_shape = (*shape[:-1], out_c) if keep else (rows, out_c)
        regime = REGIMES[i % 5]
        drawn = layer(
            grid, source, (out_c, depth), 0, out_shape, regime, per_channel=i % 3 == 2, bias=i % 4 != 3
        )
        yield grid.case(
            f"{dims(shape)}_k{depth}_to{out_c}{'_keep' if keep else ''}_{regime}",
            [source, drawn.weights, drawn.bias],
            [drawn.output],
            "FullyConnectedOptions",
            drawn.near,
            KeepNumDims=keep,
            FusedActivationFunction=ACTIVATIONS[i % 4],
        )
