"""Grid of the binary convolution, which no other runtime has: its reference is the specification."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from offramp.ir import Graph, Op, Quantization, Tensor
from offramp.ops import OPS
from offramp.ops.gemm import Window

KERNELS = ((1, 1), (3, 3), (5, 2), (1, 4))
CHANNELS = (1, 3, 8, 31, 32, 33, 64)


@dataclass(frozen=True)
class BinaryCase:
    name: str
    graph: Graph
    inputs: list[np.ndarray]


def binary_graph(
    name: str, a: Window, x: Tensor, weights: np.ndarray, bias: np.ndarray, out: Quantization
) -> Graph:
    """One layer; the weights' scales are such that a multiplier is near the output's range."""
    out_c = len(weights)
    scales = tuple(float(s) for s in np.linspace(0.5, 1.5, out_c).astype(np.float32))
    w = Tensor("weights", weights.shape, "s8", Quantization(scales, (0,) * out_c, 0), weights.astype(np.int8))
    b = Tensor("bias", (out_c,), "s32", None, bias.astype(np.int32))
    [shape] = OPS["binary_conv_2d"].shapes(a, [x, w, b])
    tensors = (x, w, b, Tensor("output", shape, "s8", out))
    return Graph(name, tensors, (Op("binary_conv_2d", name, (0, 1, 2), (3,), a),), (0,), (3,))


def binary(seed: int) -> Iterator[BinaryCase]:
    """Windows, strides, paddings, dilations, groups, channels that fill words and that do not."""
    rng = np.random.default_rng((seed, 11))
    grid = itertools.product(KERNELS, ((1, 1), (2, 1)), ("same", "valid"), ((1, 1), (1, 2)))
    for i, ((kh, kw), stride, padding, dilation) in enumerate(grid):
        for groups in (1, 2) if i % 3 == 0 else (1,):
            in_c, out_c = groups * int(rng.choice(CHANNELS)), groups * int(rng.integers(1, 9))
            a = Window(*stride, *dilation, padding, ("none", "relu")[i % 2])
            size = (int(rng.integers(kh, kh + 6)), int(rng.integers((kw - 1) * dilation[1] + 1, kw + 9)))
            zero = int(rng.choice((-128, -3, 0, 5, 127)))
            x = Tensor("input", (1, *size, in_c), "s8", Quantization((0.05,), (zero,)))
            weights = rng.choice((-1, 1), (out_c, kh, kw, in_c // groups))
            taps = kh * kw * in_c // groups
            scale = 0.05 * max(1.0, taps**0.5) / (60 if i % 4 else 4000)  # now and then everything saturates
            out = Quantization((float(np.float32(scale)),), (int(rng.integers(-128, 128)),))
            bias = rng.integers(-taps, taps + 1, out_c)
            data = rng.integers(-128, 128, x.shape).astype(np.int8)
            data = np.where(rng.random(x.shape) < 0.2, zero, data).astype(np.int8)
            name = f"{kh}x{kw}_c{in_c}_to{out_c}_s{stride}_d{dilation}_{padding}_g{groups}"
            yield BinaryCase(name, binary_graph(name, a, x, weights, bias, out), [data])
