"""Kernel set `dsp`, for Armv7E-M and Armv8-M with DSP: the layers it takes and how their weights are packed."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from offramp.boards import Core
from offramp.ir import Op, Tensor
from offramp.kernels.dsp import (
    depthwise,
    depthwise_any,
    gemm,
    on_generic,
    packed,
    pointwise,
    slices,
    sparse,
    winograd,
)
from offramp.ops.op import Kernel, Step

COMPRESSED_KERNELS: tuple[Kernel, ...] = (*gemm.INT4_KERNELS, *sparse.KERNELS, *packed.KERNELS)
KERNELS: tuple[Kernel, ...] = (
    *gemm.KERNELS,
    *depthwise.KERNELS,
    *depthwise_any.KERNELS,
    *pointwise.KERNELS,
    *winograd.KERNELS,
    *on_generic.KERNELS,
    *slices.KERNELS,
    *COMPRESSED_KERNELS,
)

Lower = Callable[[Op, list[Tensor | None], list[Tensor]], Step | None]

# The ways of serving an op; each gives None where a precondition of its kernel does not hold.
DENSE: dict[str, tuple[Lower, ...]] = {
    "conv_2d": (
        partial(gemm.lower_conv_2d, gemm.INT8_SIZE),
        partial(gemm.lower_conv_2d, gemm.INT16),
        winograd.lower,
    ),
    "depthwise_conv_2d": (depthwise.lower, depthwise_any.as_convolution, depthwise_any.any_shape),
    "add": (pointwise.lower_add, on_generic.lower_sum),
    "sub": (on_generic.lower_sum,),
    "mul": (on_generic.lower_mul,),
    "mean": (on_generic.lower_mean,),
    "average_pool_2d": (pointwise.lower_average,),
    "max_pool_2d": (on_generic.lower_max,),
    "fully_connected": (
        partial(gemm.lower_fully_connected, gemm.INT8_SIZE),
        partial(gemm.lower_fully_connected, gemm.INT16),
    ),
}
# Those that are offered only where the weights' values allow it: four bits, many zeros.
SPARSE: tuple[Lower, ...] = tuple(
    partial(sparse.lower, pack, taps) for pack in (sparse.fast, packed.pack) for taps in (1, sparse.BLOCK)
)
COMPRESSED: dict[str, tuple[Lower, ...]] = {
    "conv_2d": (partial(gemm.lower_conv_2d, gemm.INT4), *SPARSE),
    "fully_connected": (partial(gemm.lower_fully_connected, gemm.INT4), *SPARSE),
}
LOWER = {kind: (*ways, *COMPRESSED.get(kind, ())) for kind, ways in DENSE.items()}

# Operators without a kernel in the set: who serves them, and why. Figures are instructions an output byte on
# mps2_an386, gcc 12.2, over 16x16x32 values where nothing else is said.
MOVES = (
    "runs of bytes by memcpy: pad 0.9 (1.3 at 3 channels), slice 0.6, transpose of single bytes 7.1, none of which "
    "multiplies"
)
TABLES = "3.5, of which 3 are the loads and the store that a table of bytes needs on any core"
LEFT_TO: dict[str, tuple[str, str]] = {
    "softmax": (
        "generic",
        "70 to 92 at 128 and 10 classes; at most 0.2 % of the models measured (762 of 373,195 of wand_imu's)",
    ),
    "pad": ("generic", MOVES),
    "transpose": ("generic", MOVES),
    "concatenation": ("generic", MOVES),
    "split": ("generic", MOVES),
    "strided_slice": ("generic", MOVES),
    "resize_nearest_neighbor": ("generic", "1.5 at 32 channels: memcpy of pixels"),
    "resize_bilinear": (
        "generic",
        "15.1, of which 9 are loads, products and the store; no model measured has one",
    ),
    "binary_conv_2d": (
        "generic",
        "words of 32 bits by exclusive or and a count; none of the 11 models of the benchmarks has one",
    ),
    "dynamic_fully_connected": (
        "generic",
        "int16 rows to int8 by their own range; none of the 11 models of the benchmarks has one",
    ),
    **dict.fromkeys(
        ("relu", "relu6", "leaky_relu", "hard_swish", "logistic", "tanh", "quantize", "table"),
        ("generic", TABLES),
    ),
}


def candidates(op: Op, inputs: list[Tensor | None], outputs: list[Tensor], core: Core) -> list[list[Step]]:
    """The ways of serving the op; none: the next set is asked."""
    if any(t is not None and t.dtype != "s8" for t in (inputs[0], *outputs)):
        return []
    found = (lower(op, inputs, outputs) for lower in LOWER.get(op.kind, ()))
    return [[step] for step in found if step is not None]
