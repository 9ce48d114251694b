"""Kernel set `dsp`, for Armv7E-M and Armv8-M with DSP: the layers it takes and how their weights are packed."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from offramp.boards import Core
from offramp.ir import Op, Tensor
from offramp.kernels.dsp import depthwise, gemm, pointwise, winograd
from offramp.ops.op import Kernel, Step

KERNELS: tuple[Kernel, ...] = (*gemm.KERNELS, *depthwise.KERNELS, *pointwise.KERNELS, *winograd.KERNELS)

Lower = Callable[[Op, list[Tensor | None], list[Tensor]], Step | None]

# The ways of serving an op; each gives None where a precondition of its kernel does not hold.
LOWER: dict[str, tuple[Lower, ...]] = {
    "conv_2d": (
        partial(gemm.lower_conv_2d, gemm.INT8_SIZE),
        partial(gemm.lower_conv_2d, gemm.INT16),
        winograd.lower,
    ),
    "depthwise_conv_2d": (depthwise.lower,),
    "add": (pointwise.lower_add,),
    "average_pool_2d": (pointwise.lower_average,),
    "fully_connected": (
        partial(gemm.lower_fully_connected, gemm.INT8_SIZE),
        partial(gemm.lower_fully_connected, gemm.INT16),
    ),
}


def candidates(op: Op, inputs: list[Tensor | None], outputs: list[Tensor], core: Core) -> list[list[Step]]:
    """The ways of serving the op; none: the next set is asked."""
    if any(t is not None and t.dtype != "s8" for t in (inputs[0], *outputs)):
        return []
    found = (lower(op, inputs, outputs) for lower in LOWER.get(op.kind, ()))
    return [[step] for step in found if step is not None]
