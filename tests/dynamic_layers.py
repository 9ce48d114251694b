"""Layers of dynamic_fully_connected: a grid of shapes, ranges of rows and numbers that a blob may hold."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from offramp.ir import Graph, Op, Quantization, Tensor
from offramp.ops.fully_connected import FullyConnected

# Input shape, keep_num_dims.
SHAPES = (
    ((1, 1), False),
    ((1, 7), False),
    ((3, 64), False),
    ((1, 2, 3, 5), True),
    ((1, 130), False),
    ((2, 33), False),
)
CHANNELS = (1, 2, 9, 32)
# Largest |x| of the rows; 0: nothing but zeros.
RANGES = (0, 1, 90, 128, 5000, 32767, 32768)
ACTIVATIONS = ("none", "relu", "relu6")


def layers(seed: int) -> Iterator[tuple[Graph, NDArray[Any]]]:
    """A one-op graph, and its input."""
    random = np.random.default_rng(seed)
    for i, ((shape, keep), out_c, most) in enumerate(itertools.product(SHAPES, CHANNELS, RANGES)):
        depth, scale = shape[-1], float(np.float32(random.uniform(1e-4, 1e-2)))
        x = random.integers(-most, most + 1, shape).clip(-32768, 32767)
        x.reshape(-1, depth)[0, 0] = -most
        weights = random.integers(-128, 128, (out_c, depth)).astype(np.int8)
        scales = random.uniform(0.5, 2, out_c if i % 2 else 1) * 1e-2
        spread = scale * max(most, 100) * 75 * 1e-2 * depth**0.5 / 20_000
        yield layer(i, scale, shape, weights, scales, spread, keep), x.astype(np.int16)


def layer(
    i: int,
    scale: float,
    shape: tuple[int, ...],
    weights: NDArray[Any],
    scales: NDArray[Any],
    out_scale: float,
    keep: bool,
) -> Graph:
    out_c, depth = weights.shape
    random = np.random.default_rng(i)
    rows = int(np.prod(shape)) // depth
    per_channel = tuple(float(np.float32(s)) for s in scales)
    tensors = [
        Tensor("x", shape, "s16", Quantization((scale,), (0,))),
        Tensor("w", weights.shape, "s8", Quantization(per_channel, (0,) * len(scales), 0), weights),
    ]
    if i % 3:
        bias = random.integers(-500_000, 500_001, out_c).astype((np.int64, np.int32)[i % 2])
        tensors.append(Tensor("b", bias.shape, ("s64", "s32")[i % 2], None, bias))
    n = len(tensors)
    out = (*shape[:-1], out_c) if keep else (rows, out_c)
    tensors.append(Tensor("y", out, "s16", Quantization((float(np.float32(out_scale)),), (0,))))
    op = Op(
        "dynamic_fully_connected",
        f"layer{i}",
        tuple(range(n)),
        (n,),
        FullyConnected(ACTIVATIONS[i % 3], keep),
    )
    return Graph(f"dynamic{i}", tuple(tensors), (op,), (0,), (n,))
