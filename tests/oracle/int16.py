"""Grids on int16 activations and of int4 weights; what the oracle refuses is said at each.

It refuses HARD_SWISH, ELU, RELU_N1_TO_1 and RESIZE_BILINEAR on int16, QUANTIZE between uint8 and int16, int4 weights
under int16 activations, and int4 weights of FULLY_CONNECTED with a scale for each channel.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial

import numpy as np

from .case import Case, Cases, Grid, NewGrid, dims
from .movement import concatenation, mean, pad, reshape, split, split_v, squeeze, strided_slice, transpose
from .pointwise import SHAPES, activation, arithmetic
from .pooling import pool
from .tflite_writer import Tensor
from .weighted import conv_2d, depthwise_conv_2d, fully_connected

S16: NewGrid = partial(Grid, dtype="int16", bias="int64")
S16_BIAS_32: NewGrid = partial(Grid, dtype="int16")
INT4: NewGrid = partial(Grid, weights="int4")


def softmax(seed: int) -> Cases:
    grid = S16("SOFTMAX", seed)
    for shape, beta in itertools.product((*SHAPES, (1, 10), (1, 250)), (1.0, 0.1, 0.5, 2.0, 1.0, 10.0)):
        source = grid.tensor("input", shape, scale=grid.scale(1e-3, 1.0))
        out = Tensor("output", shape, "int16", 1 / 32768)
        yield grid.case(f"{dims(shape)}_beta{beta:g}", [source], [out], "SoftmaxOptions", Beta=beta)


def fixed_output(op: str) -> Callable[[int], Cases]:
    """LOGISTIC and TANH, with the input scales that are powers of two too."""

    def cases(seed: int) -> Cases:
        grid = S16(op, seed)
        scales = (2.0**-11, 2.0**-12, 2.0**-13, 2.0**-12 * 1.0005, 1e-5, 1e-3, 0.1, 2.5, 3e-4)
        for shape, scale in itertools.product(SHAPES, scales):
            drawn = scale if scale in scales[:4] else float(np.float32(scale * grid.rng.uniform(0.4, 1)))
            source = grid.tensor("input", shape, scale=drawn)
            out = Tensor("output", shape, "int16", 1 / 32768)
            yield grid.case(f"{dims(shape)}_scale{source.scale:.4g}", [source], [out])

    return cases


def quantize(seed: int) -> Cases:
    grid = Grid("QUANTIZE", seed)
    pairs = (("int8", "int16"), ("int16", "int8"), ("int16", "int16"), ("float32", "int16"))
    for (source_type, output_type), shape, ratio in itertools.product(pairs, SHAPES, (0, 1.3, -0.7, 8, -8)):
        output = grid.tensor("output", shape, output_type, scale=grid.scale(1e-3, 0.2))
        scale = float(np.float32(output.scale * 2.0**ratio))
        source = grid.tensor("input", shape, source_type, scale=scale)
        if source_type == "float32":
            source = Tensor("input", shape, "float32")
        name = f"{source_type}_to_{output_type}_{dims(shape)}_ratio{ratio:g}"
        yield grid.case(name, [source], [output], "QuantizeOptions")


def dequantize(seed: int) -> Cases:
    grid = S16("DEQUANTIZE", seed)
    for shape, _ in itertools.product(SHAPES, range(7)):
        out = Tensor("output", shape, "float32")
        yield grid.case(dims(shape), [grid.tensor("input", shape)], [out], "DequantizeOptions")


def one_scale(seed: int) -> Cases:
    """FULLY_CONNECTED with int4 weights: those cases that have one scale for all channels."""
    for case in itertools.chain(fully_connected(seed, INT4), fully_connected(seed + 100, INT4)):
        if int(case.name.split("_")[2]) % 3 != 2:
            yield case


def both_biases(grid: Callable[[int, NewGrid], Cases]) -> Callable[[int], Cases]:
    """Biases of int64 and of int32, which are summed in 64 and in 32 bits."""

    def cases(seed: int) -> Cases:
        for i, pair in enumerate(zip(grid(seed, S16), grid(seed, S16_BIAS_32), strict=True)):
            yield pair[i % 3 == 1]

    return cases


OPS: dict[str, Callable[[int], Cases]] = {
    "CONV_2D": both_biases(conv_2d),
    "DEPTHWISE_CONV_2D": lambda seed: depthwise_conv_2d(seed, S16),  # reads a bias of int32 as if of int64
    "FULLY_CONNECTED": both_biases(fully_connected),
    "AVERAGE_POOL_2D": pool("AVERAGE_POOL_2D", S16),
    "MAX_POOL_2D": pool("MAX_POOL_2D", S16),
    "ADD": arithmetic("ADD", S16),
    "SUB": arithmetic("SUB", S16),
    "MUL": arithmetic("MUL", S16),
    "MEAN": lambda seed: mean(seed, S16),
    "SOFTMAX": softmax,
    "LOGISTIC": fixed_output("LOGISTIC"),
    "TANH": fixed_output("TANH"),
    "RELU": activation("RELU", new=S16),
    "RELU6": activation("RELU6", ratios=(0,) * 7, new=S16),
    "LEAKY_RELU": activation(
        "LEAKY_RELU", "LeakyReluOptions", (0.1, 0.3, 0.01, 0.0, 1.5, 0.05, 0.25, 1.0, 0.2), new=S16
    ),
    "QUANTIZE": quantize,
    "DEQUANTIZE": dequantize,
    "PAD": pad("PAD", S16),
    "PADV2": pad("PADV2", S16),
    "RESHAPE": lambda seed: reshape(seed, S16),
    "SQUEEZE": lambda seed: squeeze(seed, S16),
    "CONCATENATION": lambda seed: concatenation(seed, S16),
    "TRANSPOSE": lambda seed: transpose(seed, S16),
    "STRIDED_SLICE": lambda seed: strided_slice(seed, S16),
    "SPLIT": lambda seed: split(seed, S16),
    "SPLIT_V": lambda seed: split_v(seed, S16),
    "CONV_2D of int4": lambda seed: conv_2d(seed, INT4),
    "DEPTHWISE_CONV_2D of int4": lambda seed: depthwise_conv_2d(seed, INT4),
    "FULLY_CONNECTED of int4": one_scale,
}

__all__ = ["OPS", "Case"]
