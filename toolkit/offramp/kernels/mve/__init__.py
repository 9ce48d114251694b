"""Kernel set `mve`, our own kernels for Helium: the ops and shapes it takes, scratch and parameter blocks."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from offramp.boards import Core
from offramp.ir import Op, Tensor
from offramp.kernels.mve import compressed, depthwise, elementwise, pool, product, table
from offramp.ops.op import Kernel, Step

KERNELS: tuple[Kernel, ...] = (
    *product.KERNELS,
    *compressed.KERNELS,
    *depthwise.KERNELS,
    *elementwise.KERNELS,
    *pool.KERNELS,
    *table.KERNELS,
)

Lower = Callable[[Op, list[Tensor | None], list[Tensor]], Step | None]
LOWER: dict[str, Lower] = {
    "add": elementwise.lower_add,
    "sub": elementwise.lower_add,
    "mul": elementwise.lower_mul,
    **dict.fromkeys(
        ("relu", "relu6", "leaky_relu", "hard_swish", "logistic", "tanh", "quantize", "table"),
        table.lower_table,
    ),
    "average_pool_2d": pool.lower_pool,
    "conv_2d": product.lower_conv_2d,
    "depthwise_conv_2d": depthwise.lower_depthwise_conv_2d,
    "fully_connected": product.lower_fully_connected,
    "max_pool_2d": pool.lower_pool,
}

# Further ways where the values of the weights allow.
COMPRESSED: dict[str, tuple[Lower, ...]] = {
    "conv_2d": tuple(partial(product.lower_conv_2d, storage=s) for s in compressed.STORAGES),
    "fully_connected": tuple(partial(product.lower_fully_connected, storage=s) for s in compressed.STORAGES),
}

MOVES = "0.9 to 1.7 where pixels stay whole, memcpy; 5.1 for a transposition of 8,192 values"
# Op -> who serves it on a Cortex-M55 and why: instructions an element of the output on mps3_an547, gcc 12.2.1.
LEFT_TO: dict[str, tuple[str, str]] = {
    "softmax": (
        "generic",
        "67 to 105; in all at most 0.8 % of a classifier that was measured (651 of 82,441)",
    ),
    "mean": ("generic", "4.3 an element of the input over rows and columns, 5.3 over channels"),
    **dict.fromkeys(("pad", "concatenation", "split", "strided_slice", "transpose"), ("generic", MOVES)),
    "resize_nearest_neighbor": ("generic", "1.6 at 32 channels: memcpy of pixels"),
    "resize_bilinear": ("generic", "33.7 at 32 channels; no model measured has one"),
    "binary_conv_2d": (
        "generic",
        "words of 32 bits by exclusive or and a count; none of the 11 models of the benchmarks has one",
    ),
    "dynamic_fully_connected": (
        "generic",
        "int16 rows to int8 by their own range; none of the 11 models of the benchmarks has one",
    ),
}


def candidates(op: Op, inputs: list[Tensor | None], outputs: list[Tensor], core: Core) -> list[list[Step]]:
    """The ways of serving the op; none where another set serves it better or alone."""
    lower = LOWER.get(op.kind)
    if lower is None or "mve" not in core.features:
        return []
    if any(t is not None and t.dtype != "s8" for t in (inputs[0], *outputs)):
        return []
    found = (way(op, inputs, outputs) for way in (lower, *COMPRESSED.get(op.kind, ())))
    return [[step] for step in found if step is not None]
