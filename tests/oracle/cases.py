"""The oracle's grids: for each op a seeded generator of cases that TensorFlow Lite Micro runs."""

from __future__ import annotations

from collections.abc import Callable

from .case import Case, Cases
from .movement import (
    concatenation,
    mean,
    pad,
    reshape,
    resize,
    split,
    split_v,
    squeeze,
    strided_slice,
    transpose,
)
from .pointwise import activation, arithmetic, dequantize, fixed_output, quantize, softmax
from .pooling import pool
from .residual import residual
from .state import variables
from .weighted import conv_2d, depthwise_conv_2d, fully_connected

__all__ = ["OPS", "Case"]

OPS: dict[str, Callable[[int], Cases]] = {
    "CONV_2D": conv_2d,
    "DEPTHWISE_CONV_2D": depthwise_conv_2d,
    "FULLY_CONNECTED": fully_connected,
    "AVERAGE_POOL_2D": pool("AVERAGE_POOL_2D"),
    "MAX_POOL_2D": pool("MAX_POOL_2D"),
    "ADD": arithmetic("ADD"),
    "SUB": arithmetic("SUB"),
    "MUL": arithmetic("MUL"),
    "PAD": pad("PAD"),
    "PADV2": pad("PADV2"),
    "MEAN": mean,
    "RESHAPE": reshape,
    "SQUEEZE": squeeze,
    "CONCATENATION": concatenation,
    "SOFTMAX": softmax,
    "LOGISTIC": fixed_output("LOGISTIC", 1 / 256, -128),
    "TANH": fixed_output("TANH", 1 / 128, 0),
    "RELU": activation("RELU"),
    # RELU6 clamps the codes and ignores the output's quantization, so the two must be the same.
    "RELU6": activation("RELU6", ratios=(0,) * 7),
    # No negative alpha: the oracle's fixed-point multiply is specified for multipliers >= 0 alone.
    "LEAKY_RELU": activation(
        "LEAKY_RELU", "LeakyReluOptions", (0.1, 0.3, 0.01, 0.0, 1.5, 0.05, 0.25, 1.0, 0.2)
    ),
    "HARD_SWISH": activation("HARD_SWISH"),
    "QUANTIZE": quantize,
    "DEQUANTIZE": dequantize,
    "TRANSPOSE": transpose,
    "STRIDED_SLICE": strided_slice,
    "RESIZE_NEAREST_NEIGHBOR": resize("RESIZE_NEAREST_NEIGHBOR", "ResizeNearestNeighborOptions"),
    "RESIZE_BILINEAR": resize("RESIZE_BILINEAR", "ResizeBilinearOptions"),
    "SPLIT": split,
    "SPLIT_V": split_v,
    # CONV_2D and ADD or SUB, which a kernel serves together.
    "RESIDUAL": residual,
    # VAR_HANDLE, READ_VARIABLE, ASSIGN_VARIABLE and CALL_ONCE mean something only together.
    "VARIABLES": variables,
}
